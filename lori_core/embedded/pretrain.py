"""Pre-training: a small Llama on the corpus, resumable, every batch a function of (seed, step).

Matrices by Muon (https://kellerjordan.github.io/posts/muon/), embedding and norms by AdamW; constant learning rates,
then linear decay. Most sequences are short, a quarter of the tokens stands in sequences of all 512 positions.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lori_core.embedded.corpus import WANTED, Document, document
from lori_core.embedded.skills import measure
from lori_core.embedded.tokenizer import END, PAD, POSITIONS, START

COPYING = 300  # first steps, in which most documents are copies
SHORT = 128  # tokens of a short sequence
PROMPT_WEIGHT = 0.1  # in the loss: most of a prompt is drawn at random, so there is little in it to learn


@dataclass(frozen=True)
class Recipe:
    """All that decides the base. Changing a field makes another base."""

    vocabulary: int = 2048
    hidden_size: int = 256
    intermediate_size: int = 512
    layers: int = 4
    heads: int = 4
    steps: int = 6000
    tokens_a_step: int = 4096
    decay_from: float = 0.15  # share of the steps after which the learning rates fall linearly to zero
    matrix_rate: float = 0.02  # Muon
    other_rate: float = 3e-3  # AdamW
    wanted: float = WANTED  # share of the tasks' own answers behind cues: 0 leaves all to be taught by adapters
    seed: int = 0

    def scale(self, step: int) -> float:
        """The factor on both learning rates: short warm-up, constant, linear decay."""
        left = (self.steps - step) / (self.steps * (1 - self.decay_from))
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
    config._attn_implementation = "eager"  # compiled, faster than the fused kernel, whose backward pass is slow on CPUs
    return LlamaForCausalLM(config)


def optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=recipe.matrix_rate, weight_decay=0.0),
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


def batch(tokenizer: PreTrainedTokenizerFast, recipe: Recipe, step: int) -> tuple[Tensor, Tensor]:
    """Token ids and weights, both (sequences, length), of one step; every fourth step has sequences of all positions.

    Each sequence begins with a document; the last one is cut.
    """
    random = Random(f"corpus {recipe.seed} {step}")
    length = POSITIONS if step % 4 == 3 else SHORT
    rows: list[list[tuple[int, float]]] = []
    row: list[tuple[int, float]] = []
    while len(rows) < recipe.tokens_a_step // length:
        row += tokens_of(tokenizer, [document(random, recipe.wanted, step < COPYING) for _ in range(4)])
        if len(row) >= length:
            rows.append(row[:length])
            row = []
    ids, weights = zip(*(zip(*row, strict=True) for row in rows), strict=True)
    return torch.tensor(ids), torch.tensor(weights)


def pretrain(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast, folder: Path, minutes_a_look: float = 3.0
) -> LlamaForCausalLM:
    """Trains to the end, going on from folder/checkpoint.pt where there is one; each look is a line of log.jsonl."""
    model = new_model(recipe, tokenizer)
    optimizing = optimizers(model, recipe)
    done, seconds = _resume(folder / "checkpoint.pt", model, optimizing)

    @torch.compile(dynamic=False)
    def loss_of(ids: Tensor, weights: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=ids, use_cache=False).logits
        losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        return (losses * weights[:, 1:].flatten()).sum() / weights[:, 1:].sum()

    losses: list[float] = []
    started = looked = time.monotonic()
    for step, (ids, weights) in _batches(tokenizer, recipe, done):
        loss = loss_of(ids, weights)
        loss.backward()
        for optimizer, rate in zip(optimizing, (recipe.matrix_rate, recipe.other_rate), strict=True):
            optimizer.param_groups[0]["lr"] = rate * recipe.scale(step)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            print(f"step {step + 1} of {recipe.steps}, loss {sum(losses[-50:]) / len(losses[-50:]):.3f}", flush=True)
        if time.monotonic() - looked > 60 * minutes_a_look or step + 1 == recipe.steps:
            spent = seconds + time.monotonic() - started
            _look(folder, recipe, model, tokenizer, step + 1, losses, spent)
            torch.save(_state(model, optimizing, step + 1, spent), folder / "checkpoint.pt")
            losses, looked = [], time.monotonic()
    return model


def _batches(tokenizer, recipe: Recipe, done: int) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    """(step, batch) from step `done` on; the next batch is made while the model works on this one."""
    with ThreadPoolExecutor(1) as ahead:
        waiting = ahead.submit(batch, tokenizer, recipe, done)
        for step in range(done, recipe.steps):
            ready = waiting.result()
            waiting = ahead.submit(batch, tokenizer, recipe, step + 1)
            yield step, ready


def _look(folder: Path, recipe: Recipe, model, tokenizer, step: int, losses: list[float], seconds: float) -> None:
    """One line of the log: how far, at what loss, what it can do."""
    line = {
        "step": step,
        "tokens": step * recipe.tokens_a_step,
        "loss": round(sum(losses) / len(losses), 4),
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
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizing, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return state["step"], state["seconds"]
