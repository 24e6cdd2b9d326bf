"""The loop: losses by hand, schedules, events, stops, and trainings killed with -9 that end in the same bits."""

import hashlib
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from lori_core.bases.attach import attach
from lori_core.bases.load import Base
from lori_core.config import AdapterConfig, Schedule, TrainConfig
from lori_core.errors import ConfigError, DataError, RunError, Stopped
from lori_core.method.adapter import Adapter
from lori_core.tasks.task import Example
from lori_core.training.hooks import Hooks
from lori_core.training.train import schedule, train

pytestmark = pytest.mark.usefixtures("processor")

EXAMPLES = [
    Example("ab:", " c"),
    Example("what follows d?", " e, then f"),
    Example("g", " h i j k"),
    Example("say l and m:", " l m"),
]


class Trained:
    """One training of a fresh tiny model with random half masks."""

    def __init__(self, base: Base | None = None, examples=EXAMPLES, config: AdapterConfig = tiny.CONFIG, **changes):
        self.base = base or tiny.base()
        masks = None if config.train_projection else tiny.halves(self.base, config)
        self.start = tiny.filled(tiny.start(self.base, config, masks=masks))
        self.attached = attach(self.base.model, self.start)
        options = {key: changes.pop(key) for key in ("hooks", "watcher", "checkpoint") if key in changes}
        self.events: list[dict] = []
        options.setdefault("hooks", Hooks(self.events.append))
        self.report = train(self.base.model, self.base.tokenizer, examples, tiny.settings(**changes), **options)
        self.adapter = self.attached.extract()

    def values(self, adapter: Adapter | None = None) -> Tensor:
        return torch.cat([factors.values for factors in (adapter or self.adapter).factors.values()])


def response_losses(base: Base, example: Example) -> Tensor:
    """Nats of each response token and the end token, one example alone, no padding; the reference."""
    prompt = base.tokenizer(example.prompt).input_ids
    ids = [*prompt, *base.tokenizer(example.response).input_ids, tiny.END]
    with torch.no_grad():
        log_likelihood = base.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return torch.stack([-log_likelihood[i - 1, ids[i]] for i in range(max(1, len(prompt)), len(ids))])


# --- what is counted


@pytest.mark.parametrize("micro_batch_size", [None, 1, 3])
def test_the_first_loss_is_the_mean_over_response_tokens_alone(micro_batch_size):
    base = tiny.base()
    with_adapter = attach(base.model, tiny.filled(tiny.start(base, masks=tiny.halves(base))))
    each = [response_losses(base, example) for example in EXAMPLES]
    with_adapter.detach()
    trained = Trained(base, steps=1, micro_batch_size=micro_batch_size)
    assert trained.report.losses[0] == pytest.approx(torch.cat(each).mean().item(), rel=1e-6)


def test_padding_and_what_the_prompt_says_are_no_targets(monkeypatch):
    """A model whose output does not depend on its input: its loss sees the targets alone."""

    def loss(*examples: Example) -> float:
        base = tiny.base()
        bias = torch.linspace(-3, 3, 257)
        monkeypatch.setattr(
            base.model.lm_head, "forward", lambda hidden: hidden.sum() * 0 + bias.expand(*hidden.shape[:2], -1)
        )
        return Trained(base, examples, steps=1, batch_size=len(examples)).report.losses[0]

    assert loss(Example("aaaa", "xy")) == loss(Example("zz zz zz zz", "xy")) != loss(Example("aaaa", "xz"))
    long, short = Example("aaaa", "xyxyxyxyxy"), Example("b", "x")
    bias = torch.linspace(-3, 3, 257).double().log_softmax(0)
    ids = [*tiny.byte_tokenizer()("xyxyxyxyxy" + "x").input_ids, tiny.END, tiny.END]
    assert loss(long, short) == pytest.approx(-bias[ids].mean().item(), rel=1e-6)


