"""What a page says where something cannot be done: each button shows it, and nothing of before stands beside it."""

import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from handlers import built, handlers
from stored import sparse

from app.interface import Interface
from app.jobs import Jobs
from app.lab import Context, Lab
from app.own_tasks import SPECS
from app.resources import is_here
from lori_core.config import parse
from lori_core.errors import StorageError
from lori_core.storage.store import AdapterStore
from lori_core.study.runs import Run, list_runs
from lori_core.study.specs import StudyConfig
from lori_core.translate import translate


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """(page, all pages of a lab that starts nothing)."""
    jobs = Jobs()
    jobs.close()
    page = Context(Lab(tmp_path_factory.mktemp("lab"), jobs), "en")
    yield page, built(page)
    for worker in (page.workspace.quick, page.workspace.slow):
        worker.close()


@pytest.fixture
def run(opened) -> Run:
    return Run.create(opened[0].workspace.runs, "study", StudyConfig(tasks=("math",)).model_dump(mode="json"))


@pytest.fixture
def no_runs(opened):
    """Where runs are to be kept, nothing can be: a file lies there."""
    runs = opened[0].workspace.runs
    runs.rename(runs.with_name("aside"))
    runs.write_text("")
    yield
    runs.unlink()
    runs.with_name("aside").rename(runs)


def the(opened: tuple[Context, gr.Blocks], name: str) -> Any:
    (found,) = handlers(opened[1], name)
    return found


def defaults(blocks: gr.Blocks, fn: Any) -> list[Any]:
    """What the page sends where nobody has changed anything."""
    (event,) = [each for each in blocks.fns.values() if each.fn is fn]
    return [getattr(component, "value", None) for component in event.inputs]


def test_every_button_that_starts_a_run_says_why_it_did_not(opened, no_runs):
    starts = handlers(opened[1], "opens_run.<locals>.answer")
    assert len(starts) == 7
    for start in starts:
        name, said = start(*defaults(opened[1], start))
        assert name == "" and 'role="alert"' in said


def test_a_disk_that_refuses_a_run_is_named(opened, no_runs):
    with pytest.raises(gr.Error, match="runs"):
        opened[0].submit("study", StudyConfig(tasks=("math",)))


@pytest.mark.parametrize(
    "base", ["Qwen/Qwen2.5-", "a--b/c", "x" * 300, "org/" + "y" * 300, "~nobody-here/model"], ids=lambda base: base[:14]
)
def test_a_base_that_can_be_nowhere_is_refused_at_the_start_and_in_the_estimate(opened, base):
    assert not is_here(base)
    with pytest.raises(gr.Error):
        opened[0].submit("study", StudyConfig(base=base, tasks=("math",)))
    start = handlers(opened[1], "opens_run.<locals>.answer")[2]
    name, said = start(base, *defaults(opened[1], start)[1:])
    assert name == "" and 'role="alert"' in said
    follow = the(opened, "study.build.<locals>.follow_memory")
    assert follow(base, *defaults(opened[1], start)[1:]) == ""


def test_an_error_that_nobody_knows_is_shown_and_written_to_the_log(opened, caplog):
    said = opened[0].refused(RuntimeError(f"<b> in {opened[0].lab.folder}/x"))
    assert "&lt;b&gt; in x" in said and str(opened[0].lab.folder) not in said
    assert any(record.exc_info for record in caplog.records)


def test_a_run_that_cannot_be_discarded_stays_and_the_page_says_why(opened, run):
    in_the_way = run.path.with_name(f".{run.path.name}")
    (in_the_way / "x").mkdir(parents=True)
    with pytest.raises(StorageError):
        opened[0].jobs.discard(run)
    said = handlers(opened[1], "do.<locals>.act")[2](run.path.name)
    assert 'role="alert"' in said and run.path.name in said and run.path.exists()
    shutil.rmtree(in_the_way)


