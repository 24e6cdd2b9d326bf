"""Views of the shelf's answers, as choices of a picker and as HTML; everything from a file or a user is escaped."""

from html import escape
from typing import Any

from app.lab import Context
from app.run_labels import when
from app.tables import pairs
from lori_core.errors import LoRIError
from lori_core.figures.wording import method_label, number, percent, size

Listed = dict[str, Any]  # an Entry of lori_core/service/shelf.py as JSON
PLACES = ("store", "run", "ready")


def place_of(entry: Listed) -> str:
    return entry["reference"].partition("/")[0]


def label(page: Context, entry: Listed) -> str:
    """In the store "math@3 · LoRI-S", of a run "2026-11-24 09:12 · math · LoRI-S"."""
    place, _, rest = entry["reference"].partition("/")
    run, _, name = rest.partition("/")
    known = f" · {kind(page, entry)}" if entry["method"] else ""
    match place:
        case "store":
            return f"{rest}{known}"
        case "run":
            return f"{when(run)} · {entry['task'] or name}{known}"
    return f"{entry['name']}{known}"


def choices(page: Context, entries: list[Listed]) -> list[tuple[str, str]]:
    """For a picker: where it lies, what it is -> reference."""
    return [(f"{page.say(f'adapters.place.{place_of(e)}')}: {label(page, e)}", e["reference"]) for e in entries]


def of_run(entries: list[Listed], run: str | None) -> list[str]:
    """References of the adapters that a run left, those of the best known method alone where it had several."""
    found = [entry for entry in entries if entry["reference"].startswith(f"run/{run}/") and not entry["wrong"]]
    for method in ("lori_s", "lori_d", "lora"):
        if some := [entry["reference"] for entry in found if entry["method"] == method]:
            return some
    return [entry["reference"] for entry in found]


def kind(page: Context, entry: Listed) -> str:
    """The method in words; merges are named by how they were merged."""
    method = entry["method"]
    if method.removesuffix("_shared") in ("lora", "lori_d", "lori_s"):
        known = method_label(method, page.language)
        return page.say("adapters.imported", method=known) if entry["imported"] else known
    return page.say("adapters.merged", method=method)


def table(page: Context, entries: list[Listed]) -> str:
    """A row an adapter; the sizes stand beside what the same would take in PEFT's format."""
    header = "".join(
        f'<th scope="col">{escape(page.say(f"adapters.column.{column}"))}</th>'
        for column in ("adapter", "kind", "sparsity", "score", "size", "peft")
    )
    rows = "".join(_row(page, entry) for entry in entries)
    return (
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
    return lineage, pairs([page.say("adapters.column.entry"), page.say("adapters.column.value")], shown["settings"])


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
    return f'<dl class="facts">{facts}</dl>{pairs(header, found["changed"])}'


def _row(page: Context, entry: Listed) -> str:
    place = page.say(f"adapters.place.{place_of(entry)}")
    if place_of(entry) == "run":
        place = f"{place} {when(entry['reference'].split('/')[1])}"
    tags = "".join(f' <span class="tag">{escape(tag)}</span>' for tag in entry["tags"])
    rest = entry["reference"].partition("/")[2]
    name = {"store": rest, "run": rest.partition("/")[2], "ready": entry["name"]}[place_of(entry)]
    first = f'<th scope="row">{escape(name)}{tags}<br><small>{escape(place)}</small></th>'
    if entry["wrong"]:
        key, values = entry["wrong"]
        wrong = LoRIError(key, **values).in_language(page.language)
        return f'<tr>{first}<td colspan="5" role="alert">{escape(wrong)}</td></tr>'
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
