"""Forms: how a row becomes an example, named by the user or one of prompts.py.

Form("Question: {question}\\nAnswer:", "answer") makes of {"question": "How many legs has an owl?", "answer": "2"}
Example(prompt="Question: How many legs has an owl?\\nAnswer:", response=" 2")
"""

import math
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from lori_core.errors import DataError, TaskError
from lori_core.files import parse_json
from lori_core.tasks.conversations import conversation_examples, is_conversation
from lori_core.tasks.files import Row
from lori_core.tasks.readings import Answer, Readings, answer_text, column_signs, decide, index_of, text_signs
from lori_core.tasks.scorers import find_number
from lori_core.tasks.task import Example, Prompt

_UNWANTED = ("false", "0", "no", "undesirable")
_LISTS = ("*listed", "*labels")  # what a template may name that is no column
# scorer -> the fields of Example.checks that it reads and what each of them is, and how the column is written
_CHECKED: dict[str, tuple[dict[str, type], str]] = {
    "code": ({"entry_point": str, "tests": list}, '{"entry_point": "f", "tests": [[[arguments], result]]}'),
    "program": (dict.fromkeys(("prompt", "test", "entry_point"), str), '{"prompt", "test", "entry_point"}, all texts'),
}


@dataclass(frozen=True)
class Form:
    """Which columns make an example, and how.

    Attributes:
        template: the prompt, "{column}" where a value goes; "{*listed}" and "{*labels}" where the choices do;
            "{column?}" may be empty; "{column!c}" puts a space before the value and a capital on it, and nothing where
            it is empty.
        prompt: column that is the whole prompt, whatever signs its name holds; the template is not looked at then.
        response: column of the answer; with choices the index, label ("A", or the label beside the text) or text.
            Empty: there is none, as where a refusal is judged.
        choices: columns, one a choice, separated by commas; or one column that holds a list of texts or
            {"text": [...], "label": [...]}.
        fixed: choices that are the same in every row; of two, False and True mean the first and the second.
        first: how an answer names the first choice, one of readings.FIRST; empty: all answers together say.
        listed: what choices are called where the prompt lists them: "Answer" makes "Answer1: owl Answer2: oak", and
            labels "answer1/answer2"; empty: labels are the choices' texts.
        between: stands between listed choices.
        said: what the answer says, "{}" where its label goes: "the correct answer is {}"; empty: the choice's text.
        longer: the template for rows whose column `input` is not empty.
        marker: stands in the response of every row of this data set.
        kind: column of what becomes Example.kind. kinds: (value, kind) pairs, where the column says it otherwise; the
            value "*" stands for any.
        checks: column of what becomes Example.checks (an object, or its JSON text); or columns, separated by commas.
        messages: column of a conversation, every reply of which is an example; the template is not looked at.
        wanted: column that says whether an answer is a good one; rows of others are left out and counted.
        notes: see Task.
        system: stands before every prompt, an empty line between.
        stop: texts that end an answer, see Task.
        test_only: the data set is there to test with, so it is never cut into splits.
    """

    template: str
    response: str
    choices: str = ""
    fixed: tuple[str, ...] = ()
    first: str = ""
    listed: str = ""
    between: str = " "
    said: str = ""
    scorer: str = "exact"
    max_new_tokens: int = 128
    longer: str = ""
    marker: str = ""
    kind: str = ""
    kinds: tuple[tuple[str, str], ...] = ()
    checks: str = ""
    messages: str = ""
    wanted: str = ""
    notes: tuple[str, ...] = ()
    system: str = ""
    test_only: bool = False
    stop: tuple[str, ...] = ()
    prompt: str = ""

    @property
    def has_choices(self) -> bool:
        return bool(self.choices or self.fixed)

    @property
    def asked(self) -> list[str]:
        """The columns that stand in the prompt."""
        if self.prompt:
            return [self.prompt]
        return [field.removesuffix("?") for field in _fields(self.template) if not field.startswith("*")]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that every row must have."""
        if self.messages:
            return (self.messages,)
        fields = self.asked
        named = [self.wanted, self.response, *self.choices.split(","), self.kind, *self.checks.split(",")]
        return tuple(dict.fromkeys([*fields, *(name for name in named if name)]))

    def fits(self, row: Row) -> bool:
        row = with_nested(row, self.columns)
        known = set(self.columns) <= row.values.keys() and self.marker in str(row.values.get(self.response))
        return known and (not self.messages or is_conversation(row.values[self.messages]))


def make_examples(form: Form, row: Row, readings: Readings) -> list[Example]:
    """The row's examples: one, or of a conversation one a reply, or none where its answer is not wanted."""
    row = with_nested(row, form.columns)
    if form.messages:
        return conversation_examples(row, form.messages, form.system)
    if form.wanted and str(row.values.get(form.wanted)).strip().lower() in _UNWANTED:
        return []
    return [make_example(form, row, readings)]


