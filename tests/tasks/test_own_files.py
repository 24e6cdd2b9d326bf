"""Files that somebody hands in: kept whole under our name or refused, and looked at before they are learned."""

import os
import zipfile

import openpyxl
import pytest

from lori_core.errors import DataError, TaskError
from lori_core.tasks.own_files import columns, examine, keep_file, likely_columns, spec_of
from lori_core.tasks.registry import load_task

ROWS = "q,a\n" + "".join(f"how many is {n} ?,{'even' if n % 2 == 0 else 'odd'}\n" for n in range(60))


@pytest.fixture
def given(tmp_path):
    def write(name: str, content: bytes):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
        return tmp_path / "in" / name

    return write


def test_a_kept_file_is_a_task_and_its_own_name_is_nowhere(given, tmp_path):
    kept = keep_file(given("<script>.csv", ROWS.encode()), tmp_path / "data")
    assert kept.parent.parent == tmp_path / "data" and kept.name == "rows.csv"
    assert columns(kept) == ["q", "a"]
    task = load_task(spec_of("parity", kept, "q", "a"))
    assert task.name == "parity" and sum(len(task.examples(s)) for s in ("train", "validation", "test")) == 60
    example = task.examples("train")[0]
    assert example.prompt.startswith("how many is") and example.response in (" even", " odd")


def test_a_template_stands_for_the_prompt(given, tmp_path):
    kept = keep_file(given("x.csv", ROWS.encode()), tmp_path / "data")
    task = load_task(spec_of("parity", kept, "Q & A? {q}\nA:", "a"))
    assert task.examples("train")[0].prompt.startswith("Q & A? how many")


@pytest.mark.parametrize("header", ["Is it spam?", "Price {EUR}"])
def test_a_column_that_is_chosen_is_asked_whatever_its_header(given, tmp_path, header):
    kept = keep_file(given("x.csv", ROWS.replace("q,", f"{header},", 1).encode()), tmp_path / "data")
    task = load_task(spec_of("parity", kept, columns(kept)[0], "a"))
    assert task.examples("train")[0].prompt.startswith("how many is")


def test_columns_without_names_are_not_offered(given):
    assert columns(given("x.csv", b",q,a,, \n0,how many ?,2,,\n")) == ["q", "a"]


def test_quality_counts_repeats_contradictions_and_answers(given, tmp_path):
    rows = ROWS + ROWS + "".join(f"how many is {n} ?,other\n" for n in range(60))
    task = load_task(spec_of("parity", keep_file(given("x.csv", rows.encode()), tmp_path / "data"), "q", "a"))
    train, quality = task.examples("train"), examine(task)
    prompts = {example.prompt for example in train}
    assert quality.contradicting == len(prompts) and quality.repeated == len(prompts)
    assert quality.answers["other"] == len(prompts) and sum(quality.answers.values()) == len(train)
    sizes = sorted(len(example.prompt) + len(example.response) for example in train)
    assert (quality.length[0], quality.length[2]) == (sizes[0], sizes[-1])


def test_a_page_a_zip_a_foreign_encoding_and_a_short_row_are_refused_and_nothing_is_kept(given, tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("x.csv", ROWS)
    cases = {
        "upload_kind": archive,
        "upload_no_rows": given("page.csv", b"\n<!DOCTYPE html><html></html>"),
        "not_utf8": given("latin.csv", b"q,a\n\x81\xff\x9d\xff\x8d,b\n"),
        "csv_fields": given("short.csv", b"q,a\nonly one\n"),
        "bad_json": given("x.jsonl", b'{"q": 1}\n{broken\n'),
    }
    for key, file in cases.items():
        with pytest.raises(DataError) as caught:
            keep_file(file, tmp_path / "data")
        assert caught.value.key == key
    with pytest.raises(DataError) as caught:
        keep_file(given("zip.csv", archive.read_bytes()), tmp_path / "data")
    assert caught.value.key == "upload_no_rows"
    assert not list((tmp_path / "data").glob("*"))


def test_a_gigabyte_is_refused_unread(tmp_path):
    file = tmp_path / "large.csv"
    with open(file, "wb") as opened:
        opened.truncate(2**30)  # a hole: takes no room
    with pytest.raises(DataError) as caught:
        keep_file(file, tmp_path / "data")
    assert caught.value.key == "own_file_too_large"


@pytest.mark.parametrize("name", ["../x", "<script>", "", "a=b", "a?b", "x" * 41])
def test_a_name_that_could_leave_its_place_is_refused(tmp_path, name):
    with pytest.raises(TaskError) as caught:
        spec_of(name, tmp_path / "rows.csv", "q", "a")
    assert caught.value.key == "bad_task_name"


def test_what_is_no_plain_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    (tmp_path / "b.csv").symlink_to("/dev/zero")
    for name in ("a.csv", "b.csv", "c.csv"):
        with pytest.raises(DataError) as caught:
            keep_file(tmp_path / name, tmp_path / "data")
        assert caught.value.key == "data_unreadable" and not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("names", "likely"),
    [
        (["質問", "回答", "メモ"], ("質問", "回答")),
        (["id", "Question ", "Answer", "source"], ("Question ", "Answer")),
        (["instruction", "input", "output"], ("instruction", "output")),
        (["label", "text"], ("text", "label")),
        (["x", "y"], ("x", "y")),
        (["label", "x"], ("x", "label")),
        (["x", "question"], ("question", "x")),
        (["x", "y", "z"], (None, None)),
        (["question", "first", "second"], ("question", None)),
        (["only"], (None, None)),
    ],
)
def test_columns_are_chosen_by_their_names_and_left_open_where_nothing_tells(names, likely):
    assert likely_columns(names) == likely


def test_a_table_of_Excel_and_one_in_UTF_16_are_kept_and_read_as_they_are(given, tmp_path):
    book = openpyxl.Workbook()
    sheet = book.create_sheet(index=0)
    for row in [("質問", "回答"), ("何時まで ?", "五時"), ("どこ ?", "二階")]:
        sheet.append(row)
    book.save(tmp_path / "faq.xlsx")
    excel = keep_file(tmp_path / "faq.xlsx", tmp_path / "data")
    wide = keep_file(given("faq.tsv", "質問\t回答\nいつ ?\t五時\n".encode("utf-16")), tmp_path / "data")
    assert columns(excel) == columns(wide) == ["質問", "回答"]
    assert load_task(spec_of("faq", excel, "質問", "回答")).name == "faq"