def test_after_a_discard_the_newest_run_is_chosen_and_nothing_is_asked_of_the_address(opened, run):
    page, blocks = opened
    discard, choose = handlers(blocks, "do.<locals>.act")[2], the(opened, "next_shown")
    newer = Run.create(page.workspace.runs, "study", run.config)
    assert choose(run.path.name)["value"] == run.path.name  # as where the discard was refused
    for each in (run, newer):
        assert discard(each.path.name) == ""
        left = [found.path.name for found in page.workspace.shown_runs()]
        chosen = choose(each.path.name)
        assert chosen["value"] == left[0] and [name for _, name in chosen["choices"]] == left
    (event,) = [each for each in blocks.fns.values() if each.fn is choose]
    assert [each.label for each in event.inputs] == [translate("app.runs.pick", "en")]


def test_a_spec_that_cannot_be_written_leaves_no_spec_of_another_run_to_download(opened, run):
    page, prepare = opened[0], the(opened, "prepare")
    assert Path(prepare(run.path.name)["value"]).is_file()
    shutil.rmtree(page.workspace.exports)
    page.workspace.exports.write_text("")
    try:
        with pytest.warns(UserWarning, match="exports"):
            assert prepare(run.path.name) == gr.update(value=None, interactive=False)
    finally:
        page.workspace.exports.unlink()
        page.workspace.exports.mkdir()


def test_a_task_that_cannot_be_remembered_is_refused_in_words(opened):
    page, choose = opened[0], the(opened, "own_file.<locals>.choose")
    file = page.workspace.data / "0" / "rows.csv"
    (file.parent / SPECS).mkdir(parents=True)  # a folder where the specs are to be written
    file.write_text("q,a\n1,2\n", encoding="utf-8")
    with pytest.raises(gr.Error, match=SPECS):
        choose([], [], str(file), "mine", "q", "a", "exact")


def test_an_adapter_that_is_damaged_or_gone_shows_why_and_nothing_of_the_one_before(opened):
    page, look = opened[0], the(opened, "adapters.build.<locals>.look")
    verify, compare = the(opened, "verify"), the(opened, "adapters.build.<locals>.compare")
    store = AdapterStore(page.workspace.store)
    for name in ("whole", "damaged", "gone"):
        store.save(sparse(name), name)
    whole = look("store/whole@1")
    assert whole[0] == "" and all(whole[1:])
    shutil.rmtree(store.folder("gone@1"))
    (weights,) = store.folder("damaged@1").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-8])
    assert translate("app.adapters.verified", "en") in verify("store/whole@1")
    for reference in ("store/damaged@1", "store/gone@1"):
        alert, *parts = look(reference)
        assert 'role="alert"' in alert and parts == ["", "", ""]
        assert 'role="alert"' in verify(reference) and 'role="alert"' in compare("store/whole@1", reference)


def test_what_was_said_of_an_adapter_goes_when_another_is_chosen(opened):
    page, blocks = opened
    forget = the(opened, "forget")
    assert forget(the(opened, "verify")("ready/math/lori_s")) == ""
    assert forget(f"<p>{page.say('adapters.deleted')}</p>") == gr.skip()
    (event,) = [each for each in blocks.fns.values() if each.fn is forget]
    pick = event.targets[0][0]
    assert blocks.blocks[pick].label == page.say("adapters.pick")
    cleared = [each for each in blocks.fns.values() if each.targets == [(pick, "input")]]
    assert [each.outputs for each in cleared] == [event.outputs] and cleared[0].fn() == ""


def test_what_empties_the_answers_also_ends_the_one_that_is_being_written(opened):
    page, blocks = opened
    (writing,) = [key for key, each in blocks.fns.items() if each.fn is the(opened, "trying.build.<locals>.answer")]
    ending = {target for each in blocks.fns.values() if writing in each.cancels for target in each.targets}
    parts = [(blocks.blocks[block], event) for block, event in ending if block is not None]
    named = {getattr(part, "value" if event == "click" else "label") for part, event in parts}
    assert named == {page.say(f"try.{key}") for key in ("pick", "task_of", "prompt", "another", "stop")}


def test_no_start_and_no_program_may_ask_to_run_foreign_code(opened):
    page = opened[0]
    before = list_runs(page.workspace.runs)
    start = Interface(page).start
    for power in ("trust_remote_code", "allow_code_execution"):
        with pytest.raises(gr.Error, match=power):
            page.submit("study", parse(StudyConfig, f'{{"{power}": true}}'))
        with pytest.raises(gr.Error, match=power):
            start("evaluate", {"tasks": ["math"], power: True})
    assert list_runs(page.workspace.runs) == before
