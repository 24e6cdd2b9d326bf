"""The card of an exported adapter: a YAML head that hubs read, and what was measured."""

import re
from dataclasses import replace
from typing import Any

import pytest
import tiny
import yaml

from lori_core.method.adapter import Adapter
from lori_core.method.merge import merge, reduce_rank
from lori_core.results import Score
from lori_core.storage.model_card import model_card

RECORD = {
    "task": "math",
    "base": {"name": "org/model", "revision": "abc", "fingerprint": "f00d"},
    "train": tiny.settings(seed=3).model_dump(),
}
SCORE = Score("math", "test", "number", 0.625, 0.54, 0.7, 160, 1.0)


def adapter(record: dict[str, Any] = RECORD, name: str = "math", **changes: Any) -> Adapter:
    base = tiny.base()
    config = tiny.CONFIG.changed(**changes)
    masks = tiny.halves(base, config) if config.sparsity else None
    return replace(tiny.filled(tiny.start(base, config, masks=masks)), name=name, record=record)


def head(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])


def rows(card: str) -> dict[str, list[str]]:
    """First cell -> the others, of every table line."""
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in card.splitlines() if line.startswith("|")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_the_head_is_the_YAML_that_hubs_read():
    expected = {"base_model": "org/model", "library_name": "peft", "tags": ["lora", "lori"]}
    assert expected.items() <= head(model_card(adapter(), "peft")).items()
    assert head(model_card(adapter(), "transformers", dtype="bfloat16"))["library_name"] == "transformers"


def test_the_table_says_what_has_to_stand_around_a_question():
    wording = {"prompts": "", "template": "Q: {q}\nA:", "system": "Be brief.", "chat": True, "chat_template": "f00d"}
    found = rows(model_card(adapter(RECORD | {"wording": wording | {"end": "<|im_end|>"}}), "peft", [SCORE]))
    assert found["prompt template"] == [r'"Q: {q}\\nA:"'] and found["system text"] == ['"Be brief."']
    assert found["chat template"] == ["the base's own (sha256 f00d...)"] and "prompts" not in found
    assert found["end of an answer"] == [r"\<\|im_end\|\>"]
    assert rows(model_card(adapter(RECORD | {"wording": {"chat": False}}), "peft"))["chat template"] == [
        "none: plain text"
    ]


def test_the_table_says_what_the_adapter_is():
    each = adapter(projection_seed=7)
    found = rows(model_card(each, "peft", [SCORE]))
    kept = sum(factors.values.numel() for factors in each.factors.values())
    entries = sum(factors.mask.numel() for factors in each.factors.values())
    assert found["base"] == ["org/model"] and found["revision"] == ["abc"]
    assert found["fingerprint of the base's weights"] == ["f00d"]
    assert found["method"] == ["LoRI-S"] and found["tasks"] == ["math"]
    assert found["rank"] == ["4 (vLLM: --max-lora-rank 8)"]
    assert found["sparsity"] == [f"{1 - kept / entries:.3f}: {kept:,} of B's {entries:,} entries are kept"]
    assert found["A"] == ["frozen, kaiming_uniform, seed 7"]
    assert found["training"] == ["10 steps of 4 examples, learning rate 0.01, seed 3"]
    assert found["math"] == ["test", "number", "0.625", "0.540 to 0.700", "160"]


def test_a_card_without_scores_says_so():
    assert "None came with this adapter" in model_card(adapter(), "peft")
    assert "None came with this adapter" not in model_card(adapter(), "peft", [SCORE])


@pytest.mark.parametrize(
    ("changes", "record", "method"),
    [
        ({"sparsity": 0.0}, RECORD, "LoRI-D"),
        ({"sparsity": 0.0, "train_projection": True}, RECORD, "LoRA"),
        ({"sparsity": 0.0, "train_projection": True}, {"imported": {"from": "peft"}}, "LoRA, imported"),
    ],
)
def test_the_method_is_what_the_settings_say(changes, record, method):
    assert rows(model_card(adapter(record, **changes), "peft"))["method"] == [method]


def test_only_what_has_a_frozen_A_is_called_LoRI():
    lora = model_card(adapter(sparsity=0.0, train_projection=True), "peft")
    assert head(lora)["tags"] == ["lora"] and "Reduced Interference" not in lora
    assert "Reduced Interference" in model_card(adapter(), "peft")


def test_a_reduced_rank_is_told_with_its_error():
    reduced = reduce_rank(adapter(), 2)
    error = reduced.record["reduced"]["error"]
    assert rows(model_card(reduced, "peft"))["approximated"] == [f"by rank 2, relative Frobenius error {error:.3g}"]


def test_a_merge_names_its_parents_and_weights_and_what_it_is_not():
    merged = merge([adapter(name="math"), adapter(name="code")], "concat", [0.5, 0.25], "both")
    card = model_card(merged, "peft")
    assert rows(card)["method"] == ["merge of 2 adapters: concat, weights 0.5, 0.25"]
    assert rows(card)["tasks"] == ["math, code"]
    assert "Not all of its parents at once" in card
    assert "Not all of its parents at once" not in model_card(adapter(), "peft")


def test_a_rank_beyond_what_vLLM_serves_is_told():
    assert rows(model_card(adapter(rank=600), "peft"))["rank"] == ["600 (vLLM: too large, 512 at most)"]


@pytest.mark.parametrize("path", ["/home/somebody/models/tiny", r"C:\Users\somebody\tiny", "./somebody/tiny"])
def test_a_card_tells_no_path_of_the_machine(path):
    card = model_card(adapter({"base": {"name": path}}), "peft")
    assert "tiny" in rows(card)["base"][0]
    assert "somebody" not in card
    assert "base_model" not in head(card)


def test_a_name_cannot_add_lines_columns_or_markup():
    name = 'a"b: |\n---\n# x | <script> [link](http://example.org)'
    card = model_card(adapter({"base": {"name": "org/model"}, "task": name}, name=name), "peft")
    assert head(card)["base_model"] == "org/model"
    assert card.count("\n---\n") == 1 and "\n# x" not in card
    assert len(rows(card)["tasks"]) == 1
    assert "<script>" not in card.replace("\\<", "")
