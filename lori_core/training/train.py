"""Training loop over accelerate: calibration, LoRI, LoRA, full fine-tuning and continual learning all call it.

The loss is the cross-entropy over the responses' tokens of the whole batch (prompt and padding count nothing), a token
or an example as TrainConfig.loss_per has it, whatever the micro-batches and devices it is split over. What is reported
is always nats a token. AdamW without weight decay, as in the official recipe (recipes.py).

Of several processes each computes the gradient of its share of the batch, and the sum is every one's. So what is
trained is the same in all, also where the frozen base is shared out over them (bases/sharded.py).
"""

import hashlib
import inspect
import io
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lori_core.bases.sharded import is_sharded
from lori_core.config import TrainConfig, parse
from lori_core.errors import ConfigError, DataError, RunError, Stopped
from lori_core.files import read_file, write_atomic
from lori_core.results import Training
from lori_core.tasks.encode import Encoded, encode_all
from lori_core.tasks.task import Example
from lori_core.training.hooks import Hooks, Watcher


@dataclass
class Progress:
    """How far a training is; all of it is in a checkpoint."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


@dataclass
class _Session:
    """What the loop works on.

    Attributes:
        trained: the parameters that require a gradient, by name.
        can_skip_logits: whether the model can leave out those of early positions, as all known architectures can.
        data: fingerprint of what is learned; empty where no checkpoint is kept.
    """

    model: PreTrainedModel
    accelerator: Accelerator
    optimizer: torch.optim.Optimizer
    trained: dict[str, nn.Parameter]
    config: TrainConfig
    watcher: Watcher | None
    pad: int
    autocast: bool
    can_skip_logits: bool
    data: str = ""
    progress: Progress = field(default_factory=Progress)


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    config: TrainConfig,
    *,
    hooks: Hooks | None = None,
    watcher: Watcher | None = None,
    checkpoint: Path | None = None,
    autocast: bool = False,
) -> Training:
    """Train, in place, the parameters that require a gradient. A bf16 base computes in bf16; what is trained is fp32.

    Args:
        checkpoint: a file; it is written every config.checkpoint_every steps, gone on from where it exists, and removed
            at the end. A training that goes on ends in the same bits as one that was never stopped.
        autocast: compute a fp32 model in bf16 (full fine-tuning, where the base itself has to be fp32).
    Raises:
        DataError: every example is longer than max_length.
        ConfigError: the loss is not finite: the learning rate is too high.
        RunError: the checkpoint is damaged, or of other settings or other examples.
        Stopped: hooks.should_stop said so; the checkpoint is written.
    """
    encoded = encode_all(tokenizer, examples, config.max_length)
    fitting = [each for each in encoded if each is not None][: config.examples]
    if not fitting:
        raise DataError("all_too_long", examples=len(examples), max_length=config.max_length)
    hooks, too_long = hooks or Hooks(), encoded.count(None)
    if too_long:
        hooks.on_event({"kind": "left_out", "rows": {"too_long": too_long}, "of": len(examples)})
    session = _prepare(model, tokenizer, config, watcher, autocast)
    session.data = _fingerprint(fitting) if checkpoint else ""
    was_training = model.training
    model.train()
    if config.gradient_checkpointing:
        recompute_activations(model, "enable")
    try:
        with torch.random.fork_rng():  # dropout is seeded without touching the caller's random numbers
            _loop(session, fitting, hooks, checkpoint)
    finally:
        if config.gradient_checkpointing:
            recompute_activations(model, "disable")
        model.train(was_training)
    if checkpoint and session.accelerator.is_main_process:
        checkpoint.unlink(missing_ok=True)
    progress = session.progress
    return Training(
        steps=progress.step,
        losses=tuple(progress.losses),
        tokens=progress.tokens,
        seconds=progress.seconds,
        trained_parameters=sum(parameter.numel() for parameter in session.trained.values()),
        optimizer_bytes=_state_bytes(session.optimizer),
        examples=len(fitting),
        dropped=too_long,
    )


def schedule(step: int, config: TrainConfig) -> float:
    """The factor on the learning rate, step counted from 0: linear warm-up, then constant, or linear or cosine to 0."""
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "constant":
        return 1.0
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return 1 - done if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def recompute_activations(model: Any, action: str) -> None:
    """Gradient checkpointing on ("enable") or off ("disable"); transformers 5.23 has renamed it."""
    renamed = getattr(model, f"activation_checkpointing_{action}", None)
    (renamed or getattr(model, f"gradient_checkpointing_{action}"))()
    # enable also makes the embeddings require a gradient, for reentrant checkpointing only, and disable leaves it so
    model.disable_input_require_grads()


def memory_bytes() -> int:
    """The most GPU memory taken so far, or where there is no GPU the memory of this process now."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss


