"""Files as people have them: each is read right the first time, or refused with what to do."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lori_core.errors import DataError
from lori_core.tasks.encodings import decode
from lori_core.tasks.files import separator_of
from lori_core.tasks.registry import load_task
from lori_core.tasks.task import SPLITS, Example, Prompt, Task

FAQ = [
    ("営業時間は何時ですか？", "午前9時から午後6時までです。"),
    ("返品できますか？", "はい、7日以内なら可能です。"),
] * 3
ASKED = "prompt=質問&response=回答"
LETTERS = [{"question": "鳥は？", "A": "木", "B": "梟", "C": "石", "D": "川", "answer": "B"}]


def table(rows: list[tuple[str, ...]], separator: str = ",", header: bool = True) -> str:
    lines = [("質問", "回答"), *rows] if header else rows
    return "".join(separator.join(fields) + "\n" for fields in lines)


def excel(rows: list[tuple[Any, ...]]) -> bytes:
    from openpyxl import Workbook

    book, content = Workbook(), io.BytesIO()
    for row in rows:
        book.worksheets[0].append(row)
    book.save(content)
    return content.getvalue()


def arrow(rows: list[dict[str, Any]], stream: bool, names: Sequence[str] = ()) -> bytes:
    """names: of the columns, where they are not those of the rows."""
    from pyarrow import BufferOutputStream, Table, ipc

    content, made = BufferOutputStream(), Table.from_pylist(rows)
    made = made.rename_columns(list(names or made.column_names))
    with (ipc.new_stream if stream else ipc.new_file)(content, made.schema) as writer:
        writer.write_table(made)
    return content.getvalue().to_pybytes()


def parquet(rows: list[dict[str, Any]], names: Sequence[str] = ()) -> bytes:
    """names: as of arrow()."""
    from pyarrow import BufferOutputStream, Table
    from pyarrow.parquet import write_table

    content, made = BufferOutputStream(), Table.from_pylist(rows)
    write_table(made.rename_columns(list(names or made.column_names)), content)
    return content.getvalue().to_pybytes()


def dumped(value: Any, **how: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, **how).encode()


NAMED = [{"質問": question, "回答": answer} for question, answer in FAQ]
FAQ_FILES: dict[str, tuple[str, bytes, str]] = {  # name of the file, content, how it was read
    "commas": ("faq.csv", table(FAQ).encode(), ""),
    "semicolons": ("faq.csv", table(FAQ, ";").encode(), "faq.csv: separator ;"),
    "Excel's own mark": ("faq.csv", ("sep=;\n" + table(FAQ, ";")).encode(), "faq.csv: separator ;"),
    "Excel's own mark on an old Mac": (
        "faq.csv",
        ("sep=;\n" + table(FAQ, ";")).replace("\n", "\r").encode(),
        "faq.csv: separator ;",
    ),
    "tabs": ("faq.tsv", table(FAQ, "\t").encode(), "faq.tsv: separator tab"),
    "text": ("faq.txt", table(FAQ, "\t").encode(), "faq.txt: separator tab"),
    "UTF-8 with a mark": ("faq.csv", table(FAQ).encode("utf-8-sig"), ""),
    "UTF-16": ("faq.csv", table(FAQ, "\t").encode("utf-16"), "faq.csv: utf-16, separator tab"),
    "cp932": ("faq.csv", table(FAQ).encode("cp932"), "faq.csv: cp932"),
    "EUC-JP": ("faq.csv", table(FAQ).encode("euc_jp"), "faq.csv: euc_jp"),
    "ISO-2022-JP": ("faq.csv", table(FAQ).encode("iso2022_jp"), "faq.csv: iso2022_jp"),
    "packed": ("faq.csv.gz", gzip.compress(table(FAQ).encode("cp932")), "faq.csv.gz: cp932"),
    "packed in parts": ("faq.csv.gz", b"".join(map(gzip.compress, table(FAQ).encode().splitlines(True))), ""),
    "Excel": ("faq.xlsx", excel([("質問", "回答"), *FAQ, (None, None)]), ""),
    "Excel, notes beside it": ("faq.xlsx", excel([("質問", "回答"), *((*row, 1, "?") for row in FAQ)]), ""),
    "columns without names": ("faq.csv", table(FAQ).replace("\n", ",,\n").encode(), ""),
    "pretty JSON": ("faq.json", dumped(NAMED, indent=2), ""),
    "JSON in an object": ("faq.json", dumped({"data": NAMED}, indent=2), ""),
    "JSON lines in cp932": ("faq.jsonl", b"".join(map(dumped, NAMED)).replace(b"}{", b"}\n{"), ""),
    "Parquet": ("faq.parquet", parquet(NAMED), ""),
    "Arrow": ("faq.arrow", arrow(NAMED, False), ""),
    "Arrow, streamed": ("faq.arrow", arrow(NAMED, True), ""),
}


def every(task: Task) -> list[Example]:
    return [example for split in SPLITS for example in task.examples(split)]


@pytest.mark.parametrize("name", FAQ_FILES)
def test_an_faq_is_read_whatever_file_it_comes_in_and_how_is_told(name: str, tmp_path: Path):
    file, content, told = FAQ_FILES[name]
    (tmp_path / file).write_bytes(content)
    task = load_task(f"faq={tmp_path / file}?{ASKED}")
    assert sorted((example.prompt, example.response) for example in every(task)) == sorted(FAQ)
    assert task.read_as == ((told,) if told else ())


ODD = {
    "alike": "q,a\n" + "".join(f"問い {n},いいえ\n" for n in range(100)),
    "short": "q,a\n川,山\n",
    "half width": "q,a\nﾃｽﾄ,ﾊﾝｶｸ\n",
    "German": "q;a\n" + "".join(f"Wie groß ist Straße {n}?;Größe {n}\n" for n in range(20)),
    "French": "q;a\n" + "".join(f"Où est l'été {n}?;là-bas à côté\n" for n in range(20)),
}


@pytest.mark.parametrize("encoding", ["cp932", "euc_jp", "cp1252"])
@pytest.mark.parametrize("name", ODD)
def test_short_and_repetitive_tables_are_decoded_too(name: str, encoding: str):
    try:
        content = ODD[name].encode(encoding)
    except UnicodeEncodeError:
        pytest.skip("the encoding has no such letters")
    assert decode("a.csv", content) == (ODD[name], encoding)


def test_a_table_without_a_header_takes_names_that_are_given(tmp_path: Path):
    (tmp_path / "faq.csv").write_text(table(FAQ, header=False), encoding="utf-8")
    task = load_task(f"faq={tmp_path / 'faq.csv'}?columns=質問,回答&{ASKED}")
    assert sorted((example.prompt, example.response) for example in every(task)) == sorted(FAQ)


def test_a_folder_that_datasets_saved_is_read_with_its_splits(tmp_path: Path):
    from datasets import Dataset, DatasetDict

    whole = Dataset.from_list([{"prompt": f"say {n}", "response": f"{n}"} for n in range(30)])
    whole.save_to_disk(tmp_path / "whole")
    DatasetDict({"train": whole, "test": whole.select([0, 1])}).save_to_disk(tmp_path / "split")
    assert len(every(load_task(f"t={tmp_path / 'whole'}"))) == 30
    task = load_task(f"t={tmp_path / 'split'}")
    assert {example.prompt for example in task.examples("test")} == {"say 0", "say 1"}


def conversation(turns: list[tuple[str, str]], role: str, content: str) -> list[dict[str, str]]:
    return [{role: who, content: said} for who, said in turns]


TURNS = [("user", "Hi"), ("assistant", "Hello."), ("user", "Bye"), ("assistant", "See you.")]
SHARED = [("human" if who == "user" else "gpt", said) for who, said in TURNS]
ROWS: dict[str, tuple[list[dict[str, Any]], str, list[tuple[str, str]]]] = {  # rows, options, (prompt, response)
    "A to D": (LETTERS, "", [("Question: 鳥は？\nAnswer:", " 梟")]),
    "A to D, named": (LETTERS, "prompt=question&response=answer&choices=A,B,C,D", [("鳥は？", "梟")]),
    "Alpaca": ([{"instruction": "Say hi", "input": "", "output": "hi"}], "", [("### Response:\n", "hi")]),
    "messages": (
        [{"messages": conversation(TURNS, "role", "content")}],
        "",
        [("User: Hi\nAssistant:", " Hello."), ("Assistant: Hello.\nUser: Bye\nAssistant:", " See you.")],
    ),
    "ShareGPT": (
        [{"conversations": conversation(SHARED, "from", "value")}],
        "",
        [("User: Hi\nAssistant:", " Hello."), ("Assistant: Hello.\nUser: Bye\nAssistant:", " See you.")],
    ),
    "DPO": ([{"prompt": "Hi", "chosen": "Hello.", "rejected": "Go."}], "", [("Hi", " Hello.")]),
    "KTO": (
        [{"prompt": "Hi", "completion": said, "label": said == "Hello."} for said in ("Hello.", "Go.")],
        "",
        [("Hi", " Hello.")],
    ),
    "nested": (
        [{"question": {"stem": "bird?", "choices": [{"text": "oak", "label": "A"}, {"text": "owl", "label": "B"}]},
          "answerKey": "B"}],
        "prompt=question.stem&response=answerKey&choices=question.choices",
        [("bird?", " owl")],
    ),
    "empty where it may be": (
        [{"q": "Hi?", "note": "", "a": "Hello."}, {"q": "Hi?", "note": "be brief", "a": "Hi."}],
        "template={q}{note?}&response=a",
        [("Hi?", " Hello."), ("be brief", " Hi.")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_known_shapes_become_the_examples_that_a_reader_expects(name: str, tmp_path: Path):
    rows, options, expected = ROWS[name]
    (tmp_path / "a.jsonl").write_bytes(b"".join(dumped(row) + b"\n" for row in rows))
    found = [(example.prompt, example.response) for example in every(load_task(f"t={tmp_path / 'a.jsonl'}?{options}"))]
    assert len(found) == len(expected)
    for prompt, response in expected:
        assert any(asked.endswith(prompt) and answered == response for asked, answered in found), found


def test_what_is_learned_of_preferences_is_said(tmp_path: Path):
    for name, note in (("DPO", "note.chosen"), ("KTO", "note.wanted")):
        (tmp_path / "a.json").write_bytes(dumped(ROWS[name][0]))
        task = load_task(f"t={tmp_path / 'a.json'}")
        assert task.notes == (note,) and task.left_out == ({"unwanted": 1} if name == "KTO" else {})


def test_a_conversation_keeps_its_turns_for_a_chat_template(tmp_path: Path):
    (tmp_path / "a.json").write_bytes(dumped(ROWS["messages"][0]))
    prompts = [example.prompt for example in every(load_task(f"t={tmp_path / 'a.json'}?system=Be brief."))]
    assert sorted(len(prompt.turns) for prompt in prompts if isinstance(prompt, Prompt)) == [2, 4]


MBPP = {
    "text": "Write a function to add two numbers.",
    "code": "def one():\n    return 1\n\ndef add(a, b):\n    return a + b\n",
    "test_list": ["assert add(1, 2) == 3", "assert add(2, 2) == 4"],
}


def test_mbpp_is_judged_by_its_own_assertions(tmp_path: Path):
    from lori_core.tasks.scorers import score_all

    (tmp_path / "test.json").write_bytes(dumped([MBPP]))
    (example,) = load_task(f"t={tmp_path}", allow_code_execution=True).examples("test")
    assert "assert add(1, 2) == 3" in example.prompt and example.checks["entry_point"] == "add"
    outputs = [MBPP["code"], "def add(a, b):\n    return a - b\n", "no code"]
    assert score_all("program", [example] * 3, outputs) == [1.0, 0.0, 0.0]


REFUSED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "two columns of one name": ("a.xlsx", lambda: excel([("q", "q"), ("a", "b")]), "names two columns 'q'"),
    "two columns of one name in Parquet": ("a.parquet", lambda: parquet(NAMED, "qq"), "names two columns 'q'"),
    "two columns of one name in Arrow": ("a.arrow", lambda: arrow(NAMED, False, "qq"), "names two columns 'q'"),
    "two columns of one name in a stream": ("a.arrow", lambda: arrow(NAMED, True, "qq"), "names two columns 'q'"),
    "a bomb in two parts": (
        "a.csv.gz",
        lambda: gzip.compress(b"q,a\n" + b"x" * 2**25) + gzip.compress(b"x" * 2**26),
        "would unpack to more than",
    ),
    "a part that is cut off": (
        "a.csv.gz",
        lambda: gzip.compress(b"q,a\n1,2\n") + gzip.compress(b"3,4\n")[:-4],
        "cannot be unpacked",
    ),
    "a bomb": ("a.csv.gz", lambda: gzip.compress(b"q,a\n" + b"x" * 2**27), "would unpack to more than"),
    "a bomb in Excel": ("a.xlsx", lambda: zipped(2**27), "would unpack to more than"),
    "an unknown encoding": ("a.csv", lambda: b"q,a\n1,2\n", "no encoding 'ebcdic-jp'"),
    "nobody answers": ("a.json", lambda: dumped([{"messages": [{"role": "user", "content": "x"}]}]), "nobody answers"),
}


def zipped(size: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("xl/workbook.xml", b" " * size)
    return content.getvalue()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_with_what_to_do(name: str, tmp_path: Path):
    file, content, message = REFUSED[name]
    (tmp_path / file).write_bytes(content())
    options = "?encoding=ebcdic-jp" if name == "an unknown encoding" else ""
    with pytest.raises(DataError, match=message) as caught:
        load_task(f"t={tmp_path / file}{options}")
    assert caught.value.in_language("ja") != str(caught.value)


def test_the_separator_is_what_finds_as_many_columns_in_every_row():
    assert separator_of("q;a\nyes, or no;no\n") == ";" and separator_of("q,a\nx;y,z\n") == ","
    assert separator_of("q\nx\n") == "," and separator_of('q|a\n"x|y"|z\n') == "|"


@pytest.mark.parametrize("name", ["a%00b", "idna", "punycode", "undefined"])
def test_what_is_no_encoding_of_texts_is_told_with_those_that_are(name: str, tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b"q,a\n1.xn--99999999999999999999.com,2\n")
    with pytest.raises(DataError, match=r"no encoding .* Known ones are utf-8"):
        load_task(f"t={tmp_path / 'a.csv'}?encoding={name}")