def with_nested(row: Row, columns: Iterable[str]) -> Row:
    """With the columns that are named by a path, "question.stem" or "choices.0", as columns of their own."""
    found = {}
    for column in columns:
        first, *rest = column.split(".")
        if column in row.values or not rest or first not in row.values:
            continue
        value = _from_json(row.values[first])
        for part in rest:
            if isinstance(value, Mapping):
                value = value.get(part)
            elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                value = None
        found[column] = value
    return replace(row, values={**row.values, **found}) if found else row


def make_example(form: Form, row: Row, readings: Readings) -> Example:
    """The row as an example; raises DataError that names file, row and field.

    Args:
        readings: how answers name choices, see readings_of.
    """
    if missing := [column for column in form.columns if column not in row.values]:
        raise DataError(
            "missing_column", file=row.file, row=row.number, field=missing[0], columns=", ".join(row.values)
        )
    texts, labels = _choices(form, row) if form.has_choices else ([], [])
    prompt = _prompt(form, row, texts)
    choices, answer = (), None
    if form.has_choices:
        answer = _index(form, row, texts, labels, readings)
        said = [form.said.format(label) for label in _labels(form, texts)] if form.said else texts
        choices = tuple(_continuation(prompt, text) for text in said)
        response = choices[answer]
    else:
        response = _continuation(prompt, _text(row, form.response)) if form.response else ""
    if form.scorer == "number" and find_number(response) is None:
        raise _wrong(row, form.response, response, "number")
    kind = _kind(form, row)
    if form.scorer == "refusal" and kind not in ("harmful", "benign"):
        raise _wrong(row, form.kind, kind, '"harmful" | "benign"')
    return Example(prompt, response, choices, answer, kind, _checks(form, row))


def readings_of(form: Form, rows: Iterable[Row]) -> Readings:
    """How the answers of all rows, of every split, name choices; raises DataError where that is in doubt."""
    if not form.has_choices:
        return {}
    answers = []
    for row in rows:
        with suppress(DataError):  # is told, or left out and counted, where the row becomes an example
            row = with_nested(row, form.columns)
            if set(form.columns) <= row.values.keys():
                answers.append(_answer(form, row, *_choices(form, row)))
    two_truths = len(form.fixed) == 2
    return decide(answers, form.response, form.first or ("0" if two_truths else ""))


def _fields(template: str) -> list[str]:
    """Column names in a template; raises TaskError where its braces do not close or hold no name."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise TaskError("bad_template", template=template, reason=error) from None
    if "" in fields:
        raise TaskError("bad_template", template=template, reason="{}")
    if unknown := [field for field in fields if field.startswith("*") and field not in _LISTS]:
        raise TaskError("bad_template", template=template, reason=f"{{{unknown[0]}}}")
    return fields


def _prompt(form: Form, row: Row, texts: Sequence[str]) -> Prompt:
    opening = f"{form.system}\n\n" if form.system else ""
    if form.prompt:
        value = _text(row, form.prompt)
        return Prompt(opening + value, [(len(opening), len(opening) + len(value))])
    template = form.longer if form.longer and _shown(row.values.get("input") or "") else form.template
    labels = _labels(form, texts)
    named = zip(labels, texts, strict=True)
    lists = {
        "*labels": "/".join(labels),
        "*listed": form.between.join(f"{label.capitalize()}: {text}" for label, text in named),
    }
    prompt, data = opening, []
    for text, field, _, conversion in string.Formatter().parse(template):
        prompt += text
        if field is not None:
            value = lists[field] if field in lists else _filled_in(row, field, conversion)
            data.append((len(prompt), len(prompt) + len(value)))
            prompt += value
    return Prompt(prompt, data)


def _filled_in(row: Row, field: str, conversion: str | None) -> str:
    if field.endswith("?"):
        field = field.removesuffix("?")
        if not _shown(row.values[field]):
            return ""
    if conversion == "c":
        text = _shown(row.values[field] or "")
        return f" {text[0].upper()}{text[1:]}" if text else ""
    return _text(row, field)


def _labels(form: Form, texts: Sequence[str]) -> list[str]:
    return [f"{form.listed.lower()}{n}" for n in range(1, len(texts) + 1)] if form.listed else list(texts)


def _kind(form: Form, row: Row) -> str:
    if not form.kind:
        return ""
    kind, kinds = _text(row, form.kind), dict(form.kinds)
    return kinds.get(kind, kinds.get("*", kind))


def _continuation(prompt: str, text: str) -> str:
    """The text as it follows the prompt: after a space, unless that is empty or ends in white space or in Japanese."""
    return f" {text}" if prompt and prompt[-1].isascii() and not prompt[-1].isspace() else text


def _text(row: Row, field: str) -> str:
    return _as_text(row, field, row.values[field])


def _shown(value: Any) -> str:
    """The value as a text without white space around it; "" of an empty one, which NaN is too, as pandas writes it."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value).strip()


