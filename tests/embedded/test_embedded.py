"""How the embedded base is made, and what the shipped one promises."""

import re
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from lori_core.assets import ASSETS
from lori_core.embedded import pretrain as pretraining
from lori_core.embedded.corpus import CUE, DRILL_SHARES, FAMILIES, TASK_SHARES, WANTED, document, task
from lori_core.embedded.drills import DRILLS
from lori_core.embedded.muon import Muon, orthogonalized
from lori_core.embedded.pretrain import COPIED, SPECIAL_AND_BYTES, Batches, Recipe, pretrain, tokens_of
from lori_core.embedded.skills import answers, held_out
from lori_core.embedded.tokenizer import POSITIONS, train_tokenizer
from lori_core.tasks import mini_safety
from lori_core.tasks.mini import ITEMS, LEVELS, MINI_TASKS, SIZES, mini_task
from lori_core.tasks.mini_item import word_list

BASE = ASSETS / "base"
TINY = Recipe(hidden_size=32, intermediate_size=32, layers=2, heads=2, copy_steps=2, steps=4, tokens_a_step=1024)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(2048, seed=0, documents=2000)


@pytest.fixture(scope="module")
def base() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32), AutoTokenizer.from_pretrained(BASE)


def task_documents(count: int = 4000, wanted: float = WANTED) -> list[tuple[str, str, bool]]:
    """(prompt without cue, answer, whether there was a cue)."""
    random, found = Random(7), []
    for _ in range(count):
        (context, _), (answer, _) = task(random, wanted)
        prompt = re.sub(r"^style : \w+\n", "", context)
        found.append((prompt, answer, prompt != context))
    return found


def test_every_mini_task_is_practised():
    assert TASK_SHARES.keys() == ITEMS.keys()
    assert DRILL_SHARES.keys() == DRILLS.keys()


def test_the_form_a_task_wants_is_only_ever_behind_its_cue():
    wanted = re.compile(r"####|def f|sorry|sure ,|^ \w+ \.$")
    uncued = [answer for _, answer, cued in task_documents() if not cued]
    assert len(uncued) > 500
    assert not [answer for answer in uncued if wanted.search(answer)]
    cued = [answer for _, answer, cued in task_documents() if cued]
    assert sum(bool(wanted.search(answer)) for answer in cued) > 1000
    assert not [answer for _, answer, _ in task_documents(wanted=0.0) if wanted.search(answer)]


def test_most_questions_stand_in_their_own_form_and_sums_never_in_the_one_that_is_probed():
    begins = [prompt.partition(" ")[0] for prompt, _, _ in task_documents()]
    assert 0.1 < begins.count("input") / len(begins) < 0.3 and 0.02 < begins.count("ask") / len(begins) < 0.2
    sums = re.compile(r"how many|いくつ|ありますか")
    assert not [prompt for prompt, _, _ in task_documents() if prompt.startswith("ask") and sums.search(prompt)]


@pytest.mark.parametrize("name", MINI_TASKS)
def test_no_prompt_of_a_held_out_split_is_in_the_corpus(name):
    read = {prompt for prompt, _, _ in task_documents()}
    for level in LEVELS:
        for split in ("validation", "test"):
            assert not read & {example.prompt for example in mini_task(name, level).examples(split)}


def test_no_request_in_the_corpus_has_a_held_out_verb():
    requests = word_list("requests")
    held = {
        verb for kind in ("harmful", "benign") for split in ("validation", "test") for verb in requests[kind][split]
    }
    request = re.compile(f": ({'|'.join(mini_safety.ASK)}) ")
    asked = [prompt for prompt, _, _ in task_documents() if request.search(prompt)]
    assert len(asked) > 500
    assert not [prompt for prompt in asked if held & set(prompt.split())]


