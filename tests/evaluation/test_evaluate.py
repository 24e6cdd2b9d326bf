"""Evaluation of a tiny Llama with random weights: the same at every batch size, and as a slow reference has it."""

import copy
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lori_core.config import TrainConfig
from lori_core.errors import ModelError, TaskError
from lori_core.evaluation.answers import log_likelihoods
from lori_core.evaluation.evaluate import Evaluation, evaluate
from lori_core.evaluation.intervals import loss_of, score_of, wilson
from lori_core.tasks.encode import encode, encode_prompt, encode_response
from lori_core.tasks.task import Example, Task
from lori_core.training.train import train

pytestmark = pytest.mark.usefixtures("processor")

PROMPTS = ["a", "what is 2 + 3 ?", "owl " * 9, "水", "b" * 40, "question : is an owl a bird ?\nreply :"]


def byte_tokenizer(bos: bool = True) -> PreTrainedTokenizerFast:
    """One token a byte, <s> before every prompt, no padding token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<s>", "</s>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer()


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    """Large random weights, so that greedy answers differ from prompt to prompt."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config).eval()


def task_of(examples: Sequence[Example], scorer: str, max_new_tokens: int = 12) -> Task:
    return Task("tiny", {"test": examples, "train": [], "validation": []}.__getitem__, scorer, max_new_tokens)


def generated() -> Task:
    return task_of([Example(prompt, " x") for prompt in PROMPTS], "exact")


def chosen() -> Task:
    choices = (" (a) oak", " (b) a small owl", " c", " 梟")
    return task_of([Example(prompt, choices[i % 4], choices, i % 4) for i, prompt in enumerate(PROMPTS)], "choice")


def texts(evaluation: Evaluation) -> dict[str, str]:
    return {output.prompt: output.output for output in evaluation.outputs}


@torch.no_grad()
def greedy_by_hand(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, prompt: str, most: int) -> str:
    """No batch, no cache, no padding: the whole sequence again for every token."""
    ids = list(tokenizer(prompt)["input_ids"])
    new: list[int] = []
    while len(new) < most:
        token = int(model(input_ids=torch.tensor([ids + new])).logits[0, -1].argmax())
        if token == tokenizer.eos_token_id:
            break
        new.append(token)
    return str(tokenizer.decode(new, skip_special_tokens=True))


@torch.no_grad()
def likelihood_by_hand(model: torch.nn.Module, prompt: list[int], continuation: list[int]) -> float:
    logits = model(input_ids=torch.tensor([prompt + continuation])).logits[0].double()
    total = 0.0
    for position, token in enumerate(continuation, start=len(prompt)):
        total += float(logits[position - 1].log_softmax(-1)[token])
    return total


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_generation_equals_greedy_by_hand_at_every_batch_size(model, tokenizer, batch_size: int):
    found = texts(evaluate(model, tokenizer, generated(), batch_size=batch_size))
    assert found == {prompt: greedy_by_hand(model, tokenizer, prompt, 12) for prompt in PROMPTS}
    assert len(set(found.values())) > 1  # a model that always says the same would agree with anything


def test_generation_ends_at_the_end_token(model, tokenizer):
    """The end token is made likely, so that some answers end early and others do not."""
    prompts = [f"{n} + {n} is" for n in range(30)]
    task = task_of([Example(prompt, "x") for prompt in prompts], "exact", 16)
    rows = model.lm_head.weight.data
    kept = rows[1].clone()
    try:
        rows[1] = 1.5 * rows[100]  # </s> wins wherever token 100 would, and its logit is positive
        found = texts(evaluate(model, tokenizer, task, batch_size=8))
        by_hand = {prompt: greedy_by_hand(model, tokenizer, prompt, 16) for prompt in prompts}
        lengths = {len(encode_response(tokenizer, text)) for text in by_hand.values()}
    finally:
        rows[1] = kept
    assert found == by_hand
    assert min(lengths) < 16


def test_what_the_checkpoint_says_about_generation_changes_nothing(model, tokenizer):
    plain = texts(evaluate(model, tokenizer, generated()))
    before = model.generation_config
    try:
        model.generation_config = type(before)(do_sample=True, temperature=5.0, repetition_penalty=3.0, eos_token_id=7)
        assert texts(evaluate(model, tokenizer, generated())) == plain
    finally:
        model.generation_config = before