def test_of_an_example_without_a_prompt_all_but_the_first_token_is_learned():
    base = tiny.base()
    examples = [Example("", "abc"), Example("x", "y")]
    with_adapter = attach(base.model, tiny.filled(tiny.start(base, masks=tiny.halves(base))))
    expected = torch.cat([response_losses(base, example) for example in examples]).mean()
    with_adapter.detach()
    trained = Trained(base, examples, steps=1, batch_size=2)
    assert trained.report.losses[0] == pytest.approx(expected.item(), rel=1e-6)


OFFICIAL: dict[str, Any] = {"loss_per": "example", "clip_per": "matrix"}


@pytest.mark.parametrize("settings", [{}, OFFICIAL], ids=["", "official"])
@pytest.mark.parametrize("micro_batch_size", [1, 2, 3])
def test_micro_batches_give_the_update_of_the_whole_batch(micro_batch_size, settings):
    whole = Trained(steps=5, learning_rate=1e-3, **settings)
    parts = Trained(steps=5, learning_rate=1e-3, micro_batch_size=micro_batch_size, **settings)
    assert parts.report.losses == pytest.approx(whole.report.losses, rel=1e-6)
    difference = torch.linalg.norm(parts.values() - whole.values())
    assert difference < 1e-4 * torch.linalg.norm(whole.values() - whole.values(whole.start))


def test_the_loss_is_told_in_nats_a_token_whatever_it_is_the_mean_over():
    token, example = Trained(steps=1), Trained(steps=1, loss_per="example")
    assert example.report.losses == pytest.approx(token.report.losses, rel=1e-6)
    assert not tiny.same_bits(example.adapter, token.adapter)


def test_gradient_checkpointing_gives_the_same_losses_and_is_off_afterwards():
    plain, saving = Trained(steps=8), Trained(steps=8, gradient_checkpointing=True)
    assert saving.report.losses == pytest.approx(plain.report.losses, rel=1e-6)
    modules = saving.base.model.modules()
    assert not any(getattr(module, "gradient_checkpointing", False) for module in modules)
    embedded = saving.base.model.get_input_embeddings()(torch.tensor([1]))  # type: ignore[reportCallIssue]
    assert not embedded.requires_grad


# --- AdamW, clipping and the learning rate


def test_a_training_is_the_plain_loop_of_clipped_adamw_at_the_scheduled_rate():
    trained = Trained(steps=6, batch_size=len(EXAMPLES), clip=0.05, schedule="cosine", warmup_steps=2)
    base = tiny.base()
    attached = attach(base.model, tiny.filled(tiny.start(base, masks=tiny.halves(base))))
    parameters = [parameter for parameter in base.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.0)
    for step in range(6):
        optimizer.param_groups[0]["lr"] = 1e-2 * schedule(step, tiny.settings(steps=6, schedule="cosine"))
        losses = []
        for example in EXAMPLES:
            prompt = base.tokenizer(example.prompt).input_ids
            ids = torch.tensor([[*prompt, *base.tokenizer(example.response).input_ids, tiny.END]])
            logits = base.model(ids).logits[0, len(prompt) - 1 : -1]
            losses.append(nn.functional.cross_entropy(logits, ids[0, len(prompt) :], reduction="none"))
        torch.cat(losses).mean().backward()
        assert nn.utils.clip_grad_norm_(parameters, 0.05) > 0.05
        optimizer.step()
        optimizer.zero_grad()
    expected = torch.cat([factors.values for factors in attached.extract().factors.values()])
    assert torch.linalg.norm(trained.values() - expected) < 1e-4 * torch.linalg.norm(expected)


CLOSED_FORMS = {
    "constant": lambda t, n: 1.0,
    "linear": lambda t, n: (n - t) / n,
    "cosine": lambda t, n: math.cos(math.pi * t / n / 2) ** 2,
}


