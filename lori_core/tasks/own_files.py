"""Own files: one that somebody hands in is kept under a name of ours, read as a task, and previewed.

kept = keep_file(Path("tickets.csv"), data)          data/<random>/rows.csv
spec = spec_of("support", kept, "question", "answer")
look = examine(load_task(spec))
"""

import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import quote, urlencode

from lori_core.errors import DataError, TaskError
from lori_core.files import folder_atomic, open_plain
from lori_core.tasks.encodings import MARKS
from lori_core.tasks.files import read_rows
from lori_core.tasks.task import SPLITS, Task

TEXTS = (".csv", ".tsv", ".txt", ".jsonl", ".json")
KINDS = (*TEXTS, ".xlsx", ".parquet")
LARGEST = 100_000_000  # bytes
# Names of columns, most telling first.
ASKED = ("question", "prompt", "instruction", "query", "input", "text", "sentence", "q")
ASKED += ("質問", "問い合わせ", "質問文", "問題", "設問", "指示", "入力", "本文", "文")
ANSWERED = ("answer", "response", "completion", "output", "reply", "target", "label", "category", "class", "a")
ANSWERED += (
    "回答",
    "回答文",
    "答え",
    "解答",
    "正解",
    "返答",
    "応答",
    "出力",
    "ラベル",
    "カテゴリ",
    "カテゴリー",
    "分類",
)
LABELS = 20  # at most so many different answers are taken for labels, whose balance is worth a look
_MARKUP = re.compile(rb"\s*<(!doctype|html|head|script|\?xml)", re.IGNORECASE)


@dataclass(frozen=True)
class Quality:
    """What a task's examples are like.

    Attributes:
        counts: split -> examples.
        repeated: training examples whose prompt and answer occurred before.
        contradicting: training prompts that stand there with different answers.
        length: (shortest, median, longest) prompt and answer of the training split, characters.
        answers: the answers of the training split with how often they occur, most frequent first; empty where there
            are more than LABELS, as in free text.
    """

    counts: dict[str, int]
    repeated: int
    contradicting: int
    length: tuple[int, float, int]
    answers: dict[str, int]


def keep_file(file: Path, data: Path) -> Path:
    """A copy in a new folder of `data`, once every row of it was read; its own name is not used.

    Raises:
        DataError: it is of another kind, too large, no text, or a row of it cannot be read. Nothing is kept.
    """
    kind = file.suffix.lower()
    if kind not in KINDS:
        raise DataError("upload_kind", name=file.name[:80], known=", ".join(KINDS))
    try:
        with open_plain(file) as opened:
            size, start = os.fstat(opened.fileno()).st_size, opened.read(512)
    except OSError as error:
        raise DataError("data_unreadable", file=file.name, reason=error.strerror) from None
    if size > LARGEST:
        raise DataError("own_file_too_large", name=file.name[:80], size=size / 1e6, largest=LARGEST / 1e6)
    if kind in TEXTS and _is_no_table(start):
        raise DataError("upload_no_rows", name=file.name[:80], known=", ".join(KINDS))
    read_rows(file)
    place = data / secrets.token_hex(6)
    with folder_atomic(place) as folder:
        shutil.copyfile(file, folder / f"rows{kind}")
    return place / f"rows{kind}"


def _is_no_table(start: bytes) -> bool:
    """Of the beginning of a text: a page of the web, or zeros, which only two and four bytes a letter have."""
    wide = any(start.startswith(mark) for mark, encoding in MARKS if encoding != "utf-8-sig")
    return bool(_MARKUP.match(start.removeprefix(b"\xef\xbb\xbf"))) or (b"\0" in start and not wide)


def columns(file: Path) -> list[str]:
    """The columns of a file's first row."""
    return list(read_rows(file)[0].values)


def likely_columns(names: Sequence[str]) -> tuple[str | None, str | None]:
    """Which column is asked and which is answered, by their names, or where there are two by their order; None where
    nothing tells: a wrong column would be learned without a word.

    Args:
        names: of columns, at least one.
    """
    known = {name.strip().casefold(): name for name in reversed(names)}
    answered = next((known[each] for each in ANSWERED if each in known), None)
    asked = next((known[each] for each in ASKED if each in known), None)
    if len(names) == 2:
        others = [name for name in names if name not in (asked, answered)]
        asked, answered = asked or others.pop(0), answered or others.pop(0)
    return asked, answered


def spec_of(name: str, file: Path, prompt: str, response: str, scorer: str = "exact") -> str:
    """The task spec that learns column `response` from column `prompt`, or from a template with {columns} in it.

    Raises:
        TaskError: the name cannot be part of a spec or of a folder's name.
    """
    if not re.fullmatch(r"[^\W_][\w-]{0,39}", name):
        raise TaskError("bad_task_name", name=name[:80])
    # A column with a brace in its name goes as a template too: the registry knows it for the column.
    asked = {"template" if "{" in prompt else "prompt": prompt, "response": response, "scorer": scorer}
    return f"{name}={quote(str(file))}?{urlencode(asked, quote_via=quote)}"


def examine(task: Task) -> Quality:
    """Of a task that has something to learn from; raises TaskError where it is there to test with."""
    examples = task.examples("train")
    lengths = [len(example.prompt + example.response) for example in examples]
    pairs = {(example.prompt, example.response) for example in examples}
    prompts = Counter(prompt for prompt, _ in pairs)
    answers = Counter(example.response.strip() for example in examples)
    return Quality(
        counts={split: len(task.examples(split)) for split in SPLITS},
        repeated=len(examples) - len(pairs),
        contradicting=sum(count > 1 for count in prompts.values()),
        length=(min(lengths), median(lengths), max(lengths)) if lengths else (0, 0, 0),
        answers=dict(answers.most_common()) if len(answers) <= LABELS else {},
    )