def test_summed_log_likelihoods_equal_those_of_each_row_alone(model, tokenizer):
    rows = [
        (encode_prompt(tokenizer, prompt), encode_response(tokenizer, choice))
        for prompt in PROMPTS
        for choice in chosen().examples("test")[0].choices
    ]
    found = torch.stack([tokens.sum() for tokens in log_likelihoods(model, rows, pad=1)])
    expected = torch.tensor([likelihood_by_hand(model, *row) for row in rows])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_the_likeliest_choice_is_taken_at_every_batch_size(model, tokenizer, batch_size: int):
    task = chosen()
    evaluation = evaluate(model, tokenizer, task, batch_size=batch_size)
    for example in task.examples("test"):
        prompt = encode_prompt(tokenizer, example.prompt)
        values = [likelihood_by_hand(model, prompt, encode_response(tokenizer, each)) for each in example.choices]
        likeliest = example.choices[values.index(max(values))]
        assert texts(evaluation)[example.prompt] == likeliest
    right = [float(output.output == output.expected) for output in evaluation.outputs]
    assert evaluation.score.outcomes == tuple(right) and evaluation.score.value == sum(right) / len(right)


def test_learned_positions_are_counted_from_the_first_real_token(tokenizer):
    """GPT-2 adds a vector for each position: padding that shifted them would show."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=258, n_positions=64, n_embd=32, n_layer=2, n_head=2, initializer_range=0.5)
    gpt2 = GPT2LMHeadModel(config).eval()
    found = texts(evaluate(gpt2, tokenizer, generated(), batch_size=16))
    assert found == {prompt: greedy_by_hand(gpt2, tokenizer, prompt, 12) for prompt in PROMPTS}
    rows = [(encode_prompt(tokenizer, prompt), encode_response(tokenizer, " owl")) for prompt in PROMPTS]
    expected = torch.tensor([likelihood_by_hand(gpt2, *row) for row in rows])
    found = torch.stack([tokens.sum() for tokens in log_likelihoods(gpt2, rows, pad=1)])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_prompts_too_long_for_the_model_count_as_wrong_and_are_counted(model, tokenizer):
    right = greedy_by_hand(model, tokenizer, "a", 12)
    task = task_of([Example("a", right), Example("b" * 115, right), Example("c" * 116, right)], "exact")
    evaluation = evaluate(model, tokenizer, task)
    assert evaluation.too_long == 1  # <s> and 115 letters leave 12 positions of 128; one letter more does not
    assert {output.prompt[0]: output.output == "" for output in evaluation.outputs} == {
        "a": False,
        "b": False,
        "c": True,
    }
    assert evaluation.score.n == 3 and evaluation.score.value == pytest.approx(1 / 3)


def test_choices_too_long_for_the_model_count_as_wrong_and_are_counted(model, tokenizer):
    task = task_of([Example("a", " x", (" x", " " + "y" * 130), 0), Example("b", " x", (" x", " x"), 0)], "choice")
    evaluation = evaluate(model, tokenizer, task)
    assert evaluation.too_long == 1 and evaluation.score.value == 0.5
    assert {output.prompt: output.output for output in evaluation.outputs} == {"a": "", "b": " x"}


def test_an_answer_may_fill_half_of_the_positions_and_no_more(model, tokenizer):
    evaluation = evaluate(model, tokenizer, task_of([Example("a", "x")], "exact", max_new_tokens=1000))
    assert evaluation.too_long == 0
    assert evaluation.outputs[0].output == greedy_by_hand(model, tokenizer, "a", 64)


def test_a_limit_takes_the_same_examples_every_time_and_the_first_of_a_larger_one(model, tokenizer):
    prompts = [
        [output.prompt for output in evaluate(model, tokenizer, generated(), limit=n).outputs] for n in (2, 4, 4, 99)
    ]
    assert prompts[0] == prompts[1][:2] and prompts[1] == prompts[2] == prompts[3][:4]
    assert sorted(prompts[3]) == sorted(PROMPTS) and prompts[3] != PROMPTS


def test_the_model_is_left_in_the_mode_it_was_in(model, tokenizer):
    modes = []
    try:
        for mode in (True, False):
            model.train(mode)
            evaluate(model, tokenizer, generated(), limit=1, on_event=lambda event: modes.append(model.training))
            assert model.training is mode
        model.train()
        with pytest.raises(KeyboardInterrupt):
            evaluate(model, tokenizer, generated(), on_event=interrupt)
        assert model.training
    finally:
        model.eval()
    assert modes and not any(modes)


def interrupt(event: dict[str, object]) -> None:
    raise KeyboardInterrupt


def test_events_tell_how_far_it_is(model, tokenizer):
    events: list[dict[str, object]] = []
    evaluate(model, tokenizer, generated(), batch_size=4, on_event=events.append)
    names = {"kind": "evaluate", "task": "tiny", "split": "test", "total": 6}
    assert events == [names | {"done": done} for done in (4, 6, 6, 6)]  # losses are computed at the end


def test_an_empty_split_is_told(model, tokenizer):
    with pytest.raises(TaskError, match="'tiny' has no examples in its validation split"):
        evaluate(model, tokenizer, generated(), split="validation")


# --- encoding


@pytest.mark.parametrize("bos", [True, False])
def test_training_and_evaluation_read_the_same_prompt_tokens(bos: bool):
    tokenizer = byte_tokenizer(bos)
    for prompt in PROMPTS:
        encoded = encode(tokenizer, Example(prompt, " owl"), 512)
        assert encoded is not None
        assert encoded.input_ids[: encoded.prompt_length] == encode_prompt(tokenizer, prompt)
        assert encoded.input_ids[encoded.prompt_length :] == [*encode_response(tokenizer, " owl"), 1]
        assert encoded.input_ids.count(0) == int(bos)
        assert tokenizer.decode(encoded.input_ids, skip_special_tokens=True) == prompt + " owl"


def test_an_example_that_does_not_fit_is_none_and_never_cut(tokenizer):
    example = Example("abc", "de")
    assert encode(tokenizer, example, 7) is not None  # <s> a b c d e </s>
    assert encode(tokenizer, example, 6) is None


def test_a_tokenizer_without_an_end_token_is_refused():
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end token"):
        encode(tokenizer, Example("a", "b"), 9)


# --- the interval


@pytest.mark.parametrize(("right", "n"), [(0, 5), (1, 1), (7, 10), (90, 100), (200, 200)])
def test_the_wilson_interval_holds_the_shares_that_a_test_would_not_reject(right: int, n: int):
    """Its ends solve |p_hat - p| = z sqrt(p (1 - p) / n); scanned here."""
    share, z = right / n, 1.959964
    accepted = [
        p / 20000 for p in range(20001) if abs(share - p / 20000) <= z * math.sqrt(p / 20000 * (1 - p / 20000) / n)
    ]
    assert wilson(right, n) == pytest.approx((min(accepted), max(accepted)), abs=1e-4)


def test_one_kind_has_its_wilson_interval():
    score = score_of("t", "test", "exact", [1.0, 1.0, 0.0, 1.0], ["", "", "", ""], 0.5)
    assert (score.value, score.n, score.parts) == (0.75, 4, {})
    assert (score.low, score.high) == pytest.approx(wilson(3, 4))


def test_kinds_weigh_the_same_however_many_examples_they_have():
    score = score_of("t", "test", "refusal", [1.0] * 9 + [0.0], ["harmful"] * 9 + ["benign"], 0.5)
    assert score.value == 0.5 and score.parts == {"harmful": 1.0, "benign": 0.0}


def test_the_interval_of_two_kinds_holds_the_true_mean_about_95_times_in_100():
    generator = torch.Generator().manual_seed(0)
    truth, kinds, held = {"a": 0.9, "b": 0.3}, ["a"] * 60 + ["b"] * 30, 0
    chances = torch.tensor([truth[kind] for kind in kinds])
    for _ in range(1000):
        outcomes = torch.bernoulli(chances, generator=generator).tolist()
        score = score_of("t", "test", "refusal", outcomes, kinds, 0.0)
        held += score.low <= 0.6 <= score.high
    assert 930 <= held <= 970


# --- held-out loss


@pytest.mark.parametrize("batch_size", [1, 4, 16])
@pytest.mark.parametrize("make", [generated, chosen])
def test_the_loss_is_that_of_the_response_and_its_end_token_as_training_has_it(model, tokenizer, make, batch_size: int):
    task = make()
    loss = evaluate(model, tokenizer, task, batch_size=batch_size).score.loss
    assert loss is not None
    nats, lengths = [], []
    for output in evaluate(model, tokenizer, task, batch_size=batch_size).outputs:
        encoded = encode(tokenizer, Example(output.prompt, output.expected), 512)
        assert encoded is not None
        prompt, response = encoded.input_ids[: encoded.prompt_length], encoded.input_ids[encoded.prompt_length :]
        nats.append(-likelihood_by_hand(model, prompt, response))
        lengths.append(len(response))
    assert loss.lengths == tuple(lengths) and loss.tokens == sum(lengths) and loss.n == len(PROMPTS)
    assert loss.nats == pytest.approx(nats, rel=1e-4)
    assert loss.value == pytest.approx(sum(nats) / sum(lengths), rel=1e-4)


def test_the_loss_is_what_one_step_of_training_reports_on_the_same_examples(model, tokenizer):
    examples = [Example(prompt, " x y") for prompt in PROMPTS]
    loss = evaluate(model, tokenizer, task_of(examples, "exact")).score.loss
    trained = copy.deepcopy(model).requires_grad_(True)
    settings = TrainConfig(learning_rate=1e-6, steps=1, batch_size=len(examples))
    report = train(trained, tokenizer, examples, settings)
    assert loss is not None and loss.value == pytest.approx(report.losses[0], rel=1e-4)


@pytest.mark.parametrize(("scorer", "passes"), [("likelihood", 2), ("choice", 2), ("exact", 12 + 2)])
def test_the_loss_takes_passes_of_its_own_only_where_answers_are_written(model, tokenizer, scorer, passes):
    task = chosen() if scorer == "choice" else task_of([Example(prompt, " x") for prompt in PROMPTS], scorer)
    counted: list[object] = []
    hook = model.register_forward_hook(lambda *_: counted.append(None))
    evaluate(model, tokenizer, task, batch_size=64)
    hook.remove()
    assert len(counted) == passes  # prompts and continuations; before them, of written answers, one a token


def test_examples_without_a_response_have_no_loss(model, tokenizer):
    examples = [Example(PROMPTS[0], ""), Example(PROMPTS[1], " x"), Example(PROMPTS[2], "")]
    loss = evaluate(model, tokenizer, task_of(examples, "exact")).score.loss
    assert loss is not None and loss.n == 1 and loss.low is None and loss.high is None
    assert evaluate(model, tokenizer, task_of(examples[:1], "exact")).score.loss is None


def test_an_example_that_does_not_fit_the_model_has_no_loss(model, tokenizer):
    examples = [Example("b" * 126, " x"), Example("b", " x")]
    loss = evaluate(model, tokenizer, task_of(examples, "exact", 4)).score.loss
    assert loss is not None and loss.n == 1


def test_nineteen_of_twenty_intervals_of_the_loss_hold_what_the_loss_is_over_all_examples():
    """Examples of different lengths whose losses are related to their length, as real ones are."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 60, 100_000)
    nats = lengths * generator.gamma(4.0, 0.25, len(lengths)) + generator.exponential(2.0, len(lengths))
    true, held = nats.sum() / lengths.sum(), 0
    for _ in range(1000):
        drawn = generator.integers(len(lengths), size=60)
        loss = loss_of(nats[drawn].tolist(), lengths[drawn].tolist())
        assert loss.low is not None and loss.high is not None
        held += loss.low <= true <= loss.high
    assert 0.92 < held / 1000 < 0.97


def test_whoever_stops_a_score_is_asked_while_losses_are_computed_too(model, tokenizer):
    events: list[dict] = []
    evaluate(model, tokenizer, generated(), batch_size=2, on_event=events.append)
    assert [event["done"] for event in events] == [2, 4, 6, 6, 6, 6]