@pytest.mark.parametrize("kind", CLOSED_FORMS)
@pytest.mark.parametrize(("steps", "warmup"), [(10, 0), (80, 5), (3, 3), (2, 5)])
def test_schedules_follow_their_closed_forms_after_a_linear_warm_up(kind: Schedule, steps, warmup):
    config = TrainConfig(learning_rate=1, steps=steps, warmup_steps=warmup, schedule=kind)
    got = [schedule(step, config) for step in range(steps)]
    rising = [i / (warmup + 1) for i in range(1, min(steps, warmup) + 1)]
    falling = [CLOSED_FORMS[kind](t, steps - warmup) for t in range(steps - warmup)]
    assert got == pytest.approx(rising + falling)
    assert all(0 < factor <= 1 for factor in got)


# --- what it reports


def test_events_tell_step_loss_rate_speed_memory_and_time_left():
    trained = Trained(steps=6, warmup_steps=2)
    assert [event["step"] for event in trained.events] == list(range(1, 7))
    assert [event["loss"] for event in trained.events] == list(trained.report.losses)
    rates = [1e-2 * schedule(step, tiny.settings(steps=6)) for step in range(6)]
    assert [event["learning_rate"] for event in trained.events] == rates
    for event in trained.events:
        assert event["kind"] == "step" and event["steps"] == 6
        assert event["tokens_per_second"] > 0
        assert event["memory_bytes"] > 10 * 2**20
        assert (event["seconds_left"] > 0) == (event["step"] < 6)
        json.dumps(event)


def test_the_report_counts_steps_tokens_parameters_and_eight_optimizer_bytes_a_kept_entry():
    trained = Trained(steps=3, batch_size=len(EXAMPLES))
    kept = sum(int(mask.sum()) for mask in trained.adapter.masks.values())
    tokenizer = trained.base.tokenizer
    tokens = sum(len(tokenizer(each.prompt + each.response).input_ids) + 1 for each in EXAMPLES)
    report = trained.report
    assert (report.steps, len(report.losses), report.tokens) == (3, 3, 3 * tokens)
    assert (report.trained_parameters, report.optimizer_bytes) == (kept, 8 * kept)
    assert (report.examples, report.dropped) == (len(EXAMPLES), 0)


def test_losses_fall_and_the_base_keeps_its_bits():
    before = tiny.weights(tiny.llama())
    trained = Trained(examples=tiny.task().examples("train"), steps=60, batch_size=8)
    trained.attached.detach()
    assert sum(trained.report.losses[-5:]) < 0.95 * sum(trained.report.losses[:5])
    assert tiny.same_tensors(tiny.weights(trained.base.model), before)
    assert not trained.base.model.training


def test_LoRA_trains_A_and_B():
    config = AdapterConfig(rank=4, sparsity=0, train_projection=True)
    trained = Trained(config=config, steps=3)
    for module, factors in trained.adapter.factors.items():
        assert not torch.equal(factors.A, trained.start.factors[module].A)
        assert not torch.equal(factors.B, trained.start.factors[module].B)
    assert trained.report.trained_parameters == trained.adapter.trained_parameters


# --- the examples


def test_too_long_examples_are_dropped_whole_and_counted():
    long = Example("x" * 20, "y" * 12)  # 33 tokens with the end token, one too many
    mixed = Trained(examples=[long, *EXAMPLES, long], steps=4)
    clean = Trained(examples=EXAMPLES, steps=4)
    assert (mixed.report.examples, mixed.report.dropped) == (4, 2)
    assert tiny.same_bits(mixed.adapter, clean.adapter)
    fits = Trained(examples=[Example("x" * 20, "y" * 11)], steps=1)
    assert (fits.report.examples, fits.report.dropped) == (1, 0)


