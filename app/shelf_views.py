"""Views of the shelf's answers, as choices of a picker and as HTML; everything from a file or a user is escaped."""

from html import escape
from typing import Any
from urllib.parse import urlencode

from app.lab import Context
from app.run_labels import told_apart, when
from app.tables import pairs
from lori_core.errors import LoRIError
from lori_core.figures.wording import method_label, number, percent, size
from lori_core.study.layout import stage_of

Listed = dict[str, Any]  # an Entry of lori_core/service/shelf.py as JSON
PLACES = ("store", "run", "ready", "example")
ROWS = 100  # that a table shows and a picker beside it offers: a browser needs seconds for thousands


def place_of(entry: Listed) -> str:
    return entry["reference"].partition("/")[0]


def label(page: Context, entry: Listed) -> str:
    """In the store "math@3 · LoRI-S", of a run "2026-11-24 09:12 · math · LoRI-S", "… · sequence safety → math · …"."""
    place, _, rest = entry["reference"].partition("/")
    run, _, name = rest.partition("/")
    known = f" · {kind(page, entry)}" if entry["method"] else ""
    match place:
        case "store":
            return f"{rest}{known}"
        case "run":
            return f"{when(run)} · {learned(page, entry) or name}{known}"
        case "example":
            return f"{learned(page, entry) or name}{known}"
    return f"{entry['name']}{known}"


def choices(page: Context, entries: list[Listed]) -> list[tuple[str, str]]:
    """For a picker: where it lies, what it is -> reference."""
    named = [(f"{page.say(f'adapters.place.{place_of(e)}')}: {label(page, e)}", e["reference"]) for e in entries]
    return told_apart(named, _end_of)


def learned(page: Context, entry: Listed) -> str:
    """Its task, or the tasks that it learned one after another; empty where it has none, as a merge."""
    return page.say("adapters.sequence", order=" → ".join(entry["order"])) if entry["order"] else entry["task"]


def of_run(entries: list[Listed], run: str | None) -> list[str]:
    """References of the adapters that a run left, those of the best known method alone where it had several, and of
    one seed where it had several: those of one task are no tasks to compare, and each seed has a shared A of its own.

    An adapter that learned several tasks in a sequence repeats them, so it is left out where others are to be compared.
    """
    of = (f"run/{run}/", f"example/{run}/")
    found = [entry for entry in entries if entry["reference"].startswith(of) and not entry["wrong"]]
    alone = [entry for entry in found if not entry["order"]]
    found = alone if len(alone) > 1 else found  # of a sequence's own run there is only its first task's
    for method in ("lori_s", "lori_d", "lora", "lori_s_conditioned", "lori_d_conditioned"):
        if some := [entry["reference"] for entry in found if entry["method"] == method]:
            return _of_one_seed(some)
    return [entry["reference"] for entry in found]


def _of_one_seed(references: list[str]) -> list[str]:
    """Of a study, of the seed that has most of them, else the first; all of them where no seed has two."""
    seeds: dict[str, list[str]] = {}
    for reference in references:
        name = reference.rpartition("/")[2]
        seeds.setdefault(name.rpartition("-")[2] if stage_of(name) == "single" else "", []).append(reference)
    most = max(seeds.values(), key=len)
    return most if len(most) > 1 else references


def kind(page: Context, entry: Listed) -> str:
    """The method in words; merges are named by how they were merged."""
    method = entry["method"]
    if method.removesuffix("_shared").removesuffix("_conditioned") in ("lora", "lori_d", "lori_s"):
        known = method_label(method, page.language)
        return page.say("adapters.imported", method=known) if entry["imported"] else known
    return page.say("adapters.merged", method=method)


def matching(entries: list[Listed], words: str) -> list[Listed]:
    """Those in whose name, tags, task, base or method each of the words stands, whatever its case."""
    wanted = words.casefold().split()

    def said(entry: Listed) -> str:
        known = (entry["reference"], *entry["tags"], entry["task"], *entry["order"], entry["base"], entry["method"])
        return " ".join(known).casefold()

    return [entry for entry in entries if all(word in text for text in [said(entry)] for word in wanted)]


