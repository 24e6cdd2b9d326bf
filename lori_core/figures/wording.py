"""Words and numbers of figures, tables and pages: names of methods, shares, sizes, lists, a mean beside the worst."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from statistics import fmean

from lori_core.translate import translate

NO_NUMBER = "–"


def method_label(method: str, language: str) -> str:
    """Of a method, or of a study's control: "lori_d_shared" is LoRI-D with one A for all tasks."""
    own = method.removesuffix("_shared")
    label = translate(f"figures.method.{own}", language)
    return label if own == method else translate("figures.with_shared", language, method=label)


def listed(items: Iterable[str], language: str) -> str:
    return translate("figures.separator", language).join(items)


def reasons(rows: Mapping[str, int], language: str) -> str:
    """How many rows were left out for each reason."""
    return listed(
        (translate(f"figures.left_out.{reason}", language, rows=count) for reason, count in rows.items()), language
    )


def sentences(parts: Iterable[str], language: str) -> str:
    return translate("report.sentence_space", language).join(parts)


def number(value: float | None, digits: int = 3) -> str:
    if value is None or value != value:
        return NO_NUMBER
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")  # zero has no sign


def with_interval(value: float, low: float, high: float) -> str:
    """ "0.91 (0.86–0.94)"."""
    return f"{number(value, 2)} ({number(low, 2)}–{number(high, 2)})"


def mean_and_worst(values: Mapping[str, float], language: str, worst: Callable[..., str] = min) -> str:
    """The mean over tasks, and beside it the worst task, since a mean can hide one that was lost.

    Args:
        values: task -> number; of one task, it is the number itself.
        worst: max where less is better.
    """
    mean = number(fmean(values.values()), 2)
    if len(values) == 1:
        return mean
    task = worst(values, key=values.__getitem__)
    return translate("figures.mean_and_worst", language, mean=mean, task=task, worst=number(values[task], 2))


def percent(value: float) -> str:
    """A share as whole percent, with a decimal below ten so that 0.4 % is not 0 %."""
    digits = 0 if value == 0 or abs(value) >= 0.095 else 1
    return f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%".replace("-", "−")


def size(count: float | None) -> str:
    """Bytes in decimal units, as file managers and cloud bills count."""
    if count is None:
        return NO_NUMBER
    if count < 1000:
        return f"{count:.0f} B"
    power, unit = next(((p, u) for p, u in ((3, "kB"), (6, "MB"), (9, "GB")) if count < 10 ** (p + 3)), (12, "TB"))
    return f"{count / 10**power:.1f} {unit}"


def plain(text: str) -> str:
    """Text that plotly shows as it is: its labels understand some HTML, and names come from users."""
    return escape(text, quote=False)


def short(text: str, length: int = 18) -> str:
    """A label that leaves room for the figure; the table has the whole name."""
    return plain(text if len(text) <= length else text[: length - 1] + "…")


def told_short(texts: Sequence[str], length: int = 18) -> list[str]:
    """Labels as short() makes them; of those that it would make alike the middle is left out instead of the end."""
    count = Counter(short(text, length) for text in dict.fromkeys(texts))
    head, tail = (length - 1) // 2, length // 2
    return [
        plain(f"{text[:head]}…{text[-tail:]}") if len(text) > length and count[short(text, length)] > 1
        else short(text, length)
        for text in texts
    ]  # fmt: skip