def test_only_so_many_examples_are_used_as_asked_for():
    two = Trained(examples=EXAMPLES[:2], steps=4)
    base = tiny.base()
    attached = attach(base.model, tiny.filled(tiny.start(base, masks=tiny.halves(base))))
    report = train(base.model, base.tokenizer, EXAMPLES, tiny.settings(steps=4, examples=2))
    assert report.examples == 2
    assert tiny.same_bits(attached.extract(), two.adapter)


def test_a_pass_takes_each_example_once_and_each_seed_and_pass_has_its_order():
    base = tiny.base()
    lengths: list[int] = []
    forward = base.model.forward

    def watched(*arguments, **named):
        lengths.append(named["input_ids"].shape[1])
        return forward(*arguments, **named)

    base.model.forward = watched
    examples = [Example("p", "a" * n) for n in range(1, 9)]
    passes = {}
    for seed in (0, 1, 0):
        lengths.clear()
        train_on = tiny.settings(steps=24, batch_size=1, seed=seed)
        attached = attach(base.model, tiny.start(base))
        train(base.model, base.tokenizer, examples, train_on)
        attached.detach()
        three = [tuple(lengths[i : i + 8]) for i in (0, 8, 16)]
        assert all(sorted(each) == list(range(3, 11)) for each in three)
        assert len(set(three)) == 3
        assert passes.setdefault(seed, three) == three
    assert passes[0] != passes[1]


def test_examples_that_are_all_too_long_are_refused():
    with pytest.raises(DataError, match="None of the 2 training examples fits into 32 tokens") as caught:
        Trained(examples=[Example("x" * 40, "y")] * 2)
    assert caught.value.key == "all_too_long"


# --- how it ends early


def test_a_diverging_training_is_refused_with_its_step_and_can_be_tried_again():
    base = tiny.base()
    adapter = tiny.start(base)
    attached = attach(base.model, adapter)
    events: list[dict] = []
    with pytest.raises(ConfigError, match=r"1e\+30") as caught:
        config = tiny.settings(learning_rate=1e30, warmup_steps=0, clip=None)
        train(base.model, base.tokenizer, EXAMPLES, config, hooks=Hooks(events.append))
    assert caught.value.key == "diverged"
    assert caught.value.values["step"] == events[-1]["step"] == len(events)
    assert not math.isfinite(events[-1]["loss"])
    attached.detach()
    assert not base.model.training
    attach(base.model, adapter)
    assert all(map(math.isfinite, train(base.model, base.tokenizer, EXAMPLES, tiny.settings(steps=3)).losses))


def stopping_at(step: int) -> Hooks:
    seen: list[dict] = []
    return Hooks(seen.append, lambda: len(seen) >= step)


@pytest.mark.parametrize("settings", [{}, OFFICIAL], ids=["", "official"])
@pytest.mark.parametrize("step", [0, 1, 7])
def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path, step, settings):
    checkpoint = tmp_path / "train.pt"
    with pytest.raises(Stopped):
        Trained(hooks=stopping_at(step), checkpoint=checkpoint, **settings)
    assert checkpoint.exists()
    resumed = Trained(checkpoint=checkpoint, **settings)
    assert [event["step"] for event in resumed.events] == list(range(step + 1, 11))
    assert not checkpoint.exists()
    whole = Trained(**settings)
    assert resumed.report.losses == whole.report.losses
    assert resumed.report.tokens == whole.report.tokens
    assert tiny.same_bits(resumed.adapter, whole.adapter)


def test_dropout_is_the_same_after_a_stop_and_leaves_the_caller_s_random_numbers_alone(tmp_path):
    def trained(dropout: float = 0.2, **options) -> Trained:
        return Trained(tiny.base(tiny.gpt2(dropout=dropout)), **options)

    with pytest.raises(Stopped):
        trained(hooks=stopping_at(4), checkpoint=tmp_path / "c.pt")
    torch.rand(3)
    resumed = trained(checkpoint=tmp_path / "c.pt")
    whole = trained()
    assert tiny.same_bits(resumed.adapter, whole.adapter)
    assert not tiny.same_bits(whole.adapter, trained(seed=1).adapter)
    assert trained(dropout=0.0).report.losses[0] != whole.report.losses[0]
    base = tiny.base(tiny.gpt2(dropout=0.2))
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    attach(base.model, tiny.start(base))
    train(base.model, base.tokenizer, EXAMPLES, tiny.settings(steps=2))
    assert torch.equal(torch.rand(4), expected)


