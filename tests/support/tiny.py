"""What tests of the core train: two-layer models with random weights, a byte tokenizer, toy tasks. All in memory."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers import PreTrainedTokenizerFast as FastTokenizer

from lori_core.bases.load import Base, fingerprint, load_base, target_modules
from lori_core.config import AdapterConfig, Method, TrainConfig
from lori_core.method.adapter import Adapter, Factors, blank
from lori_core.tasks.task import Example, Task

END = 256  # the id of the end token; 0 to 255 are bytes
CONFIG = AdapterConfig(rank=4, sparsity=0.75)


def llama(seed: int = 0, spread: float = 0.02) -> PreTrainedModel:
    """spread: standard deviation of its weights; where it is large, no two tokens are nearly as likely."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    ids: dict[str, Any] = {"vocab_size": 257, "bos_token_id": None, "eos_token_id": END, "pad_token_id": END}
    model = LlamaForCausalLM(LlamaConfig(**sizes, **ids, num_key_value_heads=2, initializer_range=spread))
    return model.eval().requires_grad_(False)


def gpt2(seed: int = 0, dropout: float = 0.0) -> PreTrainedModel:
    torch.manual_seed(seed)
    drop: dict[str, Any] = {"resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": dropout}
    ids: dict[str, Any] = {"vocab_size": 257, "bos_token_id": END, "eos_token_id": END, "pad_token_id": END}
    model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_inner=48, n_layer=2, n_head=4, n_positions=64, **ids, **drop))
    return model.eval().requires_grad_(False)


def byte_tokenizer() -> FastTokenizer:
    """A token a byte, and an end token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_ = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[reportAttributeAccessIssue]
    bytes_.decoder = decoders.ByteLevel()  # type: ignore[reportAttributeAccessIssue]
    return FastTokenizer(tokenizer_object=bytes_, eos_token="<end>", pad_token="<end>")


def base(model: PreTrainedModel | None = None) -> Base:
    model = model or llama()
    return Base(model, byte_tokenizer(), "tiny", None, fingerprint(model))


def saved_base(folder: Path) -> Base:
    """One that lies on the disk, for what asks for a base by name; an adapter that is strong() changes its answers."""
    llama(spread=1.0).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return load_base(str(folder), device="cpu")


def task(name: str = "after") -> Task:
    """ "after": the next letter of the alphabet; "before": the one before it."""
    step = 1 if name == "after" else -1
    letters = "bcdefghijklmnopqrstuvwxy"
    examples = [Example(f"{name} {letter}:", f" {chr(ord(letter) + step)}") for letter in letters]
    splits = {"train": examples[:16], "validation": examples[16:20], "test": examples[20:]}
    return Task(name, splits.__getitem__, "exact", max_new_tokens=4)


def settings(**changes) -> TrainConfig:
    defaults: dict[str, Any] = {
        "learning_rate": 1e-2,
        "steps": 10,
        "batch_size": 4,
        "max_length": 32,
        "warmup_steps": 2,
    }
    return TrainConfig(**(defaults | changes))


def by_method(**changes) -> dict[Method, TrainConfig]:
    return dict.fromkeys(("lora", "lori_d", "lori_s", "full"), settings(**changes))


def start(base: Base, config: AdapterConfig = CONFIG, name: str = "after", masks: dict[str, Tensor] | None = None):
    """A blank adapter for all modules of the base."""
    return blank(name, target_modules(base.model), config, masks)


def filled(adapter: Adapter, seed: int = 0, dtype: torch.dtype = torch.float32) -> Adapter:
    """The adapter with random values of B, so that it changes something."""
    generator = torch.Generator().manual_seed(seed)
    factors = {
        module: Factors(
            f.A.to(dtype),
            0.1 * torch.randn(f.values.shape, generator=generator, dtype=torch.float32).to(dtype),
            f.mask,
            f.scaling,
        )
        for module, f in adapter.factors.items()
    }
    return replace(adapter, factors=factors)


def strong(base: Base, seed: int, task: str = "after") -> Adapter:
    """An adapter with a mask that changes what the base writes; its record says of which base and task it is."""
    made = filled(start(base, name=task, masks=halves(base, seed=seed)), seed)
    factors = {module: replace(f, values=40 * f.values) for module, f in made.factors.items()}
    return replace(made, factors=factors, record={"task": task, "base": base.record})


def halves(base: Base, config: AdapterConfig = CONFIG, seed: int = 0) -> dict[str, Tensor]:
    """Random masks, each True at about half of its entries."""
    generator = torch.Generator().manual_seed(seed)
    return {
        module: torch.rand(out_features, config.rank, generator=generator) < 0.5
        for module, (out_features, _) in target_modules(base.model).items()
    }


def same_bits(left: Adapter, right: Adapter) -> bool:
    """Whether A, values and masks of all modules are equal to the bit."""
    return left.factors.keys() == right.factors.keys() and all(
        torch.equal(f.A, g.A) and torch.equal(f.mask, g.mask) and torch.equal(f.values, g.values)
        for f, g in zip(left.factors.values(), right.factors.values(), strict=True)
    )


def weights(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_tensors(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def logits(model: PreTrainedModel, rows: Sequence[Sequence[int]] = ((5, 9, 200, 7), (1, 2, 3, 4))) -> Tensor:
    with torch.no_grad():
        return model(torch.tensor(rows)).logits
