"""Task registry: load_task(spec) gives a task by its name, or the user's own data.

nlu | math | code | safety | math_ja                                  see mini.py
math?level=3&conflict=form&seed=1                                     harder, harder to merge, other examples
gsm8k                                                                 a public data set by name, see catalog.py
gsm8k=hf:openai/gsm8k@main                                            any data set of the hub: id, @config, #revision
gsm8k=data/gsm8k?prompts=paper-1                                      columns of a known data set, see prompts.py
code=data/codealpaca?test=data/humaneval                              learned from one, tested on another, or on several
support=tickets.csv?prompt=question&response=answer                   columns of one's own
support=tickets.csv?template=Q:%20{q}%0AA:&response=a&scorer=contains values are percent-encoded, as in a URL
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from lori_core.errors import DataError, TaskError
from lori_core.tasks.catalog import CATALOG
from lori_core.tasks.files import Row, open_rows, rows_of, split_files
from lori_core.tasks.forms import Form, make_examples, readings_of
from lori_core.tasks.hub import PREFIX, read_hub
from lori_core.tasks.prompts import CONVERSATIONS, DEFAULT, recognise
from lori_core.tasks.readings import FIRST
from lori_core.tasks.scorers import RUN_CODE, SCORERS
from lori_core.tasks.splits import Drawn, Dropped, count, filled, row_text, without_repeats
from lori_core.tasks.task import Task

MINI_OPTIONS = ("level", "conflict", "seed")
COLUMNS = (
    "prompt",
    "template",
    "response",
    "messages",
    "choices",
    "first",
    "scorer",
    "system",
    "kind",
    "checks",
    "max_new_tokens",
)
OPTIONS = (*COLUMNS, "prompts", "test", "columns", "encoding")
MOST_LABELS = 100  # different answers that are taken for labels
_WHOLE = re.compile("[0-9]{1,9}")


@dataclass(frozen=True)
class Source:
    """Examples of one data set, and how they are made and judged."""

    form: Form
    splits: dict[str, list[Drawn]]  # as the files name them
    read_as: tuple[str, ...] = ()  # how files were read that are no plain UTF-8 with commas


def load_task(spec: str, allow_code_execution: bool = False) -> Task:
    """The task that a spec names; data are read whole, so that every mistake in them shows now.

    Args:
        allow_code_execution: whether a foreign benchmark that is judged by running model-written code may be loaded.
    Raises:
        TaskError: the spec cannot be understood, or code may not be run. DataError: the data cannot be used.
    """
    name, place, pairs = _read(spec)
    if not place:
        return _mini(spec)
    options = {option: value for option, value in pairs if option != "test"}
    version = options.pop("prompts", DEFAULT)
    dropped: Dropped = {}
    learned = _source(place, options, version, dropped)
    tests = [(value, _source(value, {}, version, dropped)) for option, value in pairs if option == "test"]
    judged = _tested_on(learned, tests) if tests else learned
    if judged.form.scorer == "program" and not allow_code_execution:
        raise TaskError("code_execution_off", task=name)
    splits = without_repeats(filled(judged.splits, judged.form.test_only), dropped)
    own = options.keys() & {"prompt", "template"}
    form = learned.form
    return Task(
        name,
        splits.__getitem__,
        judged.form.scorer,
        max(judged.form.max_new_tokens, learned.form.max_new_tokens),
        source="; ".join([place, *(value for value, _ in tests)]),
        validation_scorer=learned.form.scorer,
        prompts="" if own else version,
        test_only="train" not in splits,
        dropped=dropped,
        stop=judged.form.stop,
        read_as=tuple(note for source in (learned, *(each for _, each in tests)) for note in source.read_as),
        template=form.template if own else "",
        system=form.system,
        notes=form.notes,
    )


def name_of(spec: str) -> str:
    """The name of the task that a spec names; nothing is loaded."""
    return spec.partition("?")[0].partition("=")[0]


def places(spec: str) -> list[str]:
    """Where load_task would read data for that spec: paths, or "hf:id"; none for a mini task. Raises TaskError."""
    _, place, pairs = _read(spec)
    return [place, *(value for option, value in pairs if option == "test")] if place else []


def asked_of(spec: str) -> dict[str, str]:
    """The options of a spec; of one that is named twice, the last."""
    return dict(_read(spec)[2])


def _read(spec: str) -> tuple[str, str, list[tuple[str, str]]]:
    """(name, place, options) of a spec; a mini task has no place."""
    head, _, query = spec.partition("?")
    name, is_data, place = head.partition("=")
    if not is_data and name not in CATALOG:
        return name, "", []
    if not is_data:
        place, _, known = CATALOG[name].partition("?")
        query = f"{known}&{query}"
    if not name or not place or not _is_text(spec):
        raise TaskError("bad_task_spec", spec=spec)
    return name, unquote(place), _options(query)


def _mini(spec: str) -> Task:
    from lori_core.tasks.mini import mini_task  # its word lists are read only where they are wanted

    name, query = name_of(spec), spec.partition("?")[2]
    if "/" in name or "." in name or "\\" in name:
        raise TaskError("name_forgotten", spec=spec)
    options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    for option, text in options.items():
        if option not in MINI_OPTIONS:
            raise TaskError("unknown_task_option", option=option, known=", ".join(MINI_OPTIONS))
        if option != "conflict":
            if not _WHOLE.fullmatch(text):
                raise TaskError("bad_mini_number", option=option, got=text)
            options[option] = int(text)
    return mini_task(name, **options)


def _options(query: str) -> list[tuple[str, str]]:
    pairs = parse_qsl(query, keep_blank_values=True)
    for option, value in pairs:
        if option not in OPTIONS:
            raise TaskError("unknown_task_option", option=option, known=", ".join(OPTIONS))
        if option == "scorer" and value not in SCORERS:
            raise TaskError("unknown_scorer", scorer=value, known=", ".join(SCORERS))
        if option == "first" and value not in FIRST:
            raise TaskError("bad_first", got=value, known=", ".join(FIRST))
    return pairs


def _source(place: str, options: dict[str, str], version: str, dropped: Dropped) -> Source:
    """All examples of a path or of "hf:id"; counts rows left out in `dropped`."""
    options, read_as = dict(options), ()
    if place.startswith(PREFIX):
        rows = read_hub(place.removeprefix(PREFIX))
    else:
        names = tuple(options.pop("columns", "").split(",")) if options.get("columns") else ()
        encoding = options.pop("encoding", "")
        given = {
            split: [open_rows(path, names, encoding) for path in some]
            for split, some in split_files(Path(place)).items()
        }
        rows = {split: [row for file in files for row in rows_of(file)] for split, files in given.items()}
        read_as = tuple(file.read_as for files in given.values() for file in files if file.read_as)
    first = next((each[0] for each in rows.values() if each), None)
    if first is None:
        raise DataError("empty_file", file=place)
    form = _form(options, version, first)
    examples = _examples(rows, form, not options.keys() & {"prompt", "template"}, dropped)
    labelled = form.scorer == "label" and not form.said and not form.marker
    return Source(form, _with_labels(examples, place) if labelled else examples, read_as)


def _with_labels(examples: dict[str, list[Drawn]], place: str) -> dict[str, list[Drawn]]:
    """What the scorer "label" looks for: the answers that the data have. Raises TaskError where they are no labels."""
    answers = Counter(drawn.example.response.strip() for those in examples.values() for drawn in those)
    if len(answers) > MOST_LABELS:
        raise TaskError("no_labels", source=place, count=len(answers), most=MOST_LABELS)
    checks = {"labels": sorted(answers)}
    return {
        split: [replace(drawn, example=replace(drawn.example, checks=checks)) for drawn in those]
        for split, those in examples.items()
    }


def _tested_on(learned: Source, tests: Sequence[tuple[str, Source]]) -> Source:
    """The first source's examples to learn from, those of the others to test with; kinds keep several apart.

    Raises:
        TaskError: the tests are judged in different ways.
    """
    forms = [source.form for _, source in tests]
    if len({form.scorer for form in forms}) > 1:
        raise TaskError("tests_differ", scorers=", ".join(form.scorer for form in forms))
    examples = []
    for place, source in tests:
        kind = place.removeprefix(PREFIX).rstrip("/").rsplit("/")[-1] if len(tests) > 1 else ""
        for drawn in filled(source.splits, test_only=True)["test"]:
            named = drawn.example if drawn.example.kind else replace(drawn.example, kind=kind)
            examples.append(replace(drawn, example=named))
    kept = {"train" if split == "all" else split: those for split, those in learned.splits.items() if split != "test"}
    if not kept:
        raise TaskError("nothing_to_learn", source=tests[0][0])
    longest = max(form.max_new_tokens for form in forms)
    return Source(replace(forms[0], max_new_tokens=longest, test_only=False), kept | {"test": examples})


def _form(options: dict[str, str], version: str, row: Row) -> Form:
    """The user's columns, or those of a known data set with the user's changes."""
    options = options | {option: _typed(options[option]) for option in ("template", "system") if option in options}
    for option in ("choices", "checks"):
        if options.get(option) and not all(options[option].split(",")):
            raise TaskError("empty_column", option=option, got=options[option])
    prompt, template = options.pop("prompt", None), options.pop("template", None)
    if template is not None and template not in row.values:
        form = Form(template, options.pop("response", "response"))
        if not template:
            raise TaskError("bad_template", template="", reason="it is empty")
    elif (column := template or prompt) is not None:  # a header with braces may have been taken for a template
        form = Form(f"{{{column}}}", options.pop("response", "response"), prompt=column)
    elif options.get("messages"):
        form = replace(CONVERSATIONS[0], messages=options["messages"])
    else:
        form = recognise(row, version)
    if form.response in form.asked:
        raise TaskError("answer_in_prompt", field=form.response)
    changes: dict[str, object] = dict(options)
    if "max_new_tokens" in options:
        changes["max_new_tokens"] = _positive(options["max_new_tokens"])
    form = replace(form, **changes)  # pyright: ignore[reportArgumentType]
    if "scorer" not in options and form.has_choices and not form.said:
        form = replace(form, scorer="choice")
    answers = form.response or form.messages
    needs = {  # scorer -> the option that names what it looks at, and whether that is there
        "choice": ("choices", form.has_choices),
        "refusal": ("kind", form.kind),
        "label": ("response", answers),
        **dict.fromkeys(RUN_CODE, ("checks", form.checks)),
    }
    option, named = needs.get(form.scorer, ("", True))
    if not named:
        raise TaskError("scorer_needs_option", scorer=form.scorer, option=option)
    return form


def _is_text(spec: str) -> bool:
    """Not where it holds half a character, which a command line can pass on and no tokenizer reads."""
    try:
        spec.encode()
    except UnicodeEncodeError:
        return False
    return True


def _typed(text: str) -> str:
    """A line break or a tab as a shell passes it on, a backslash and a letter; two backslashes are one."""
    return re.sub(r"\\([\\nt])", lambda found: {"n": "\n", "t": "\t", "\\": "\\"}[found[1]], text)


def _positive(text: str) -> int:
    if not _WHOLE.fullmatch(text) or int(text) == 0:
        raise TaskError("bad_max_new_tokens", got=text)
    return int(text)


def _examples(
    files: Mapping[str, Sequence[Row]], form: Form, lenient: bool, dropped: Dropped
) -> dict[str, list[Drawn]]:
    """Split -> its examples.

    Args:
        lenient: rows with an empty field are left out and counted: public data sets hold a few, and hide the answers
            of whole test splits. In columns that the user named, one is a mistake to be told.
        dropped: split -> reason -> rows left out; counted up here.
    """
    given: dict[str, list[Drawn]] = {}
    readings = readings_of(form, (row for rows in files.values() for row in rows))
    for split, rows in files.items():
        for row in rows:
            try:
                made = make_examples(form, row, readings)
                given.setdefault(split, []).extend(Drawn(each, row_text(row.values)) for each in made)
                if not made:
                    count(dropped, split, "unwanted")
            except DataError as error:
                if not lenient or error.key != "empty_field":
                    raise
                count(dropped, split, "empty")
    given = {split: examples for split, examples in given.items() if examples}
    if not given:
        raise DataError("no_rows_left", file=next(iter(files.values()))[0].file)
    return given
