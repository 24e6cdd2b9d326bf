"""Ids of data sets that are none: what `datasets` would take for one of its own readers of files."""

import pytest

from lori_core.errors import DataError
from lori_core.tasks.hub import id_of, is_reader
from lori_core.tasks.registry import load_task


@pytest.mark.parametrize("name", ["text", "csv", "text@default", "json#main", "parquet@default#main"])
def test_a_reader_of_files_is_refused_before_it_takes_what_lies_where_the_process_works(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "another").mkdir()
    for ending in ("txt", "csv", "json", "parquet"):
        (tmp_path / "another" / f"train.{ending}").write_text("text\nzirkon\n")
    with pytest.raises(DataError) as caught:
        load_task(f"mine=hf:{name}?prompt=text&response=text")
    assert caught.value.key == "hub_reader"


def test_an_id_is_what_stands_before_the_config_and_the_revision():
    sources = ("openai/gsm8k", "openai/gsm8k@main", "openai/gsm8k#main", "openai/gsm8k@main#refs/pr/1")
    assert {id_of(source) for source in sources} == {"openai/gsm8k"}


def test_sets_of_the_hub_are_no_readers():
    assert not any(map(is_reader, ("gsm8k", "openai/text", "text/csv@csv", "texts", "./text")))