def _prepare(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: TrainConfig,
    watcher: Watcher | None,
    autocast: bool,
) -> _Session:
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    accelerator = Accelerator(cpu=model.device.type == "cpu")  # else it takes a GPU that is there
    if is_sharded(model) and config.batch_size % accelerator.num_processes:  # each pass gathers the base from all
        raise ConfigError("unequal_shares", batch_size=config.batch_size, processes=accelerator.num_processes)
    # fused: one kernel a parameter; LoRI-S has many small ones.
    optimizer = torch.optim.AdamW(trained.values(), lr=config.learning_rate, weight_decay=0.0, fused=True)
    pad = tokenizer.pad_token_id or tokenizer.eos_token_id or 0  # any id will do: padding is masked everywhere
    can_skip_logits = "logits_to_keep" in inspect.signature(model.forward).parameters
    return _Session(model, accelerator, optimizer, trained, config, watcher, int(pad), autocast, can_skip_logits)  # pyright: ignore[reportArgumentType]


def _loop(session: _Session, encoded: Sequence[Encoded], hooks: Hooks, checkpoint: Path | None) -> None:
    config = session.config
    if checkpoint and checkpoint.exists():
        _restore(session, checkpoint)
    progress = session.progress
    before, start = (progress.step, progress.tokens, progress.seconds), time.perf_counter()
    while progress.step < config.steps:
        if hooks.should_stop():
            session.accelerator.set_trigger()
        if session.accelerator.check_trigger():  # in any process
            _save(session, checkpoint)
            raise Stopped("stopped")
        learning_rate = config.learning_rate * schedule(progress.step, config)
        for group in session.optimizer.param_groups:
            group["lr"] = learning_rate
        _seed_dropout(config.seed, progress.step)
        batch = _batch(encoded, progress.step, config)
        loss = _step(session, batch)
        elapsed = time.perf_counter() - start
        progress.step += 1
        progress.losses.append(loss)
        progress.tokens += sum(len(each.input_ids) for each in batch)
        progress.seconds = before[2] + elapsed
        hooks.on_event(
            {
                "kind": "step",
                "step": progress.step,
                "steps": config.steps,
                "loss": loss,
                "learning_rate": learning_rate,
                "tokens_per_second": (progress.tokens - before[1]) / elapsed,
                "memory_bytes": memory_bytes(),
                "seconds_left": elapsed / (progress.step - before[0]) * (config.steps - progress.step),
            }
        )
        if not math.isfinite(loss):
            raise ConfigError("diverged", step=progress.step, learning_rate=config.learning_rate)
        if session.watcher and session.watcher.after_step(progress.step):
            break
        if progress.step % config.checkpoint_every == 0:
            _save(session, checkpoint)


