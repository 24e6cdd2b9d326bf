"""A real llama.cpp in this process, and small bases that it opens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import architectures
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lori_core.bases.load import Base, fingerprint


def pair_tokenizer() -> PreTrainedTokenizerFast:
    """A token a byte but one, in whose place " a" is one token: llama.cpp opens no tokenizer without a merge."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [letter for letter in letters if letter != "z"] + ["Ġa", "<end>"]
    model: Any = models.BPE({word: number for number, word in enumerate(words)}, [("Ġ", "a")])
    tokenizer: Any = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")


def lively(architecture: str, **changes: Any) -> Base:
    """Two layers whose norms, biases and heads all differ, so that whatever is left out or put elsewhere is seen."""
    config = architectures.CONFIGS[architecture].__class__(**architectures.CONFIGS[architecture].to_dict() | changes)
    torch.manual_seed(0)
    model: PreTrainedModel = architectures.AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        spread = torch.randn_like(parameter) * (0.3 if parameter.ndim == 1 else 0.2)
        parameter.copy_(spread + ("norm" in name and parameter.ndim == 1))
    return Base(model, pair_tokenizer(), architecture, None, fingerprint(model))


class LlamaCpp:
    """One model of llama.cpp, whose keys, values and sums are fp32."""

    def __init__(self, model: Path, lora: Path | None = None) -> None:
        xllamacpp: Any = pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install xllamacpp)")
        given = xllamacpp.CommonParams()
        given.model.path, given.n_ctx, given.port = str(model), 256, 0
        given.warmup, given.verbosity, given.cpuparams.n_threads = False, -1, 1
        given.cache_type_k = given.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        given.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        if lora is not None:
            given.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(lora), 1.0)]
        self._server = xllamacpp.Server(given)
        self.address: str = self._server.listening_address

    def log_probs(self, prompt: Sequence[int] | str, vocabulary: int) -> Tensor:
        """(vocabulary,) nats of the token that follows; NaN: not told."""
        (told,) = self._complete(prompt, 1, vocabulary)["content"]
        found = torch.full((vocabulary,), torch.nan)
        for each in told["top_logprobs"]:
            found[each["id"]] = each["logprob"]
        return found

    def greedy(self, prompt: str, tokens: int) -> list[int]:
        """Ids of the likeliest tokens that follow, up to and with the end token."""
        return [each["id"] for each in self._complete(prompt, tokens, 1)["content"]]

    def _complete(self, prompt: Sequence[int] | str, tokens: int, told: int) -> Any:
        asked = {"prompt": prompt if isinstance(prompt, str) else list(prompt), "max_tokens": tokens, "temperature": 0}
        answer = self._server.handle_completions(
            asked | {"logprobs": told, "cache_prompt": False, "ignore_eos": tokens == 1}
        )
        return answer["choices"][0]["logprobs"]
