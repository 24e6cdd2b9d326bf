"""Interference of a shelf's adapters: which controls stand beside, what is refused, what the sentences say."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

from lori_core import figures
from lori_core.embedded.ready_made import READY_MADE
from lori_core.errors import AdapterError, IncompatibleAdapters, LoRIError
from lori_core.evaluation.probe import cross_talk
from lori_core.method import metrics
from lori_core.results import PairMatrix, StudyResult, from_json, from_plain, to_json
from lori_core.service.base_cache import BaseCache
from lori_core.service.comparing import Interference, shared_beside
from lori_core.service.names import told_apart
from lori_core.service.origins import origin_of
from lori_core.service.shelf import Shelf
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig
from lori_core.study.study import run_study
from lori_core.tasks.mini import mini_task
from lori_core.translate import LANGUAGES, translate

TASKS = ("math", "code")
OWN = [f"ready/{task}/lori_s" for task in TASKS]


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    for name in ("store", "runs", "exports"):
        (tmp_path / name).mkdir()
    return Shelf(tmp_path / "store", tmp_path / "runs", tmp_path / "exports", tmp_path / "base")


def ready(variant: str):
    return [load_adapter(READY_MADE / task / variant) for task in TASKS]


def plain(matrix: PairMatrix) -> PairMatrix:
    return from_json(PairMatrix, to_json(matrix))


def test_each_measure_is_of_the_adapters_and_their_control_shares_one_A(shelf):
    answers = list(Interference(shelf, BaseCache()).in_weights(OWN))
    own = [from_plain(PairMatrix, json.loads(json.dumps(answer["own"]))) for answer in answers]
    adapters, controls = ready("lori_s"), ready("lori_d_shared")
    expected = [
        metrics.mask_overlap(adapters),
        metrics.cosine_matrix(adapters, controls),
        metrics.principal_angles(adapters),
    ]
    assert own == [plain(each) for each in expected]
    assert answers[0]["control"] is None  # every entry of the control may move
    angle = from_plain(PairMatrix, json.loads(json.dumps(answers[2]["control"])))
    assert angle == plain(metrics.principal_angles(controls)) and angle.values[0][1] == pytest.approx(1)


def test_in_function_is_the_probe_on_the_adapters_own_tasks_and_base(shelf, tmp_path):
    base = tiny.saved_base(tmp_path / "base")
    adapters = [tiny.strong(base, seed, task) for seed, task in enumerate(TASKS)]
    references = [f"store/{shelf.store.save(adapter, adapter.name, 'fp32')}" for adapter in adapters]
    (answer,) = Interference(shelf, BaseCache()).in_function(references)
    expected = cross_talk(base.model, base.tokenizer, adapters, [mini_task(task) for task in TASKS])
    measured = from_plain(PairMatrix, json.loads(json.dumps(answer["own"])))
    assert measured.names == TASKS and answer["control"] is None
    for s, t in itertools.product(range(2), range(2)):
        assert measured.values[s][t] == pytest.approx(expected.values[s][t], rel=1e-3)


def study_of_two(folder: Path) -> tuple[Run, StudyResult]:
    """Of a base on disk, short."""
    tiny.saved_base(folder / "base")
    train = {method: config.model_dump() for method, config in tiny.by_method(steps=4, max_length=512).items()}
    config = {
        "base": str(folder / "base"), "tasks": list(TASKS), "methods": ["lori_d", "lori_s"], "train": train,
        "adapter": tiny.CONFIG.model_dump(), "test_examples": 4, "validation_examples": 4, "continual": None,
        "merge_weights": [0.5], "seeds": [3],
    }  # fmt: skip
    run = Run.create(folder / "runs", "study", config)
    return run, run_study(StudyConfig(**run.config), run.path)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_and_the_page_say_the_same_of_the_same_adapters(shelf, tmp_path, language):
    run, result = study_of_two(tmp_path)
    reported = {(method, matrix.measure): matrix for method, matrix in result.interference}
    asked = Interference(shelf, BaseCache())
    for method in ("lori_d", "lori_s"):
        references = [f"run/{run.path.name}/single-{method}-{task}-3" for task in range(2)]
        answers = [*asked.in_weights(references), *asked.in_function(references)]
        page = [from_plain(PairMatrix, json.loads(json.dumps(answer["own"]))) for answer in answers]
        both = [own for own in page if (method, own.measure) in reported]
        assert len(both) == (3 if method == "lori_s" else 2)
        for own in both:
            assert own == plain(reported[method, own.measure]), own.measure
            said = figures.pairs(method, reported[method, own.measure], language).summary
            assert said and figures.pair_band(own, None, language).summary == said
        assert all(answer["control"] for answer in answers if answer["own"]["measure"] != "jaccard")


def test_versions_of_one_name_are_told_apart(shelf):
    first, second = ready("lori_s")
    for adapter in (first, replace(second, name="math")):
        shelf.store.save(adapter, "math")
    answer = next(iter(Interference(shelf, BaseCache()).in_weights(["store/math@1", "store/math@2"])))
    assert answer["own"]["names"] == ("math@1", "math@2")


def test_the_control_is_of_the_same_run_method_task_and_seed(tmp_path):
    adapter = tiny.filled(tiny.start(tiny.base()))
    for name in ("single-lori_s-0-1", "single-lori_d_shared-0-1", "single-lori_d-0-1", "single-lora-0-1"):
        save_adapter(adapter, tmp_path / name)
    save_adapter(adapter, tmp_path / "single-lori_s-1-1")
    found = {folder.name: shared_beside(folder) for folder in tmp_path.iterdir()}
    for learned in ("single-lori_s-0-1", "single-lori_d-0-1"):
        assert found.pop(learned) == tmp_path / "single-lori_d_shared-0-1"
    assert set(found.values()) == {None}
    assert shared_beside(READY_MADE / "math" / "lori_d_shared") is None


def test_the_base_and_the_task_are_the_runs_own(shelf, tmp_path):
    config = {"tasks": ["mine=data.csv?prompt=a", "nlu"], "base": "some/base", "precision": "fp32", "chat": True}
    run = Run.create(tmp_path / "runs", "study", config)
    made = replace(tiny.filled(tiny.start(tiny.base())), record={"task": "mine"})
    save_adapter(made, run.path / "adapters" / "single-lori_d-0-0")
    origin = origin_of(shelf, f"run/{run.path.name}/single-lori_d-0-0")
    assert (origin.task, origin.base.base, origin.base.precision) == (config["tasks"][0], "some/base", "fp32")
    assert origin.base.chat and not origin.base.trust_remote_code
    ready_made = origin_of(shelf, OWN[0])
    assert (ready_made.task, ready_made.base.base) == ("math", "embedded")
    shelf.store.save(made, "mine")
    with pytest.raises(AdapterError) as caught:
        origin_of(shelf, "store/mine@1")
    assert caught.value.key == "no_base_known"


def test_what_cannot_be_measured_is_refused_before_a_base_is_loaded(shelf):
    merged = replace(ready("lori_s")[0], record={"base": {"name": "no-such/base"}, "merge": {"method": "concat"}})
    shelf.store.save(merged, "merged")
    asked = Interference(shelf, BaseCache())
    with pytest.raises(IncompatibleAdapters) as caught:
        list(asked.in_function([OWN[0], "store/merged@1"]))
    assert caught.value.key == "no_one_task"
    shelf.store.save(tiny.filled(tiny.start(tiny.base())), "tiny")
    with pytest.raises(LoRIError) as differ:
        list(asked.in_weights([OWN[0], "store/tiny@1"]))
    assert differ.value.key == "modules_differ"


def matrix(value: float, null: float, sd: float, measure: str = "jaccard") -> PairMatrix:
    def table(cell: float | None) -> tuple[tuple[float | None, ...], ...]:
        return ((1.0, cell), (cell, 1.0))

    return PairMatrix(measure, ("one", "two"), table(value), table(null), table(sd), table((value - null) / sd))


def names(drawing: figures.Drawing) -> set[str]:
    traces: list[Any] = list(drawing.figure.data)  # plotly gives its traces no type
    return {trace.name for trace in traces}


@pytest.fixture
def seeds(tmp_path) -> Run:
    """A study of two tasks and two seeds: LoRI-D, and beside each adapter the control, one A a seed."""
    base = tiny.base()
    run = Run.create(tmp_path / "runs", "study", {"tasks": list(TASKS), "base": "tiny"})
    for seed, (place, task) in itertools.product((0, 1), enumerate(TASKS)):
        for variant in ("lori_d", "lori_d_shared"):
            config = tiny.CONFIG.changed(projection_seed=seed, shared_projection=variant == "lori_d_shared")
            adapter = replace(tiny.filled(tiny.start(base, config, task), 2 * seed + place), record={"task": task})
            save_adapter(adapter, run.path / "adapters" / f"single-{variant}-{place}-{seed}")
    return run


def test_adapters_of_several_seeds_have_no_control_since_no_two_seeds_share_an_A(shelf, seeds):
    asked, place = Interference(shelf, BaseCache()), f"run/{seeds.path.name}/single-lori_d"
    one = list(asked.in_weights([f"{place}-0-0", f"{place}-1-0"]))
    assert len(one) == 2 and all(answer["control"] for answer in one)
    for references in ([f"{place}-0-0", f"{place}-1-1"], [f"{place}-{t}-{s}" for s in (0, 1) for t in (0, 1)]):
        several = list(asked.in_weights(references))
        assert len(several) == 2 and not any(answer["control"] for answer in several)
        assert not any(answer["own"]["related_mean"] for answer in several)


def test_seeds_of_one_task_are_told_apart_in_every_label(shelf, seeds):
    references = [f"run/{seeds.path.name}/single-lori_d-{place}-{seed}" for seed in (0, 1) for place in (0, 1)]
    answer = next(iter(Interference(shelf, BaseCache()).in_weights(references)))
    found = from_plain(PairMatrix, json.loads(json.dumps(answer["own"])))
    assert found.names == ("math · 0", "code · 0", "math · 1", "code · 1")
    for drawing, count in ((figures.pair_band(found), 6), (figures.pairs(None, found), 4)):
        assert len(set(drawing.figure.layout.yaxis.ticktext)) == count


def test_pairs_of_long_names_that_begin_alike_have_labels_that_differ():
    names = tuple(f"questions of our customers {n}" for n in range(3))
    table = ((1.0, 0.1, 0.1), (0.1, 1.0, 0.1), (0.1, 0.1, 1.0))
    found = PairMatrix("cosine", names, table, table, table, table)
    for drawing in (figures.pair_band(found), figures.pairs(None, found)):
        labels = drawing.figure.layout.yaxis.ticktext
        assert len(set(labels)) == 3 and max(map(len, labels)) <= 23


@pytest.mark.parametrize(
    ("references", "names"),
    [
        (["ready/math/lori_s", "ready/math/lori_d"], ["math · lori_s", "math · lori_d"]),
        (["ready/math/lori_s", "store/math@2"], ["math · ready/math/lori_s", "math@2"]),
        (["run/1-train-aa/trained", "run/1-train-bb/trained"], ["math · aa", "math · bb"]),
        (["run/1-train-aa/dense", "run/1-train-aa/dense-x"], ["math · dense", "math · dense-x"]),
        (["run/1-a/single-lori_s-0-0", "run/1-a/single-lori_s-0-10"], ["math · 0", "math · 10"]),
    ],
)
def test_adapters_of_one_name_are_followed_by_what_their_references_differ_in(references, names):
    assert told_apart(["math", "math"], references) == names
    assert told_apart(["math", "code", "math"], [references[0], "ready/code/lori_s", references[1]])[1] == "code"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sentence_parts_what_is_shared_into_counts_outputs_and_entries(language):
    # Each mask keeps 300 of 1000 entries: 90 are shared by counts, 135 with the outputs they prefer. Of 180 shared
    # ones these are half and a quarter.
    far = replace(matrix(180 / 420, 135 / 465, 0.01), even_mean=((None, 90 / 510), (90 / 510, None)))
    drawing = figures.pair_band(far, None, language)
    shares = {"counts": "50", "outputs": "25", "entries": "25"}
    parts = translate(
        "figures.band_jaccard.parts", language, **{k: f"{v}\N{NO-BREAK SPACE}%" for k, v in shares.items()}
    )
    assert parts in drawing.summary and "0.429" in drawing.summary
    assert drawing.rows == [["one × two", "0.4286", "0.2903", "0.0100", "13.8", "0.1765"]]
    assert translate("figures.even_mean", language) in names(drawing)
    assert parts not in figures.pair_band(matrix(180 / 420, 135 / 465, 0.01), None, language).summary


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_line_of_related_tasks_is_drawn_and_said_where_it_is_known(language):
    known = replace(matrix(0.005, 0.0, 0.001, "cosine"), related_mean=((None, 0.0076), (0.0076, None)))
    drawing, without = (figures.pair_band(each, None, language) for each in (known, matrix(0.005, 0, 0.001, "cosine")))
    assert translate("figures.band_cosine.related", language, related="0.0076") in drawing.summary
    assert translate("figures.related_mean", language) in names(drawing)
    assert drawing.rows[0][-1] == "0.0076"
    assert "0.0076" not in without.summary and len(without.rows[0]) == 5


@pytest.mark.parametrize("measure", ["jaccard", "cosine", "principal_angle", "function"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_lies_within_chance_is_not_called_a_finding(measure, language):
    inside, outside = (matrix(0.1 + 0.01 * away, 0.1, 0.01, measure) for away in (2, 4))
    control = matrix(0.9, 0.1, 0.01, measure)
    words = {"first": "one", "second": "two", "null": "0.100", "sd": "0.0100"}
    seen = translate(f"figures.band_{measure}.seen", language, value="0.140", z="4.0", ratio="1.4", **words)
    unseen = translate(f"figures.band_{measure}.chance", language, value="0.120", z="2.0", ratio="1.2", **words)
    assert figures.pair_band(outside, control, language).summary.startswith(seen)
    assert figures.pair_band(inside, control, language).summary.startswith(unseen)
    assert "0.900" in figures.pair_band(inside, control, language).summary
    assert len(figures.pair_band(inside, control, language).rows) == (2 if measure == "function" else 1)
    assert "0.120" in figures.pairs(None, inside, language).summary


def test_the_record_of_an_adapter_from_elsewhere_opens_no_folder_and_no_file_of_others(shelf, tmp_path):
    own, other = ready("lori_s")[0], tmp_path / "other"
    other.mkdir()
    (other / "rows.csv").write_text("prompt,response\n" + "a,b\n" * 20)
    for record, key in (
        ({"base": {"name": str(other)}, "task": "math"}, "base_out_of_reach"),
        ({"base": {"name": "embedded"}, "task": f"x={other}/rows.csv?prompt=prompt"}, "path_out_of_reach"),
    ):
        shelf.store.save(replace(own, record=record), "foreign")
        with pytest.raises(LoRIError) as caught:
            origin_of(shelf, "store/foreign")
        assert caught.value.key == key