def test_a_stop_without_a_checkpoint_file_writes_nothing(tmp_path):
    with pytest.raises(Stopped):
        Trained(hooks=stopping_at(2))
    assert not list(tmp_path.iterdir())


# --- checkpoints


def checkpoint_of_a_stop(path: Path) -> Path:
    with pytest.raises(Stopped):
        Trained(hooks=stopping_at(3), checkpoint=path)
    return path


def test_a_checkpoint_is_of_the_size_of_what_is_trained(tmp_path):
    """Kept values and two moments, not the base; the rest is the file format."""
    size = checkpoint_of_a_stop(tmp_path / "c.pt").stat().st_size
    base = tiny.base()
    kept = sum(int(mask.sum()) for mask in tiny.halves(base).values())
    assert 12 * kept < size < 12 * kept + 40_000


@pytest.mark.parametrize("content", [b"", b"no archive", {"config": 1}, {"parameters": []}, ["a list"], None])
def test_a_checkpoint_that_is_none_is_refused_also_where_its_checksum_is_made_for_it(tmp_path, content):
    if not isinstance(content, bytes):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        content = buffer.getvalue()
    (tmp_path / "c.pt").write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.raises(RunError) as caught:
        Trained(checkpoint=tmp_path / "c.pt")
    assert caught.value.key == "checkpoint_damaged"


@pytest.mark.parametrize("damage", ["cut", "emptied", "overwritten", "one bit"])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, damage):
    path = checkpoint_of_a_stop(tmp_path / "c.pt")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    path.write_bytes({"cut": whole[:-200], "emptied": b"", "overwritten": b"hello", "one bit": bytes(flipped)}[damage])
    with pytest.raises(RunError, match="cannot be read") as caught:
        Trained(checkpoint=path)
    assert caught.value.key == "checkpoint_damaged"


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"steps": 11}, {"learning_rate": 1e-3}, {"config": AdapterConfig(rank=8)}]
)
def test_a_checkpoint_of_other_settings_is_refused_and_stays(tmp_path, other):
    path = checkpoint_of_a_stop(tmp_path / "c.pt")
    content = path.read_bytes()
    with pytest.raises(RunError, match="other settings") as caught:
        Trained(checkpoint=path, **other)
    assert caught.value.key == "checkpoint_of_other"
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "others", [[*EXAMPLES, Example("n:", " o")], [*EXAMPLES[:3], Example("say l and m:", " m l")], EXAMPLES[::-1]]
)
def test_a_checkpoint_of_other_examples_is_refused_and_stays(tmp_path, others):
    path = checkpoint_of_a_stop(tmp_path / "c.pt")
    content = path.read_bytes()
    with pytest.raises(RunError, match="other examples") as caught:
        Trained(checkpoint=path, examples=others)
    assert caught.value.key == "checkpoint_of_other_data"
    assert path.read_bytes() == content


def test_the_same_tokens_cut_elsewhere_into_prompt_and_response_are_other_examples(tmp_path):
    path = checkpoint_of_a_stop(tmp_path / "c.pt")
    with pytest.raises(RunError, match="other examples"):
        Trained(checkpoint=path, examples=[Example("ab", ": c"), *EXAMPLES[1:]])


def test_a_checkpoint_from_before_examples_were_told_apart_is_taken_on_trust(tmp_path):
    path = checkpoint_of_a_stop(tmp_path / "c.pt")
    state = torch.load(io.BytesIO(path.read_bytes()[32:]), weights_only=True)
    del state["data"]
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
    assert tiny.same_bits(Trained(checkpoint=path).adapter, Trained().adapter)