def _as_text(row: Row, field: str, value: Any) -> str:
    if not _shown(value):
        raise DataError("empty_field", file=row.file, row=row.number, field=field)
    if not isinstance(value, str | int | float):
        raise _wrong(row, field, value, "text")
    text = str(value).replace("\r\n", "\n").replace("\r", "\n")
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON's escapes can write half a character, which no tokenizer reads
        raise _wrong(row, field, text, "text in UTF-8") from None
    return text


def _wrong(row: Row, field: str, got: object, expected: str) -> DataError:
    return DataError("wrong_field", file=row.file, row=row.number, field=field, got=repr(got)[:80], expected=expected)


def _from_json(value: Any) -> Any:
    """A list or an object that a CSV cell holds as JSON text; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError:
        return value


def _choices(form: Form, row: Row) -> tuple[list[str], list[str]]:
    """(texts, labels) of a row's choices; labels are empty where the file gives none."""
    if form.fixed:
        return list(form.fixed), []
    columns = form.choices.split(",")
    value = [row.values[column] for column in columns] if len(columns) > 1 else _from_json(row.values[columns[0]])
    labels: list[str] = []
    if isinstance(value, Mapping) and {"text", "label"} <= value.keys():
        given = value["label"]
        value, labels = value["text"], [str(label) for label in given] if isinstance(given, list) else []
    if isinstance(value, list) and value and all(isinstance(each, Mapping) and "text" in each for each in value):
        labels = [str(each["label"]) for each in value if "label" in each]
        value = [each["text"] for each in value]
    if not isinstance(value, list) or len(value) < 2 or len(labels) not in (0, len(value)):
        raise _wrong(row, form.choices, value, '["...", "..."]')
    return [_as_text(row, form.choices, text) for text in value], labels


def _index(form: Form, row: Row, texts: list[str], labels: list[str], readings: Readings) -> int:
    answer = _answer(form, row, texts, labels)
    index = index_of(answer, readings)
    if index is None:
        raise _wrong(row, form.response, answer.value, " | ".join(labels or texts))
    return index


def _answer(form: Form, row: Row, texts: list[str], labels: list[str]) -> Answer:
    given = row.values[form.response]
    _text(row, form.response)  # raises where it is empty or no text
    value = answer_text(given)
    if value == "-1":  # public sets hide the answers of their test splits so
        raise DataError("empty_field", file=row.file, row=row.number, field=form.response)
    columns = form.choices.split(",") if "," in form.choices else []
    signs = tuple(labels) or column_signs(columns) or text_signs(texts)
    if value in columns and signs:
        value = signs[columns.index(value)]
    native = isinstance(given, int | float) and not isinstance(given, bool)
    return Answer(row, value, tuple(text.strip() for text in texts), signs, native)


def _checks(form: Form, row: Row) -> Mapping[str, Any]:
    columns = form.checks.split(",")
    if not form.checks:
        return {}
    if len(columns) > 1:
        checks = {column: _text(row, column) for column in columns}
    else:
        checks = _from_json(row.values[form.checks])
    if form.scorer == "program" and isinstance(checks, list):
        return asserted(row, form, checks)
    fields, expected = _CHECKED.get(form.scorer, ({}, _CHECKED["code"][1]))
    if not isinstance(checks, Mapping) or any(not isinstance(checks.get(each), kind) for each, kind in fields.items()):
        raise _wrong(row, form.checks, checks, expected)
    return checks


def asserted(row: Row, form: Form, tests: Sequence[object]) -> Mapping[str, str]:
    """What a benchmark brings, of a list of assertions: MBPP's ["assert add(1, 2) == 3", ...] and the code they test.

    The model writes the whole function, so what stands before it is a head that is defined anew.
    """
    body = [str(test) for test in tests]
    names = re.findall(r"^def\s+(\w+)", _text(row, form.response), re.MULTILINE)
    name = next((each for each in names if body and re.search(rf"\b{each}\(", body[0])), None)
    if name is None:
        raise _wrong(row, form.checks, tests, '["assert f(1) == 2"], f as the code defines it')
    test = "\n".join(f"    {line}" for each in body for line in each.splitlines())
    return {
        "prompt": f'def {name}(*_):\n    """Is defined anew."""\n',
        "test": f"def check(candidate):\n    {name} = candidate\n{test}\n",
        "entry_point": name,
    }
