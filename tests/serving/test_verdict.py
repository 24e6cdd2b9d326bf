"""Verdicts on adapters whose proofs know few faults."""

from dataclasses import replace
from string import ascii_letters

import pytest
import tiny

from lori_core.bases.load import Base
from lori_core.serving.faults import ACTIVE, BARE, WITHOUT
from lori_core.serving.proof import Probe, Proof, next_log_probs, prove
from lori_core.serving.verdict import Seen, judge


@pytest.fixture(scope="module")
def base() -> Base:
    return tiny.base(tiny.llama(spread=1.0))


@pytest.fixture(scope="module")
def proof(base) -> Proof:
    """Of an adapter of one module: no part of it can be missing alone."""
    whole = tiny.strong(base, 0)
    module = "model.layers.0.mlp.down_proj"
    made = prove(base, replace(whole, factors={module: whole.factors[module]}), ascii_letters)
    assert not any(state.startswith(WITHOUT) for probe in made.probes for state in probe.log_probs)
    return made


def bare_and_active(probe: Probe) -> Probe:
    return probe.changed(log_probs={state: probe.log_probs[state] for state in (BARE, ACTIVE)})


@pytest.mark.parametrize("known", [lambda probe: probe, bare_and_active], ids=["as measured", "bare and active alone"])
def test_answers_that_fit_no_fault_of_an_adapter_of_one_module_are_those_of_another_base(known, base, proof):
    other = tiny.llama(seed=1, spread=1.0)
    seen = []
    for probe in map(known, proof.probes):
        nats = next_log_probs(other, [list(base.tokenizer(probe.prompt)["input_ids"])])[0]
        seen.append((probe, Seen({number: float(nats[number]) for number in probe.ids})))
    assert judge(seen).finding == "wrong_base"
