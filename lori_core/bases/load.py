"""Loading of a base, frozen: the embedded one, a local folder, a GGUF file or a hub id, whole or in 8 or 4 bits.

base = load_base()
shapes = target_modules(base.model)    # {"model.layers.0.self_attn.q_proj": (out_features, in_features), ...}
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
from transformers.utils.hub import cached_file, extract_commit_hash

from lori_core.bases.fingerprint import fingerprint, vectors_fingerprint, weight_files
from lori_core.bases.gguf import read_once, stored_as
from lori_core.bases.quantize import quantization_config
from lori_core.bases.sharded import make_room, sharding
from lori_core.bases.source import checked_source, source_of
from lori_core.bases.targets import TARGETS, check_rank, target_modules
from lori_core.config import Attention, BaseConfig, Precision, Quantization
from lori_core.errors import ConfigError, LoRIError, ModelError

__all__ = ["TARGETS", "Base", "check_rank", "fingerprint", "load_base", "load_config", "open_base", "target_modules"]


DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Base:
    """A frozen model with its tokenizer.

    Attributes:
        name: "embedded", a local folder, a GGUF file or a hub id, as it was asked for.
        revision: of a hub id the commit that was loaded, else None.
        fingerprint: of the checkpoint's weights, the same however they are loaded, see fingerprint.py.
        quantization: "8bit", "4bit", or None.
        stored_as: of a GGUF file how it stores the weights, "Q4_1"; None: whole. They were unpacked while loading.
        vectors: fingerprint of the weights that are vectors, which every GGUF file keeps whole; "": none are.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    revision: str | None
    fingerprint: str
    quantization: Quantization | None = None
    stored_as: str | None = None
    vectors: str = ""

    @property
    def opened(self) -> dict[str, str | None]:
        """The event that a run begins its work with: where and in which precision the base computes."""
        precision = next((name for name, dtype in DTYPES.items() if dtype == self.model.dtype), str(self.model.dtype))
        return {"kind": "base", "name": self.name, "device": str(self.model.device), "precision": precision}

    @property
    def record(self) -> dict[str, str | None]:
        """What an adapter remembers of the base that it was trained on."""
        known = {"name": self.name, "revision": self.revision, "fingerprint": self.fingerprint}
        rest = {"vectors": self.vectors, "quantization": self.quantization, "stored_as": self.stored_as}
        return known | {key: value for key, value in rest.items() if value}


def open_base(config: BaseConfig, processes: int = 1) -> Base:
    """The base that a job names. processes: as in load_base()."""
    return load_base(
        config.base,
        config.revision,
        config.device,
        config.precision,
        quantization=config.quantization,
        attention=config.attention,
        trust_remote_code=config.trust_remote_code,
        processes=processes,
    )


def load_base(
    name: str = "embedded",
    revision: str | None = None,
    device: str | None = None,
    dtype: Precision | None = None,
    *,
    quantization: Quantization | None = None,
    attention: Attention | None = None,
    trust_remote_code: bool = False,
    processes: int = 1,
) -> Base:
    """A causal language model and its tokenizer, frozen and in eval mode.

    Args:
        name: "embedded", "smollm2" once it was downloaded (download.py), a local folder, a GGUF file or a folder with
            one, or a hub id; the environment variable HF_HUB_OFFLINE=1 keeps to the cache.
        revision: branch, tag or commit of a hub id; config, weights and tokenizer come from the one commit it names.
        device: None: cuda, mps or cpu, whatever is there.
        dtype: of the weights; None: the device's own, see default_precision.
        quantization: of the linear maps but the output head; needs bitsandbytes.
        attention: None: eager on a CPU, else what transformers takes.
        trust_remote_code: run the Python that comes with a checkpoint.
        processes: how many share the weights out, all that were launched together; each loads its part.
    Raises:
        ModelError: there is no such model, it is damaged or incomplete, it is no causal language model, bitsandbytes
            or gguf is not there, or it is to be shared out and is quantised or a GGUF file. ConfigError: there is no
            such device.
    """
    source, gguf = source_of(name)
    device = checked_device(device)
    weights = DTYPES[dtype or default_precision(device, name)]
    revision = _commit(name, revision)
    file = Path(source, gguf["gguf_file"]) if gguf else None
    with read_once(file) if file else nullcontext():
        config = load_config(name, revision, trust_remote_code)
        options: dict[str, Any] = sharding(processes) if processes > 1 else {}
        if options and (gguf or quantization):
            raise ModelError("sharded_not_whole", name=name)
        if gguf and quantization:
            raise ModelError("gguf_quantised", name=name, quantization=quantization)
        if gguf:  # whose config was read: reading it again takes seconds
            options = {"config": config, "quantization_config": GgufConfig(dequantize=True), **gguf}
        elif quantization:
            quantizer = quantization_config(quantization, device, weights)
            options = {"quantization_config": quantizer, "device_map": {"": device}}
        with _refused(name, attention):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source,
                revision=revision,
                dtype=weights,
                attn_implementation=attention or default_attention(device),
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                **options,
            )
            tokenizer = AutoTokenizer.from_pretrained(
                source, revision=revision, trust_remote_code=trust_remote_code, **gguf
            )
            stored = stored_as(file) if file else None
    model, loading = loaded  # in eval mode
    if missing := sorted(loading["missing_keys"]):  # transformers would fill them with random numbers
        raise ModelError("weights_missing", name=name, count=len(missing), missing=", ".join(missing[:3]))
    if tokenizer.pad_token is None:  # batches are padded; padded positions are masked, so which token does not matter
        tokenizer.pad_token = tokenizer.eos_token
    if processes > 1:
        make_room(model)
    model = (model if quantization or processes > 1 else model.to(device)).requires_grad_(False)
    files = weight_files(source, revision) if quantization else []
    found = fingerprint(model, files)
    return Base(model, tokenizer, name, revision, found, quantization, stored, vectors_fingerprint(model))