def _seed_dropout(seed: int, step: int) -> None:
    """Each step has random numbers of its own, on every device, so that a checkpoint need not hold their state."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]))


def _batch(encoded: Sequence[Encoded], step: int, config: TrainConfig) -> list[Encoded]:
    """The examples of one step: passes over the data follow each other, each in an order of its own."""
    positions = range(step * config.batch_size, (step + 1) * config.batch_size)
    orders = {
        epoch: np.random.default_rng([config.seed, epoch]).permutation(len(encoded))
        for epoch in {position // len(encoded) for position in positions}
    }
    return [encoded[orders[position // len(encoded)][position % len(encoded)]] for position in positions]


def _step(session: _Session, batch: Sequence[Encoded]) -> float:
    """One optimizer step; returns the mean loss a response token of the whole batch."""
    accelerator, config = session.accelerator, session.config
    response_tokens = sum(len(each.input_ids) - _first_predicted(each) for each in batch)
    parts = response_tokens if config.loss_per == "token" else len(batch)
    mine = list(batch[accelerator.process_index :: accelerator.num_processes])
    total = torch.zeros((), device=session.model.device)
    for micro_batch in _micro_batches(mine, config.micro_batch_size or config.batch_size):
        loss = _summed_loss(session, micro_batch) / parts
        loss.backward()
        total += loss.detach()
    _add_up(session)
    if session.watcher:
        session.watcher.before_step()
    _clip(session)
    session.optimizer.step()
    session.optimizer.zero_grad()
    return float(accelerator.reduce(total, "sum")) * (parts / response_tokens)  # pyright: ignore[reportArgumentType]


def _add_up(session: _Session) -> None:
    """Gradients of the whole batch, in place, of those of each process's share.

    DDP would send the frozen base to every process first, and wait for a gradient that a process may not have.
    """
    if session.accelerator.num_processes > 1:
        for parameter in session.trained.values():
            if parameter.grad is None:  # no example of its own
                parameter.grad = torch.zeros_like(parameter)
            torch.distributed.all_reduce(parameter.grad)


def _clip(session: _Session) -> None:
    """Gradients of the whole batch, in place, to the largest norm.

    The official code sets a gradient to zero outside the mask and clips after that, so its norm of a matrix is that of
    the kept entries: of the one parameter that a module has here.
    """
    if session.config.clip is None:
        return
    trained = list(session.trained.values())
    for group in [trained] if session.config.clip_per == "model" else [[parameter] for parameter in trained]:
        session.accelerator.clip_grad_norm_(group, session.config.clip)


def _micro_batches(batch: list[Encoded], size: int) -> Iterator[list[Encoded]]:
    """Of similar lengths, so that little is padded."""
    batch = sorted(batch, key=lambda each: len(each.input_ids))
    for start in range(0, len(batch), size):
        yield batch[start : start + size]


def _summed_loss(session: _Session, batch: Sequence[Encoded]) -> Tensor:
    """Cross-entropy summed over the response tokens and the end token, ()."""
    device = session.model.device
    width = max(len(each.input_ids) for each in batch)
    ids = torch.full((len(batch), width), session.pad)
    attention = torch.zeros_like(ids)
    counts = torch.zeros(ids.shape, dtype=torch.bool)  # (batch, sequence), True where a token is to be predicted
    for row, each in enumerate(batch):
        length = len(each.input_ids)
        ids[row, :length] = torch.tensor(each.input_ids)
        attention[row, :length] = 1
        counts[row, _first_predicted(each) : length] = True
    # No prompt's logits before the first that predicts: over a large vocabulary they are most of a step's memory.
    first = min(map(_first_predicted, batch)) if session.can_skip_logits else 1
    needed = {"logits_to_keep": width - first + 1} if session.can_skip_logits else {}
    with torch.autocast(device.type, torch.bfloat16, enabled=session.autocast):
        output = session.model(input_ids=ids.to(device), attention_mask=attention.to(device), use_cache=False, **needed)
    predicted = output.logits[:, :-1][counts[:, first:].to(device)].float()  # (response tokens, vocabulary)
    return F.cross_entropy(predicted, ids[counts].to(device), reduction="sum")


def _first_predicted(each: Encoded) -> int:
    """Nothing comes before the first token that could predict it, also where the prompt is empty."""
    return max(1, each.prompt_length)


def _save(session: _Session, checkpoint: Path | None) -> None:
    if checkpoint is None or not session.accelerator.is_main_process:
        return
    buffer = io.BytesIO()
    torch.save(
        {
            "config": session.config.model_dump_json(),
            "data": session.data,
            "parameters": {name: parameter.detach() for name, parameter in session.trained.items()},
            "optimizer": session.optimizer.state_dict(),
            "watcher": session.watcher.state() if session.watcher else {},
            "progress": vars(session.progress),
        },
        buffer,
    )
    content = buffer.getvalue()
    write_atomic(checkpoint, hashlib.sha256(content).digest() + content)  # torch.load would not see a flipped bit


def _restore(session: _Session, checkpoint: Path) -> None:
    try:
        file = read_file(checkpoint)
        digest, content = file[:32], file[32:]
        if hashlib.sha256(content).digest() != digest:
            raise RunError("checkpoint_damaged", path=checkpoint)
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        shapes = {name: parameter.shape for name, parameter in state["parameters"].items()}
        same_shapes = shapes == {name: parameter.shape for name, parameter in session.trained.items()}
        if not _is_of(session.config, state["config"]) or not same_shapes:
            raise RunError("checkpoint_of_other", path=checkpoint)
        if state.get("data", session.data) != session.data:  # one from before it was kept is taken on trust
            raise RunError("checkpoint_of_other_data", path=checkpoint)
        with torch.no_grad():
            for name, parameter in session.trained.items():
                parameter.copy_(state["parameters"][name])
        own = session.optimizer.state_dict()["param_groups"]  # which follow from the config
        session.optimizer.load_state_dict({"state": state["optimizer"]["state"], "param_groups": own})
        if session.watcher:
            session.watcher.restore(state["watcher"])
        session.progress = Progress(**state["progress"])
    except RunError:
        raise
    except Exception:  # bytes that are no checkpoint fail in as many ways as torch has readers
        raise RunError("checkpoint_damaged", path=checkpoint) from None


def _fingerprint(encoded: Sequence[Encoded]) -> str:
    """sha256 over all tokens in their order: steps before and after a stop are to learn from the same ones."""
    digest = hashlib.sha256()
    for each in encoded:
        numbers = [each.prompt_length, len(each.input_ids), *each.input_ids]
        digest.update(np.array(numbers, dtype="<i8").tobytes())
    return digest.hexdigest()


def _is_of(config: TrainConfig, saved: str) -> bool:
    """Whether the settings in a checkpoint are these; one from before a field existed has what is its default."""
    try:
        return parse(TrainConfig, saved) == config
    except ConfigError:  # a field of a later version
        return False


def _state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of AdamW's moments, of one process."""
    tensors = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor.dim())
