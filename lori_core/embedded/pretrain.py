"""Pre-training: a small Llama on the corpus, resumable, every batch a function of (seed, step).

First some thousand small steps on random tokens that repeat, until the model has found out how to copy (induction,
which comes suddenly; benchmarks/embedded.md); then the corpus. Matrices by Muon
(https://kellerjordan.github.io/posts/muon/), embedding and norms by AdamW; constant learning rates, then linear decay.
Most sequences are short, a quarter of the tokens stands in sequences of all 512 positions.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lori_core.bases.load import computes_in_bf16
from lori_core.embedded.corpus import WANTED, Document, document
from lori_core.embedded.muon import Muon
from lori_core.embedded.skills import measure
from lori_core.embedded.tokenizer import END, PAD, POSITIONS, START

SPECIAL_AND_BYTES = 300  # the first tokens of the vocabulary, special ones and bytes
COPIED = 64  # tokens of a sequence that repeats
SHORT = 128  # tokens of a short sequence
LARGEST_GRADIENT = 1.0  # norm to which gradients are clipped
PROMPT_WEIGHT = 0.1  # in the loss: most of a prompt is drawn at random, so there is little in it to learn


@dataclass(frozen=True)
class Recipe:
    """All that decides the base. Changing a field makes another base."""

    vocabulary: int = 2048
    hidden_size: int = 256
    intermediate_size: int = 512
    layers: int = 4
    heads: int = 4
    copy_steps: int = 3500
    copy_tokens: int = 1024  # in a step; copying comes with many steps rather than many tokens
    steps: int = 8000  # on the corpus, after those
    tokens_a_step: int = 8192
    decay_from: float = 0.15  # share of the steps after which the learning rates fall linearly to zero
    matrix_rate: float = 0.02  # Muon
    matrix_decay: float = 0.1  # Muon's weight decay: with it copying comes in half the steps
    other_rate: float = 3e-3  # AdamW
    wanted: float = WANTED  # share of the tasks' own answers behind cues: 0 leaves all to be taught by adapters
    seed: int = 0

    @property
    def all_steps(self) -> int:
        return self.copy_steps + self.steps

    def tokens(self, steps: int) -> int:
        """How many tokens the first `steps` steps read."""
        copied = min(steps, self.copy_steps)
        return copied * self.copy_tokens + (steps - copied) * self.tokens_a_step

    def scale(self, step: int) -> float:
        """The factor on both learning rates: short warm-up, half while copying, then one, linear decay."""
        if step < self.copy_steps:
            return 0.5 * min(1.0, (step + 1) / 100)
        left = (self.all_steps - step) / (self.steps * (1 - self.decay_from))
        return min(1.0, (step + 1) / 50, left)


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(recipe.seed)
    vocabulary = tokenizer.get_vocab()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        pad_token_id=vocabulary[PAD],
        bos_token_id=vocabulary[START],
        eos_token_id=vocabulary[END],
    )
    return LlamaForCausalLM(config)


def optimizers(model: nn.Module, recipe: Recipe, dtype: torch.dtype) -> list[torch.optim.Optimizer]:
    """Of the matrices, in `dtype`, and of the rest."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        Muon(matrices, recipe.matrix_rate, recipe.matrix_decay, dtype),
        torch.optim.AdamW(others, lr=recipe.other_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def tokens_of(tokenizer: PreTrainedTokenizerFast, documents: list[Document]) -> Iterator[tuple[int, float]]:
    """(token id, weight in the loss) of documents one after another: <s> document </s> <s> document ..."""
    pieces = [text for written in documents for text, _ in written]
    encoded = iter(tokenizer(pieces, add_special_tokens=False)["input_ids"])
    for written in documents:
        yield int(tokenizer.bos_token_id), 0.0  # pyright: ignore[reportArgumentType]
        for _, is_answer in written:
            yield from ((token, 1.0 if is_answer else PROMPT_WEIGHT) for token in next(encoded))
        yield int(tokenizer.eos_token_id), 1.0  # pyright: ignore[reportArgumentType]


Batch = tuple[Tensor, Tensor]  # token ids and their weights in the loss, both (sequences, length)


class Batches(Dataset[Batch]):
    """Step -> its batch, the same whoever asks and in whatever order."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> None:
        self.tokenizer, self.recipe = tokenizer, recipe

    def __getitem__(self, step: int) -> Batch:
        random = Random(f"corpus {self.recipe.seed} {step}")
        if step < self.recipe.copy_steps:
            return repeating(self.tokenizer, self.recipe, random)
        return corpus(self.tokenizer, self.recipe, random, POSITIONS if step % 4 == 3 else SHORT)


def repeating(tokenizer: PreTrainedTokenizerFast, recipe: Recipe, random: Random) -> Batch:
    """Random tokens, 4 to COPIED / 2 of them, again and again; what can be known from before weighs 1, the rest 0."""
    rows, weights = [], []
    for _ in range(recipe.copy_tokens // COPIED):
        period = random.randint(4, COPIED // 2)
        said = [random.randrange(SPECIAL_AND_BYTES, len(tokenizer)) for _ in range(period)]
        rows.append((said * (COPIED // period + 1))[:COPIED])
        weights.append([0.0] * period + [1.0] * (COPIED - period))
    return torch.tensor(rows), torch.tensor(weights)


def corpus(tokenizer: PreTrainedTokenizerFast, recipe: Recipe, random: Random, length: int) -> Batch:
    """Documents one after another. Each sequence begins with a document; the last one is cut."""
    rows: list[list[tuple[int, float]]] = []
    row: list[tuple[int, float]] = []
    while len(rows) < recipe.tokens_a_step // length:
        row += tokens_of(tokenizer, [document(random, recipe.wanted) for _ in range(4)])
        if len(row) >= length:
            rows.append(row[:length])
            row = []
    ids, weights = zip(*(zip(*row, strict=True) for row in rows), strict=True)
    return torch.tensor(ids), torch.tensor(weights)


def pretrain(
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    device: str = "cpu",
    workers: int = 1,
    minutes_a_look: float = 3.0,
) -> LlamaForCausalLM:
    """Trains to the end, going on from folder/checkpoint.pt where there is one; each look is a line of log.jsonl.

    Args:
        workers: processes that write the corpus; one is enough for a CPU, a GPU wants several.
    """
    model = new_model(recipe, tokenizer).to(device)  # pyright: ignore[reportArgumentType]
    if device == "cpu":  # compiled, faster than the fused kernel, whose backward pass is slow there
        model.set_attn_implementation("eager")
    in_bf16 = computes_in_bf16(device)
    optimizing = optimizers(model, recipe, torch.bfloat16 if in_bf16 else torch.float32)
    done, seconds = _resume(folder / "checkpoint.pt", model, optimizing)

    @torch.compile(dynamic=False)
    def loss_of(ids: Tensor, weights: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=in_bf16):
            logits = model(input_ids=ids, use_cache=False).logits
        losses = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
        return (losses * weights[:, 1:].flatten()).sum() / weights[:, 1:].sum()

    losses: list[Tensor] = []  # read at a look: reading one waits for the device
    started = looked = time.monotonic()
    batches = DataLoader(
        Batches(tokenizer, recipe),
        batch_size=None,
        sampler=range(done, recipe.all_steps),
        num_workers=workers,
        prefetch_factor=8,
        pin_memory=device == "cuda",
    )
    for step, (ids, weights) in enumerate(batches, done):
        loss = loss_of(ids.to(device, non_blocking=True), weights.to(device, non_blocking=True))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
        for gradient in (parameter.grad for parameter in model.parameters()):
            assert gradient is not None
            torch.nan_to_num_(gradient, 0.0, 0.0, 0.0)  # moves nothing then; to look whether would wait for a GPU
        for optimizer, rate in zip(optimizing, (recipe.matrix_rate, recipe.other_rate), strict=True):
            optimizer.param_groups[0]["lr"] = rate * recipe.scale(step)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.detach())
        if (step + 1) % 500 == 0:
            print(f"step {step + 1} of {recipe.all_steps}, loss {mean_loss(losses[-50:]):.3f}", flush=True)
        if time.monotonic() - looked > 60 * minutes_a_look or step + 1 == recipe.all_steps:
            spent = seconds + time.monotonic() - started
            _look(folder, recipe, model, tokenizer, step + 1, mean_loss(losses), spent)
            torch.save(_state(model, optimizing, step + 1, spent), folder / "checkpoint.pt")
            losses, looked = [], time.monotonic()
    return model


def mean_loss(losses: list[Tensor]) -> float:
    return torch.stack(losses).mean().item()


def _look(folder: Path, recipe: Recipe, model, tokenizer, step: int, loss: float, seconds: float) -> None:
    """One line of the log: how far, at what loss, what it can do."""
    line = {
        "step": step,
        "tokens": recipe.tokens(step),
        "loss": round(loss, 4),
        "seconds": round(seconds),
        "recipe": asdict(recipe),
        "skills": {skill: round(share, 3) for skill, share in measure(model, tokenizer).items()},
    }
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
    print(json.dumps({key: line[key] for key in ("step", "loss", "seconds", "skills")}), flush=True)


def _state(model: nn.Module, optimizing: list[torch.optim.Optimizer], step: int, seconds: float) -> dict[str, object]:
    states = [optimizer.state_dict() for optimizer in optimizing]
    return {"model": model.state_dict(), "optimizers": states, "step": step, "seconds": seconds}


def _resume(path: Path, model: nn.Module, optimizing: list[torch.optim.Optimizer]) -> tuple[int, float]:
    """Loads model and optimizers where there is a checkpoint; returns (steps done, seconds spent)."""
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizing, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return state["step"], state["seconds"]
