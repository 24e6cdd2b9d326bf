"""The proof of life is what the base says, with and without the adapter, and reads back as it was written."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch

from lori_core.bases.attach import applied
from lori_core.bases.load import Base
from lori_core.errors import AdapterError, IncompatibleAdapters
from lori_core.serving.faults import ACTIVE, BARE, ROUNDED_BARE, SCALE
from lori_core.serving.proof import PROMPTS, Proof, prove, read_proof
from lori_core.serving.verdict import tells


@pytest.fixture(scope="module")
def base() -> Base:
    return tiny.base(tiny.llama(spread=1.0))


@pytest.fixture(scope="module")
def proof(base) -> Proof:
    return prove(base, tiny.strong(base, 0))


def test_probes_have_the_log_probabilities_of_the_base_with_and_without_the_adapter(base, proof):
    assert len(PROMPTS) == 8 and proof.probes
    for probe in proof.probes:
        ids = list(base.tokenizer(probe.prompt)["input_ids"])
        assert probe.tokens == len(ids)
        for state, adapter in ((BARE, None), (ACTIVE, tiny.strong(base, 0))):
            if adapter is None:
                expected = tiny.logits(base.model, [ids])[0, -1].log_softmax(-1)
            else:
                with applied(base.model, adapter):
                    expected = tiny.logits(base.model, [ids])[0, -1].log_softmax(-1)
            told = torch.tensor(probe.log_probs[state])
            torch.testing.assert_close(told, expected[list(probe.ids)], atol=2e-3, rtol=0)
        assert probe.prompt in PROMPTS
        assert max(probe.log_probs[ACTIVE]) == probe.log_probs[ACTIVE][0]
        assert all(base.tokenizer.decode([number]) == text for number, text in zip(probe.ids, probe.texts, strict=True))


def test_prompts_after_which_half_a_character_is_likeliest_are_left_out(base, proof):
    """The tokens of this base are bytes."""
    kept = {probe.prompt for probe in proof.probes}
    for prompt in PROMPTS:
        first = [likeliest(base, prompt)]
        with applied(base.model, tiny.strong(base, 0)):
            first.append(likeliest(base, prompt))
        assert (prompt in kept) == all("\ufffd" not in base.tokenizer.decode([number]) for number in first)
    (left_out, *_) = [prompt for prompt in PROMPTS if prompt not in kept]
    assert [probe.prompt for probe in prove(base, tiny.strong(base, 0), [left_out]).probes] == [
        probe.prompt for probe in proof.probes
    ]


def likeliest(base: Base, prompt: str) -> int:
    return int(tiny.logits(base.model, [list(base.tokenizer(prompt)["input_ids"])])[0, -1].argmax())


def test_a_proof_reads_back_as_it_was_written(proof, tmp_path):
    (tmp_path / "proof").write_text(proof.model_dump_json(), encoding="utf-8")
    assert read_proof(tmp_path / "proof") == proof


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"adapter": "a", "base": "b", "fingerprint": "c", "probes": []}'])
def test_what_is_no_proof_is_refused(content, tmp_path):
    (tmp_path / "proof").write_text(content)
    with pytest.raises(AdapterError) as caught:
        read_proof(tmp_path / "proof")
    assert caught.value.key == "no_proof"


def test_a_proof_with_states_that_do_not_fit_its_tokens_is_refused(proof, tmp_path):
    content = json.loads(proof.model_dump_json())
    content["probes"][0]["log_probs"][ACTIVE].pop()
    (tmp_path / "proof").write_text(json.dumps(content))
    with pytest.raises(AdapterError) as caught:
        read_proof(tmp_path / "proof")
    assert caught.value.key == "no_proof"


def all_turns(probes: list[dict[str, Any]]) -> None:
    for probe in probes:
        probe["chat"] = True


def one_scale_less(probes: list[dict[str, Any]]) -> None:
    states = {state: nats for state, nats in probes[0]["log_probs"].items() if state != f"{SCALE}0.5"}
    probes.append(probes[0] | {"log_probs": states})


def one_scale_less_in_a_turn(probes: list[dict[str, Any]]) -> None:
    one_scale_less(probes)
    probes.append(probes[0] | {"chat": True})
    probes[-2]["chat"] = True


def half_a_rounding(probes: list[dict[str, Any]]) -> None:
    for probe in probes:
        del probe["log_probs"][ROUNDED_BARE]


def a_scale(name: str) -> Callable[[list[dict[str, Any]]], None]:
    def change(probes: list[dict[str, Any]]) -> None:
        for probe in probes:
            probe["log_probs"][f"{SCALE}{name}"] = probe["log_probs"][ACTIVE]

    return change


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (all_turns, "no turn"),
        (one_scale_less, "same states"),
        (one_scale_less_in_a_turn, "same states"),
        (half_a_rounding, "4 bits"),
        (a_scale("large"), "'scale large'"),
        (a_scale("inf"), "'scale inf'"),
    ],
)
def test_a_proof_that_cannot_be_compared_with_is_refused_with_the_reason(damage, reason, proof, tmp_path):
    content = json.loads(proof.model_dump_json())
    damage(content["probes"])
    (tmp_path / "proof").write_text(json.dumps(content))
    with pytest.raises(AdapterError) as caught:
        read_proof(tmp_path / "proof")
    assert caught.value.key == "no_proof" and reason in str(caught.value)


def test_an_adapter_of_another_base_has_no_proof_here(base):
    adapter = tiny.strong(base, 0)
    with pytest.raises(IncompatibleAdapters):
        prove(base, replace(adapter, record={"base": {"name": "other", "fingerprint": "f00d"}}))


def test_prompts_that_do_not_part_the_adapter_from_the_base_are_noticed(base, proof):
    assert tells(proof)
    assert not tells(prove(base, tiny.start(base)))
