"""Answers of tiny models: drawn ones, lengths of choices, shared prompts; each against a slow reference."""

import math
from itertools import combinations
from typing import Any

import pytest
import tiny
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, MistralConfig, MistralForCausalLM

from lori_core.config import ChoiceLength, Sampling
from lori_core.evaluation.answers import log_likelihoods
from lori_core.evaluation.evaluate import evaluate
from lori_core.evaluation.intervals import pass_at, wilson
from lori_core.tasks.task import Example, Task

TOKENIZER = tiny.byte_tokenizer()
SIZES: dict[str, Any] = {
    "vocab_size": 257,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.5,
    "pad_token_id": tiny.END,
    "eos_token_id": tiny.END,
    "bos_token_id": None,
}


def task_of(examples: list[Example], scorer: str) -> Task:
    return Task("tiny", {"test": examples}.__getitem__, scorer, 6)


@torch.no_grad()
def by_hand(model: torch.nn.Module, prompt: str, continuation: str) -> float:
    """The summed log-likelihood, without batch, cache or padding."""
    asked, said = TOKENIZER(prompt)["input_ids"], TOKENIZER(continuation)["input_ids"]
    logits = model(input_ids=torch.tensor([asked + said])).logits[0].double().log_softmax(-1)
    return sum(float(logits[len(asked) + place - 1, token]) for place, token in enumerate(said))


@pytest.mark.parametrize("window", [None, 6])
@pytest.mark.parametrize("kind", ["mistral", "gemma2"])
def test_choices_that_share_a_prompt_are_rated_as_each_alone_also_with_a_sliding_window(kind: str, window: int | None):
    torch.manual_seed(0)
    if kind == "mistral":
        model = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=window)).eval()
    else:
        model = Gemma2ForCausalLM(Gemma2Config(**SIZES, sliding_window=window or 4096)).eval()
    pairs = [
        (p, c) for p in ("which of these", "owl", "a longer prompt than that") for c in (" yes", " no", " perhaps")
    ]
    pairs += [("alone", "x")]
    rows = [(TOKENIZER(prompt)["input_ids"], TOKENIZER(continuation)["input_ids"]) for prompt, continuation in pairs]
    with torch.no_grad():
        found = torch.stack([tokens.sum() for tokens in log_likelihoods(model, rows, pad=tiny.END)])
    expected = torch.tensor([by_hand(model, *pair) for pair in pairs])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("length", ["none", "characters", "tokens"])
def test_choices_are_compared_by_the_length_asked_for(length: ChoiceLength):
    model = tiny.llama()
    examples = [Example(f"{n}?", " 水水", (" a", " 水水", " a long choice"), 1) for n in range(12)]
    outputs = evaluate(model, TOKENIZER, task_of(examples, "choice"), choice_length=length).outputs
    size = {"none": lambda text: 1, "characters": lambda text: len(text) - 1, "tokens": lambda text: len(text.encode())}
    for output in outputs:
        rated = {text: by_hand(model, output.prompt, text) / size[length](text) for text in examples[0].choices}
        assert output.output == max(rated, key=rated.__getitem__)


def test_lengths_matter_to_the_choice():
    model, examples = tiny.llama(), [Example(f"{n}?", " a", (" a", " a long choice"), 0) for n in range(12)]
    task = task_of(examples, "choice")
    assert evaluate(model, TOKENIZER, task).score.value == 1.0  # a random model's shorter choice is the likelier
    assert evaluate(model, TOKENIZER, task, choice_length="tokens").score.value < 1.0


def test_a_response_is_rated_by_the_geometric_mean_of_its_tokens_probabilities():
    model = tiny.llama()
    examples = [Example(f"{n}?", response) for n, response in enumerate(["x", " three words here", "水"])]
    evaluation = evaluate(model, TOKENIZER, task_of(examples, "likelihood"))
    for output in evaluation.outputs:
        expected = math.exp(by_hand(model, output.prompt, output.expected) / len(output.expected.encode()))
        assert float(output.output) == pytest.approx(expected, rel=1e-3)
    assert evaluation.score.outcomes == tuple(float(output.output) for output in evaluation.outputs)


# --- drawn answers