def with_settings(path: Path, change: Callable[[dict], object]) -> Path:
    """The checkpoint as another version would have written it: its settings changed, its checksum right."""
    state = torch.load(io.BytesIO(path.read_bytes()[32:]), weights_only=True)
    settings = json.loads(state["config"])
    change(settings)
    buffer = io.BytesIO()
    torch.save(state | {"config": json.dumps(settings)}, buffer)
    path.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
    return path


def test_a_checkpoint_from_before_a_setting_existed_goes_on_at_what_is_its_default(tmp_path):
    def without(settings: dict) -> None:
        del settings["loss_per"], settings["clip_per"]

    path = with_settings(checkpoint_of_a_stop(tmp_path / "c.pt"), without)
    for field, value in OFFICIAL.items():
        with pytest.raises(RunError, match="other settings"):
            Trained(checkpoint=path, **{field: value})
    assert tiny.same_bits(Trained(checkpoint=path).adapter, Trained().adapter)


def test_a_checkpoint_with_a_setting_of_a_later_version_is_refused_as_one_of_other_settings(tmp_path):
    path = with_settings(checkpoint_of_a_stop(tmp_path / "c.pt"), lambda settings: settings.update(momentum=0.5))
    with pytest.raises(RunError, match="other settings"):
        Trained(checkpoint=path)


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import tiny
import torch
from lori_core.training.learn import learn
from lori_core.training.train import Hooks

folder, training = Path(sys.argv[1]), tiny.by_method(steps=15, checkpoint_every=2)

def work(name, pipe=None):
    hooks = Hooks(lambda event: os.write(pipe, b"." * (event["kind"] == "step"))) if pipe else None
    learned = learn(tiny.base(), tiny.task(), "lori_s", tiny.CONFIG, training, hooks=hooks, checkpoints=folder / name)
    values = {module: (f.A, f.values, f.mask) for module, f in learned.adapter.factors.items()}
    torch.save((values, learned.training.losses, learned.calibration.looks), folder / f"{name}.result")

def in_child(name, pipe=None):
    if pid := os.fork():
        return pid
    try:
        work(name, pipe)
        os._exit(0)
    finally:
        os._exit(1)

chance = random.Random(0)
assert os.waitpid(in_child("whole"), 0)[1] == 0
for number in range(20):
    name, at = str(number), chance.randrange(1, 30)
    reader, writer = os.pipe()
    child = in_child(name, writer)
    os.close(writer)
    steps = 0
    while steps < at:
        steps += len(os.read(reader, 1))
    time.sleep(chance.random() * 0.006)
    os.kill(child, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "it ended before it was killed"
    os.close(reader)
    checkpoints = sorted(path.name for path in (folder / name).glob("*.pt"))
    assert os.waitpid(in_child(name), 0)[1] == 0
    print(at, *checkpoints, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, so that torch is imported once")
def test_a_training_killed_with_9_at_any_moment_twenty_times_ends_in_the_same_bits(tmp_path):
    """Calibration and training; the kill falls between two steps, into a step or into the writing of a checkpoint."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(tiny.__file__).parent)}
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    kills = [line.split() for line in done.stdout.splitlines()]
    assert len(kills) == 20
    assert {name for kill in kills for name in kill[1:]} == {"calibrate.pt", "train.pt"}
    whole = result(tmp_path / "whole.result")
    for number in range(20):
        assert result(tmp_path / f"{number}.result") == whole, kills[number]


def result(path: Path) -> tuple[list, tuple, list]:
    """Bytes of all factors, the losses, the looks of calibration."""
    factors, losses, looks = torch.load(path, weights_only=False)  # our own file, with dataclasses in it
    return [(m, [t.numpy().tobytes() for t in tensors]) for m, tensors in factors.items()], losses, list(looks)
