"""A two-layer model with random weights of every architecture whose modules to adapt are known."""

from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
    Qwen3MoeConfig,
)

# As published, for what is computed from a config alone.
LLAMA_3_8B = LlamaConfig(
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    vocab_size=128256,
)
LLAMA_3_70B = LlamaConfig(
    hidden_size=8192,
    intermediate_size=28672,
    num_hidden_layers=80,
    num_attention_heads=64,
    num_key_value_heads=8,
    vocab_size=128256,
)
MISTRAL_7B = MistralConfig(
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    vocab_size=32000,
)

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 257,
    "pad_token_id": 0,
}
EXPERTS: dict[str, Any] = {
    "moe_intermediate_size": 24,
    "num_experts_per_tok": 2,
}
CONFIGS = {
    "llama": LlamaConfig(**SIZES, num_key_value_heads=2),
    "mistral": MistralConfig(**SIZES, num_key_value_heads=2),
    "qwen2": Qwen2Config(**SIZES, num_key_value_heads=2),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=8),
    "gemma": GemmaConfig(**SIZES, num_key_value_heads=2, head_dim=8),
    "gemma2": Gemma2Config(**SIZES, num_key_value_heads=2, head_dim=8),
    "gemma3_text": Gemma3TextConfig(**SIZES, num_key_value_heads=2, head_dim=8),
    "olmo2": Olmo2Config(**SIZES, num_key_value_heads=2),
    "phi3": Phi3Config(**SIZES, num_key_value_heads=2),
    "gpt2": GPT2Config(n_embd=32, n_inner=48, n_layer=2, n_head=4, vocab_size=257, bos_token_id=0, eos_token_id=0),
    "gpt_neox": GPTNeoXConfig(**SIZES),
    "opt": OPTConfig(**SIZES, ffn_dim=48, word_embed_proj_dim=16),
    "falcon": FalconConfig(**SIZES, bos_token_id=0, eos_token_id=0),
    "bloom": BloomConfig(**SIZES, n_layer=2, n_head=4),
    "bert": BertConfig(**SIZES, is_decoder=True, hidden_dropout_prob=0, attention_probs_dropout_prob=0),
    "mixtral": MixtralConfig(**SIZES, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2),
    "qwen2_moe": Qwen2MoeConfig(
        **SIZES, num_key_value_heads=2, num_experts=4, shared_expert_intermediate_size=48, **EXPERTS
    ),
    "qwen3_moe": Qwen3MoeConfig(**SIZES, num_key_value_heads=2, num_experts=4, **EXPERTS),
}


def model(architecture: str) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIGS[architecture])


def save(model: PreTrainedModel, folder) -> str:
    """A checkpoint folder with a tokenizer of one-letter words."""
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate("abcdefghijklmnop")}, unk_token="a"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[reportAttributeAccessIssue]
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="b", unk_token="a").save_pretrained(folder)
    return str(folder)