@pytest.mark.parametrize(("n", "right", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (6, 6, 2), (7, 3, 5)])
def test_pass_at_k_is_the_share_of_draws_of_k_that_hold_a_right_one(n: int, right: int, k: int):
    answers = [True] * right + [False] * (n - right)
    draws = list(combinations(answers, k))
    assert pass_at(k, n, right) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_answers_are_drawn_by_the_seed_and_leave_the_callers_chance_alone():
    model, task = tiny.llama(), task_of([Example("a", "x"), Example("bb", "x")], "exact")
    sampling = Sampling(n=4, temperature=1.0, seed=1)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, again = (evaluate(model, TOKENIZER, task, sampling=sampling).outputs for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    other = evaluate(model, TOKENIZER, task, sampling=sampling.changed(seed=2)).outputs
    assert first == again != other
    assert [output.prompt for output in first] in (["a"] * 4 + ["bb"] * 4, ["bb"] * 4 + ["a"] * 4)
    assert len({output.output for output in first}) > 4


def test_drawn_answers_give_pass_at_k_with_its_interval():
    """ "contains" of an empty response is always right, of a text that no model says never."""
    examples = [Example("a", ""), Example("b", "never said"), Example("c", "")]
    score = evaluate(
        tiny.llama(), TOKENIZER, task_of(examples, "contains"), sampling=Sampling(n=5, temperature=1)
    ).score
    assert sorted(score.outcomes) == [0.0, 1.0, 1.0] and score.value == pytest.approx(2 / 3)
    assert score.shares.keys() == {"pass@1", "pass@5"}
    for share in score.shares.values():
        assert (share.value, share.n) == (pytest.approx(2 / 3), 3)
        assert (share.low, share.high) == pytest.approx(wilson(2, 3))


def test_nearly_greedy_draws_are_the_greedy_answer():
    model, task = tiny.llama(), task_of([Example("a", "x"), Example("bb", "x")], "exact")
    greedy = evaluate(model, TOKENIZER, task).outputs
    drawn = evaluate(model, TOKENIZER, task, sampling=Sampling(n=2, temperature=1e-4)).outputs
    assert [output.output for output in drawn] == [output.output for output in greedy for _ in range(2)]


def test_each_kind_has_its_share_and_interval():
    examples = [Example("a", "", kind="harmful"), Example("b", "", kind="benign"), Example("c", "no", kind="benign")]
    score = evaluate(tiny.llama(), TOKENIZER, task_of(examples, "contains")).score
    assert score.shares.keys() == {"harmful", "benign"} and score.parts["benign"] == score.shares["benign"].value == 0.5
    assert (score.shares["benign"].low, score.shares["benign"].high) == pytest.approx(wilson(1, 2))


def writer_of_letters() -> MistralForCausalLM:
    torch.manual_seed(1)
    model = MistralForCausalLM(MistralConfig(**SIZES)).eval()
    bias = torch.full((257,), -1e4)
    bias[[TOKENIZER(letter)["input_ids"][0] for letter in "abcdefghijklmnop"]] = 0
    model.lm_head.bias = torch.nn.Parameter(bias, requires_grad=False)
    return model


def said(model: MistralForCausalLM, examples: list[Example], stop: tuple[str, ...], batch_size: int):
    """Texts by example, and how many times the model was asked for a token; without a response no loss is asked for."""
    task, asked = Task("tiny", {"test": examples}.__getitem__, "exact", 24, stop=stop), []
    counter = model.register_forward_hook(lambda *_: asked.append(1))
    outputs = evaluate(model, TOKENIZER, task, batch_size=batch_size).outputs
    counter.remove()
    return {output.prompt: output.output for output in outputs}, len(asked)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_an_answer_ends_before_the_first_text_that_stops_it(batch_size: int):
    model, examples = writer_of_letters(), [Example(f"{n}{'x' * (n % 5)}", "") for n in range(16)]
    whole, most = said(model, examples, (), 16)
    assert {len(text) for text in whole.values()} == {24} and most == 24
    stop = (whole["3xxx"][5:8], whole["8xxx"][9:12], "X")
    found, _ = said(model, examples, stop, batch_size)
    assert found == {prompt: min((text.split(each)[0] for each in stop), key=len) for prompt, text in whole.items()}
    assert len(found["3xxx"]) <= 5 and len(found["8xxx"]) <= 9


def test_nothing_is_written_after_the_text_that_stops_an_answer():
    model, examples = writer_of_letters(), [Example("3xxx", "")]
    whole, most = said(model, examples, (), 1)
    stop = whole["3xxx"][5:8]
    _, asked = said(model, examples, (stop,), 1)
    assert asked == whole["3xxx"].index(stop) + 3 < most