def table(page: Context, entries: list[Listed]) -> str:
    """A row an adapter, of the first ROWS; the sizes stand beside what the same would take in PEFT's format."""
    header = "".join(
        f'<th scope="col">{escape(page.say(f"adapters.column.{column}"))}</th>'
        for column in ("adapter", "kind", "sparsity", "score", "size", "peft")
    )
    rows = "".join(_row(page, entry) for entry in entries[:ROWS])
    count = page.say("adapters.count", shown=min(ROWS, len(entries)), count=f"{len(entries):,}")
    return (
        f"<p>{escape(count)}</p>"
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(page.say("adapters.title"))}">'
        f'<table class="shelf"><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def details(page: Context, shown: dict[str, Any]) -> tuple[str, str]:
    """Lineage, and settings as a table."""
    steps = "".join(
        f'<li style="margin-left: {20 * (step["depth"] - 1)}px">{escape(step["reference"] or step["name"])}</li>'
        for step in shown["lineage"]
    )
    lineage = f'<ul class="lineage">{steps}</ul>' if steps else f"<p>{escape(page.say('adapters.no_parents'))}</p>"
    lineage = f"<h3>{escape(page.say('adapters.made_from'))}</h3>{lineage}"
    header = [page.say("adapters.column.entry"), page.say("adapters.column.value")]
    return lineage, pairs(header, _without_places(page, shown["settings"]))


def difference(page: Context, found: dict[str, Any], left: str, right: str) -> str:
    """Only what changed, and how far the updates are apart."""
    measured = [
        (page.say(f"adapters.{key}"), number(found[key]))
        for key in ("cosine", "mask_jaccard")
        if found[key] is not None
    ]
    if found["projections"]:
        measured.append((page.say("adapters.projections"), str(found["projections"])))
    facts = "".join(f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>" for what, value in measured)
    if not found["changed"]:
        return f'<p>{escape(page.say("adapters.same"))}</p><dl class="facts">{facts}</dl>'
    header = [page.say("adapters.column.entry"), left.partition("/")[2], right.partition("/")[2]]
    return f'<dl class="facts">{facts}</dl>{pairs(header, _without_places(page, found["changed"]))}'


def _without_places(page: Context, rows: list[list[str]]) -> list[list[str]]:
    return [[page.lab.without_places(cell) for cell in row] for row in rows]


def _end_of(reference: str) -> str:
    """Of "run/20261124-091200-study-3f9a10/single-lori_s-0-1" what differs between two of one minute and task."""
    _, run, *rest = reference.split("/")
    return "/".join([run.rpartition("-")[2], *rest])


def _row(page: Context, entry: Listed) -> str:
    place = page.say(f"adapters.place.{place_of(entry)}")
    if place_of(entry) == "run":
        place = f"{place} {when(entry['reference'].split('/')[1])}"
    tags = "".join(f' <span class="tag">{escape(tag)}</span>' for tag in entry["tags"])
    rest = entry["reference"].partition("/")[2]
    name = rest if place_of(entry) == "store" else learned(page, entry) or entry["name"]
    opens = f'<a href="?{urlencode({"adapter": entry["reference"]})}">{escape(name)}</a>'
    first = f'<th scope="row">{opens}{tags}<br><small>{escape(place)}</small></th>'
    if entry["wrong"]:
        key, values = entry["wrong"]
        wrong = page.in_words(LoRIError(key, **values))
        return f'<tr>{first}<td colspan="5" role="alert">{wrong}</td></tr>'
    scores = "<br>".join(
        f"{escape(str(s.get('task')))} {_score(s)}" for s in entry["scores"] if s.get("split") == "test"
    )
    what = (
        escape(kind(page, entry)) + "<br><small>" + escape(page.say("adapters.rank", rank=entry["rank"])) + "</small>"
    )
    cells = (what, escape(percent(entry["sparsity"])), scores or "–", size(entry["bytes"]), size(entry["peft_bytes"]))
    return f"<tr>{first}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _score(score: dict[str, Any]) -> str:
    """0.98 (0.96 – 0.99); records are free, so a number may be missing."""
    values = [score.get(key) for key in ("value", "low", "high")]
    value, low, high = (number(each, 2) if isinstance(each, int | float) else "–" for each in values)
    return f"{value}<br><small>{low} – {high}</small>"
