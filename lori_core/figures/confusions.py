"""Confusion matrix of a task whose answers are classes: what was said of the examples of each class."""

from collections import Counter
from statistics import fmean

import plotly.graph_objects as go

from lori_core.figures.drawing import Drawing, categories, drawing, write_cells
from lori_core.figures.means import methods
from lori_core.figures.wording import listed, method_label, number
from lori_core.results import SingleResult, StudyResult
from lori_core.translate import translate

Counts = dict[str, Counter[str]]  # class -> what was said of its examples -> how often, over all seeds


def confused_tasks(result: StudyResult) -> list[str]:
    """Those whose answers are classes."""
    return [task for task in result.tasks if any(s.task == task and s.score.confusion for s in result.singles)]


def confusion(result: StudyResult, task: str, language: str = "en") -> Drawing:
    """Of the method with the best mean validation score; the table has the others too. Seeds are counted together.

    Args:
        task: one of confused_tasks().
    """
    by_method = {
        method: [single for single in result.singles if (single.task, single.method) == (task, method)]
        for method in methods(result)
    }
    counted = {method: _counts(found) for method, found in by_method.items() if found and found[0].score.confusion}
    best = max(counted, key=lambda method: fmean(s.validation.value for s in by_method[method]))
    counts = counted[best]
    said = list(dict.fromkeys([*counts, *(name for row in counts.values() for name in row)]))
    figure = go.Figure(
        go.Heatmap(
            z=[[row[name] / row.total() for name in said] for row in counts.values()],
            zmin=0,
            zmax=1,
            colorscale="Cividis",
            hovertemplate="%{z:.3f}<extra></extra>",
            colorbar={"title": {"text": translate("figures.axis.share_of_class", language)}},
        )
    )
    write_cells(figure, [[str(row[name]) for name in said] for row in counts.values()])
    labels = {name: name or translate("command.no_class", language) for name in said}
    figure.update_xaxes(title_text=translate("figures.axis.said", language), showgrid=False)
    figure.update_xaxes(**categories(list(labels.values())))
    figure.update_yaxes(title_text=translate("figures.axis.right_class", language), showgrid=False)
    figure.update_yaxes(**categories(list(counts), reverse=True))
    each = (_least_recognised(method, found, language) for method, found in counted.items())
    summary = translate("figures.confusion.summary", language, each=listed(each, language))
    rows = [
        [method_label(method, language), right, labels.get(name, name), str(times), number(times / row.total())]
        for method, found in counted.items()
        for right, row in found.items()
        for name, times in row.items()
    ]
    header, height = ("method", "right_class", "said", "times", "share_of_class"), 170 + 36 * len(counts)
    titles = {"task": task, "method": method_label(best, language)}
    return drawing("confusion", language, figure, summary, header, rows, height, **titles)


def _counts(found: list[SingleResult]) -> Counts:
    counts: Counts = {}
    for single in found:
        for right, row in single.score.confusion.items():
            counts.setdefault(right, Counter()).update(row)
    return counts


def _least_recognised(method: str, counts: Counts, language: str) -> str:
    recall = {right: row[right] / row.total() for right, row in counts.items()}
    worst = min(recall, key=recall.__getitem__)
    return translate(
        "figures.confusion.each",
        language,
        method=method_label(method, language),
        right=worst,
        share=number(recall[worst], 2),
    )
