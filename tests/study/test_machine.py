from pathlib import Path

from lori_core.study.machine import machine, processor


def test_the_processor_is_the_model_that_the_system_names(tmp_path: Path):
    cpuinfo = tmp_path / "cpuinfo"
    lines = ("processor\t: 0", "model name\t: Some CPU @ 3 GHz", "processor\t: 1", "model name\t: Another")
    cpuinfo.write_text("\n".join(lines), encoding="utf-8")
    assert processor(cpuinfo) == "Some CPU @ 3 GHz"


def test_without_that_it_has_a_name_all_the_same(tmp_path: Path):
    assert processor(tmp_path / "none")


def test_a_machine_says_all_of_itself():
    found = machine("cuda", "bf16")
    assert found.keys() == {"device", "precision", "processor", "cores", "system"} and all(found.values())
