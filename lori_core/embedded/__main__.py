"""python -m lori_core.embedded [--work build/base] [--to assets/base]: make the embedded base again."""

import argparse
import shutil
from pathlib import Path

from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lori_core.assets import ASSETS
from lori_core.embedded.pretrain import Recipe, pretrain
from lori_core.embedded.tokenizer import train_tokenizer


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m lori_core.embedded", description=__doc__)
    arguments.add_argument(
        "--work", type=Path, default=Path("build/base"), help="checkpoint and log; run again to go on"
    )
    arguments.add_argument("--to", type=Path, default=ASSETS / "base", help="where the finished base goes")
    arguments.add_argument("--steps", type=int, default=Recipe.steps)
    arguments.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments.add_argument("--workers", type=int, default=1, help="processes that write the corpus")
    given = arguments.parse_args()
    make(Recipe(steps=given.steps), given.work, given.to, given.device, given.workers)


def make(recipe: Recipe, work: Path, to: Path, device: str = "cpu", workers: int = 1) -> None:
    """Trains a base from the first step, or from where `work` was left, and writes the finished one to `to`."""
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(recipe.vocabulary, recipe.seed)
    model = pretrain(recipe, tokenizer, work, device, workers)
    save(model.cpu(), tokenizer, to)  # pyright: ignore[reportArgumentType]
    shutil.copy(work / "log.jsonl", to / "log.jsonl")


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """A transformers folder with bf16 weights: config.json, model.safetensors, tokenizer and generation settings."""
    model.config._attn_implementation = "sdpa"
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=64,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