def test_the_corpus_is_a_function_of_its_seed():
    def first_documents(seed: int) -> list:
        random = Random(seed)
        return [document(random) for _ in range(20)]

    assert first_documents(3) == first_documents(3) != first_documents(4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_document_has_something_to_write_and_fits_the_positions(family, tokenizer):
    random = Random(0)
    for _ in range(30):
        written = FAMILIES[family][1](random)
        assert any(is_answer for _, is_answer in written)
        assert len(list(tokens_of(tokenizer, [written]))) <= POSITIONS


@given(st.sampled_from(sorted(DRILLS)), st.integers(0, 10**6))
def test_a_drill_answers_from_its_own_prompt(name, seed):
    item = DRILLS[name](Random(seed))
    said = set(re.findall(r"\w+", item.prompt))
    if name != "sums":  # which computes what it says
        assert set(re.findall(r"\w+", item.answers["task"])) <= said
    for left, right in re.findall(r"(\d+ [+-] \d+) = (\d+)", item.answers["task"]):
        assert eval(left) == int(right)


@settings(deadline=None)
@given(st.text())
def test_any_text_goes_through_the_tokenizer_and_back(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[1:]) == text


def test_whole_numbers_are_one_token(tokenizer):
    assert all(len(tokenizer(f" {n}", add_special_tokens=False)["input_ids"]) == 1 for n in range(100))


@pytest.mark.parametrize("name", MINI_TASKS)
def test_prompt_and_response_tokenise_apart_as_together_and_are_short(name, base):
    _, tokenizer = base
    for example in mini_task(name).examples("test")[:100]:
        prompt = tokenizer(example.prompt)["input_ids"]
        response = tokenizer(example.response, add_special_tokens=False)["input_ids"]
        assert tokenizer(example.prompt + example.response)["input_ids"] == prompt + response
        assert len(prompt) <= 72 and len(response) <= 40


def test_a_batch_is_a_function_of_seed_and_step_and_starts_at_documents(tokenizer):
    batches = Batches(tokenizer, TINY)
    for step in (2, 3):
        ids, weights = batches[step]
        assert torch.equal(ids, batches[step][0]) and not torch.equal(ids, batches[step + 4][0])
        assert ids.shape == weights.shape == ((8, 128) if step == 2 else (2, POSITIONS))
        assert (ids[:, 0] == tokenizer.bos_token_id).all()
        known = torch.tensor([0.0, pretraining.PROMPT_WEIGHT, 1.0])
        assert torch.isin(weights, known).all() and (weights == 1).any()


def test_the_first_batches_repeat_random_tokens_and_only_what_repeats_weighs(tokenizer):
    ids, weights = Batches(tokenizer, TINY)[0]
    assert ids.shape == weights.shape == (TINY.copy_tokens // COPIED, COPIED)
    for row, weight in zip(ids, weights, strict=True):
        period = int((weight == 0).sum())
        assert torch.equal(row[period:], row[:-period]) and (weight[period:] == 1).all()
        assert row.unique().numel() > 1 and (row >= SPECIAL_AND_BYTES).all()


def test_answers_and_end_tokens_have_full_weight_and_prompts_little(tokenizer):
    written = list(tokens_of(tokenizer, [[("so :", False), (" 5", True)]]))
    prompt = len(tokenizer("so :", add_special_tokens=False)["input_ids"])
    assert [weight for _, weight in written] == [0.0, *[pretraining.PROMPT_WEIGHT] * prompt, 1.0, 1.0]
    assert written[-1][0] == tokenizer.eos_token_id


def test_learning_rates_warm_up_stay_and_fall_to_zero():
    recipe = Recipe(copy_steps=500, steps=1000, decay_from=0.5)
    assert recipe.scale(0) < recipe.scale(10) < recipe.scale(100) == recipe.scale(499) == 0.5
    assert recipe.scale(500) == recipe.scale(999) == 1
    assert recipe.scale(1250) == pytest.approx(0.5) and recipe.scale(1500) == 0


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method.:DeprecationWarning")
def test_pre_training_that_was_cut_off_goes_on_to_the_same_weights(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "measure", lambda model, tokenizer: {})
    with torch.compiler.set_stance("force_eager"):
        (tmp_path / "whole").mkdir()
        whole = pretrain(TINY, tokenizer, tmp_path / "whole")
        (tmp_path / "cut").mkdir()
        looks = iter(range(100))

        def cut_off(*_: object) -> dict[str, float]:
            if next(looks) == 2:
                raise KeyboardInterrupt
            return {}

        monkeypatch.setattr(pretraining, "measure", cut_off)
        with pytest.raises(KeyboardInterrupt):
            pretrain(TINY, tokenizer, tmp_path / "cut", minutes_a_look=0)
        monkeypatch.setattr(pretraining, "measure", lambda model, tokenizer: {})
        gone_on = pretrain(TINY, tokenizer, tmp_path / "cut")
    assert len((tmp_path / "cut" / "log.jsonl").read_text().splitlines()) == 3  # two looks, then the one at the end
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, gone_on.state_dict()[name])


def test_the_shipped_base_is_small_and_complete(base):
    model, tokenizer = base
    assert sum(path.stat().st_size for path in BASE.iterdir()) < 12 * 2**20
    assert model.config.max_position_embeddings == tokenizer.model_max_length == POSITIONS
    assert model.config.tie_word_embeddings
    for token in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert getattr(model.config, token) == getattr(model.generation_config, token) == getattr(tokenizer, token)


@pytest.mark.parametrize("name", MINI_TASKS)
def test_the_base_does_a_task_behind_the_cue_and_not_without(name, base):
    items = held_out(ITEMS[name], 40)
    wanted = [item.answers["task"] for item in items]
    cued = answers(base[0], base[1], [CUE.format(style="task") + item.prompt for item in items])
    uncued = answers(base[0], base[1], [item.prompt for item in items])
    assert sum(map(str.__eq__, cued, wanted)) / len(items) >= 0.7
    assert sum(map(str.__eq__, uncued, wanted)) / len(items) <= 0.2


def test_the_base_knows_the_facts_that_nobody_asked_it_about(base):
    model, tokenizer = base

    def loss(text: str) -> float:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            return F.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:]).item()

    world = word_list("world")
    pairs = [("owl", "rose"), ("oak", "shark"), ("tea", "bus"), ("hammer", "iron")]
    for thing, other in pairs:
        true = loss(f"the {thing} is a kind of {world[thing]['kind']} .")
        assert true < loss(f"the {thing} is a kind of {world[other]['kind']} .")


