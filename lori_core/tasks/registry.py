"""load_task(spec): a mini task by its name, or the user's own files.

nlu | math | code | safety | math_ja                                  see mini.py
math?level=3&conflict=form&seed=1                                     harder, harder to merge, other examples
gsm8k=data/gsm8k                                                      columns of a known data set, see forms.py
support=tickets.csv?prompt=question&response=answer                   columns of one's own
support=tickets.csv?template=Q:%20{q}%0AA:&response=a&scorer=contains values are percent-encoded, as in a URL
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from lori_core.errors import DataError, TaskError
from lori_core.tasks.base import SPLITS, Example, Task
from lori_core.tasks.files import Row, read_rows, split_files
from lori_core.tasks.forms import Form, make_example, numbered_from, recognise
from lori_core.tasks.scorers import SCORERS

MINI_OPTIONS = ("level", "conflict", "seed")
OPTIONS = ("prompt", "template", "response", "choices", "scorer", "system", "kind", "checks", "max_new_tokens")


def load_task(spec: str) -> Task:
    """The task that a spec names; files are read whole, so that every mistake in them shows now.

    Raises:
        TaskError: the spec cannot be understood. DataError: a file cannot be used.
    """
    if "=" not in spec.partition("?")[0]:
        return _mini(spec)
    name, _, rest = spec.partition("=")
    path_text, _, query = rest.partition("?")
    path = Path(unquote(path_text)).expanduser()
    if not name or not path_text:
        raise TaskError("bad_task_spec", spec=spec)
    files = {split: [row for file in some for row in read_rows(file)] for split, some in split_files(path).items()}
    options = _options(query)
    form = _form(options, next(iter(files.values()))[0])
    splits, dropped = _examples(files, form, lenient=not options.keys() & {"prompt", "template"})
    return Task(name, splits.__getitem__, form.scorer, form.max_new_tokens, source=str(path), dropped=dropped)


def _mini(spec: str) -> Task:
    from lori_core.tasks.mini import mini_task  # its word lists are read only where they are wanted

    name, _, query = spec.partition("?")
    options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    for option, text in options.items():
        if option not in MINI_OPTIONS:
            raise TaskError("unknown_task_option", option=option, known=", ".join(MINI_OPTIONS))
        if option != "conflict":
            if not text.isdecimal():
                raise TaskError("bad_mini_number", option=option, got=text)
            options[option] = int(text)
    return mini_task(name, **options)


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for option in options:
        if option not in OPTIONS:
            raise TaskError("unknown_task_option", option=option, known=", ".join(OPTIONS))
    if options.get("scorer", "exact") not in SCORERS:
        raise TaskError("unknown_scorer", scorer=options["scorer"], known=", ".join(SCORERS))
    return options


def _form(options: dict[str, str], row: Row) -> Form:
    """The user's columns, or those of a known data set with the user's changes."""
    options = dict(options)
    prompt = options.pop("prompt", None)
    if prompt is not None or "template" in options:
        braced = "{" + (prompt or "") + "}"
        form = Form(options.pop("template", braced), options.pop("response", "response"))
    else:
        form = recognise(row)
    changes: dict[str, object] = dict(options)
    if "max_new_tokens" in options:
        changes["max_new_tokens"] = _positive(options["max_new_tokens"])
    form = replace(form, **changes)  # pyright: ignore[reportArgumentType]
    if "scorer" not in options and form.has_choices:
        form = replace(form, scorer="choice")
    needs = {"choice": form.has_choices, "refusal": form.kind, "code": form.checks}
    if not needs.get(form.scorer, True):
        option = {"choice": "choices", "refusal": "kind", "code": "checks"}[form.scorer]
        raise TaskError("scorer_needs_option", scorer=form.scorer, option=option)
    return form


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise TaskError("bad_max_new_tokens", got=text)
    return int(text)


def _examples(
    files: Mapping[str, Sequence[Row]], form: Form, lenient: bool
) -> tuple[dict[str, tuple[Example, ...]], dict[str, dict[str, int]]]:
    """(split -> examples, split -> reason -> rows left out).

    Args:
        lenient: rows with an empty field are left out and counted: public data sets hold a few, and hide the answers
            of whole test splits. In columns that the user named, one is a mistake to be told.
    """
    given: dict[str, list[Example]] = {}
    dropped: dict[str, dict[str, int]] = {}
    for split, rows in files.items():
        first = numbered_from(form, rows)
        for row in rows:
            try:
                given.setdefault(split, []).append(make_example(form, row, first))
            except DataError as error:
                if not lenient or error.key != "empty_field":
                    raise
                _count(dropped, split, "empty")
    given = {split: examples for split, examples in given.items() if examples}
    if not given:
        raise DataError("no_rows_left", file=next(iter(files.values()))[0].file)
    splits = _without_repeats(_filled(given), dropped)
    return {split: tuple(splits.get(split, ())) for split in SPLITS}, dropped


def _count(dropped: dict[str, dict[str, int]], split: str, reason: str) -> None:
    reasons = dropped.setdefault(split, {})
    reasons[reason] = reasons.get(reason, 0) + 1


def _filled(given: dict[str, list[Example]]) -> dict[str, list[Example]]:
    """All three splits. Missing ones take their share of the train split (or the next best) by a hash of the prompt.

    Where only train and validation are there, validation becomes the test split: the public sets that hide their test
    answers (BoolQ, PIQA, SocialIQA, HellaSwag, WinoGrande) are compared on it.
    """
    if given.keys() == {"train", "validation"}:
        given = {"train": given["train"], "test": given["validation"]}
    source = next(split for split in ("train", "all", "validation", "test") if split in given)
    splits: dict[str, list[Example]] = {split: [] for split in SPLITS} | given | {source: []}
    for example in given[source]:
        wanted = share(example.prompt)
        splits[wanted if wanted == source or wanted not in given else source].append(example)
    return splits


def share(prompt: str) -> str:
    """The split that a prompt falls into: 80 % train, 10 % validation, 10 % test, the same on every machine."""
    number = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "big") % 10
    return {0: "validation", 1: "test"}.get(number, "train")


def _without_repeats(splits: dict[str, list[Example]], dropped: dict[str, dict[str, int]]) -> dict[str, list[Example]]:
    """Prompts of the test split leave validation and train, those of validation leave train; they are counted."""
    held: set[str] = set()
    kept = {}
    for split in ("test", "validation", "train"):
        kept[split] = [example for example in splits[split] if example.prompt not in held]
        for _ in range(len(splits[split]) - len(kept[split])):
            _count(dropped, split, "duplicate")
        held |= {example.prompt for example in kept[split]}
    return kept
