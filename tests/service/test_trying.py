"""One prompt in several panes: each pane writes what its own adapter writes, and nothing stays attached."""

from dataclasses import replace

import pytest
import tiny
import torch

from lori_core.bases.attach import applied
from lori_core.bases.layer import LoRILinear
from lori_core.bases.load import Base
from lori_core.config import BaseConfig
from lori_core.errors import AdapterError, DataError, IncompatibleAdapters
from lori_core.evaluation.answers import stream_answer, write
from lori_core.method.adapter import Adapter
from lori_core.method.merge import merge
from lori_core.service.base_cache import BaseCache
from lori_core.service.shelf import Shelf
from lori_core.service.trying import Trying
from lori_core.tasks.task import Example

pytestmark = pytest.mark.usefixtures("processor")

PROMPT = "after d:"


@pytest.fixture
def base(processor, tmp_path) -> Base:
    return tiny.saved_base(tmp_path / "base")


@pytest.fixture
def trying(base, tmp_path) -> Trying:
    """Over a shelf that keeps three adapters of that base, the third of them without a task."""
    for name in ("store", "runs", "exports"):
        (tmp_path / name).mkdir()
    shelf = Shelf(tmp_path / "store", tmp_path / "runs", tmp_path / "exports", tmp_path / "base")
    for seed, name in enumerate(("one", "two", "three")):
        made = tiny.strong(base, seed, "math")
        shelf.store.save(replace(made, record={"base": base.record}) if name == "three" else made, name, "fp32")
    return Trying(shelf, BaseCache())


def alone(base: Base, adapter: Adapter | None, length: int) -> str:
    """What the scores are made of."""
    task = [Example(PROMPT, "")]
    if adapter is None:
        ((_, found),) = write(base.model, base.tokenizer, task, 1, length)
    else:
        with applied(base.model, adapter):
            ((_, found),) = write(base.model, base.tokenizer, task, 1, length)
    return found[0][0]


def test_each_pane_writes_what_its_own_adapter_writes_alone(base, trying):
    references = ["store/one@1", "store/two@1"]
    parts = list(trying.answers_of(references, PROMPT, merged=0.5))
    whole = {part["pane"]: part for part in parts}
    loaded = [trying.shelf.store.load(reference.removeprefix("store/")) for reference in references]
    panes = [None, *loaded, merge(loaded, "concat", [0.5, 0.5], "merged")]
    expected = [alone(base, each, 96) for each in panes]
    assert [whole[place]["text"] for place in range(4)] == [text.rstrip("\ufffd") for text in expected]
    assert len(set(expected)) == 4  # they answer differently, or the line above would show nothing
    assert [whole[place]["adapter"] for place in range(3)] == ["", *(each.record["id"] for each in loaded)]
    assert [part["pane"] for part in parts] == sorted(part["pane"] for part in parts)


def test_the_order_of_the_panes_does_not_change_an_answer(trying):
    def texts(*references: str) -> dict[str, str]:
        return {part["adapter"]: part["text"] for part in trying.answers_of(list(references), PROMPT)}

    assert texts("store/one@1", "store/two@1") == texts("store/two@1", "store/one@1")


def test_nothing_stays_attached_when_an_answer_is_stopped_in_its_middle(base, trying):
    parts = trying.answers_of(["store/one@1"], PROMPT)
    while next(parts)["pane"] == 0:
        pass
    parts.close()
    model = trying.bases.base(BaseConfig(base=base.name)).model
    assert not any(isinstance(module, LoRILinear) for module in model.modules())
    assert next(trying.answers_of(["store/two@1"], PROMPT))["pane"] == 0


def test_an_answer_grows_token_by_token_to_what_is_scored(base):
    grown = list(stream_answer(base.model, base.tokenizer, PROMPT, 12))
    assert grown[-1] == alone(base, None, 12).rstrip("\ufffd") and 2 < len(grown) <= 12
    letter = grown[-1][2]
    cut = list(stream_answer(base.model, base.tokenizer, PROMPT, 12, stop=[letter]))
    assert cut[-1] == grown[-1][: grown[-1].index(letter)] and len(cut) < len(grown)


def test_an_example_is_of_the_adapters_task_and_judged_only_as_it_stands(trying):
    example = trying.example("store/one@1", 3)
    assert example["task"] == "math" and example["prompt"] and example["expected"]

    def verdicts(prompt: str) -> list[float | None]:
        parts = list(trying.answers_of(["store/one@1"], prompt, task_of="store/one@1", number=3))
        return [[part["correct"] for part in parts if part["pane"] == pane][-1] for pane in range(2)]

    assert verdicts(example["prompt"]) == [0, 0]  # random weights know no arithmetic
    assert verdicts(example["prompt"] + " ") == [None, None]


def test_what_cannot_be_answered_is_refused(trying, base):
    with pytest.raises(AdapterError) as caught:
        trying.example("store/three@1")
    assert caught.value.key == "no_task_known"
    with pytest.raises(DataError) as long:
        list(trying.answers_of(["store/one@1"], "x" * 2**12))
    assert long.value.key == "prompt_too_long"
    foreign = replace(tiny.strong(base, 5), record={"base": base.record | {"fingerprint": "other"}})
    trying.shelf.store.save(foreign, "foreign")
    with pytest.raises(IncompatibleAdapters) as differ:
        list(trying.answers_of(["store/one@1", "store/foreign@1"], PROMPT))
    assert differ.value.key == "wrong_base"


def test_the_bench_holds_one_base_until_another_is_asked_for(base):
    bases, config = BaseCache(), BaseConfig(base=base.name)
    first = bases.base(config)
    assert bases.base(BaseConfig(base=base.name)) is first
    other = bases.base(config.changed(precision="fp32"))
    assert other is not first and next(other.model.parameters()).dtype == torch.float32
    assert bases.base(config.changed(precision="fp32")) is other