def load_config(name: str, revision: str | None = None, trust_remote_code: bool = False) -> PreTrainedConfig:
    """A base's config; its weights are not looked at.

    Raises:
        ModelError: there is none, it needs Python of its own, or it is of no causal language model.
    """
    source, gguf = checked_source(name, revision)
    own_code = False
    with _refused(name):
        if gguf:
            stored_as(Path(source, gguf["gguf_file"]))  # refuses a damaged header
        else:
            raw, _ = PreTrainedConfig.get_config_dict(source, revision=revision)
            own_code = raw.get("model_type") not in CONFIG_MAPPING and "auto_map" in raw
        if own_code and not trust_remote_code:
            raise ModelError("remote_code", name=name)
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=trust_remote_code, **gguf)
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not own_code:
        raise ModelError("not_causal", name=name, architecture=config.model_type)
    # Encoders can be made to predict the next token, but they were trained to see it.
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and getattr(config, "is_decoder", None) is False:
        raise ModelError("encoder", name=name, architecture=config.model_type)
    return config


def _commit(name: str, revision: str | None) -> str | None:
    """The commit that a revision of a hub id names now; None for a folder."""
    source, _ = checked_source(name, revision)
    if isinstance(source, Path):
        return None
    with _refused(name):
        return extract_commit_hash(cached_file(source, "config.json", revision=revision), None)


def checked_device(device: str | None) -> str:
    """The device, or where none is named the best there is; raises ConfigError for one that is not there."""
    if device is None:
        return default_device()
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError("no_such_device", device=device, available=default_device()) from error
    return device


def device_name(device: torch.device) -> str:
    """Of a GPU its model, of what has none its type."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def default_precision(device: str, base: str) -> Precision:
    """bf16 where the device computes in it, else fp32; fp32 for the embedded base on every CPU.

    The published scores of the embedded base were measured in fp32: what they are must not depend on the processor.
    """
    if device == "cpu" and base == "embedded":
        return "fp32"
    return "bf16" if computes_in_bf16(device) else "fp32"


def computes_in_bf16(device: str) -> bool:
    """Whether the device has bf16 arithmetic; other CPUs emulate it.

    On a CPU with AVX2 alone a product of 2,200 x 256 by 256 x 512 takes ten times as long in bf16 as in fp32.
    """
    if device == "cpu":
        known = torch.cpu.get_capabilities()
        return any(known.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))
    return device.startswith("cuda")


def default_attention(device: str) -> Attention | None:
    """None: what transformers takes, sdpa for most models."""
    # The fused attention's backward pass is slow on CPUs: a training step takes 0.23 s with it, 0.16 s without.
    return "eager" if device == "cpu" else None


@contextmanager
def _refused(name: str, attention: Attention | None = None) -> Iterator[None]:
    """Whatever the loader says, as a ModelError."""
    source, gguf = source_of(name)
    # What a damaged GGUF file makes of its readers is any kind of error.
    kinds = (Exception,) if gguf else (OSError, ValueError, RuntimeError, ImportError, SafetensorError)
    try:
        yield
    except LoRIError:
        raise
    except kinds as error:
        reason = str(error).strip() or type(error).__name__
        if attention and "attention" in reason.lower():  # transformers has no kind of error for it
            raise ModelError("attention_not_available", name=name, attention=attention, reason=reason) from error
        key = "gguf_not_loadable" if gguf else "folder_not_loadable" if isinstance(source, Path) else "hub_not_loadable"
        raise ModelError(key, name=name, reason=reason) from error


def default_device() -> str:
    """cuda, mps or cpu, whatever is there, in this order."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