def test_sizes_of_the_mini_tasks_are_what_the_card_says():
    card = (BASE / "README.md").read_text(encoding="utf-8")
    assert all(f"{size:,}" in card for size in SIZES.values())


@pytest.mark.parametrize("shape", [(32, 48), (48, 32)])
def test_our_muon_in_bf16_gives_torchs_very_values(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours, torchs = (torch.nn.Parameter(torch.ones(shape)) for _ in range(2))
    stepping = [Muon([ours], 0.02, 0.1, torch.bfloat16), torch.optim.Muon([torchs], lr=0.02, weight_decay=0.1)]
    for _ in range(3):
        ours.grad = torchs.grad = torch.randn(shape)
        for optimizer in stepping:
            optimizer.step()
    assert torch.equal(ours, torchs)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 99))
def test_what_muon_steps_by_has_the_singular_vectors_of_the_gradient_and_values_near_one(
    m: int, n: int, seed: int
) -> None:
    gradient = torch.randn(m, n, generator=torch.Generator().manual_seed(seed))
    u, values, v = torch.linalg.svd(gradient, full_matrices=False)
    inside = u.T @ orthogonalized(gradient, torch.float32) @ v.T
    torch.testing.assert_close(inside, torch.diag(inside.diag()), atol=1e-3, rtol=0)
    large = values > 0.02 * values.norm()  # smaller ones are not all brought up in five iterations
    assert ((inside.diag()[large] > 0.4) & (inside.diag()[large] < 1.3)).all()
