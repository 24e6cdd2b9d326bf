"""Tokenizer of a base as GGUF keys: byte-level BPE whose first cut into words llama.cpp knows by name.

llama.cpp has the regular expressions of that cut in its own code and takes a name for them ("gpt-2", "llama-bpe" ...).
A tokenizer of another kind is refused by name: with a wrong name the texts would be cut otherwise, in silence.
"""

import json
from typing import Any

import gguf
from transformers import PreTrainedTokenizerBase

from lori_core.errors import ModelError

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CUTS = {  # what stands in tokenizer.json before the bytes -> llama.cpp's name of it
    (): "gpt-2",
    ("digits",): "smollm",
    (_LLAMA3,): "llama-bpe",
    (_LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"),): "qwen2",
}
_NORMAL, _CONTROL, _USER, _UNUSED = 1, 3, 4, 5  # gguf.TokenType


def describe_tokenizer(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> None:
    """Adds the keys to the file.

    Args:
        vocabulary: rows of the embeddings; ids that the tokenizer does not have are filled up.
    Raises:
        ModelError: it is no byte-level BPE, or llama.cpp has no name for its cut into words.
    """
    content = _content(tokenizer)
    tokens, types = _tokens(content, vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_cut(tokenizer, content))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    merges = content["model"]["merges"]
    writer.add_token_merges([each if isinstance(each, str) else " ".join(each) for each in merges])
    for name in ("bos", "eos", "pad", "unk"):
        if (number := getattr(tokenizer, f"{name}_token_id")) is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    first = list(tokenizer("a")["input_ids"])[:1]
    writer.add_add_bos_token(first == [tokenizer.bos_token_id])
    writer.add_add_space_prefix(False)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _content(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """tokenizer.json; without a fast tokenizer there is none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = json.loads(backend.to_str()) if backend is not None else {"model": {"type": type(tokenizer).__name__}}
    if content["model"]["type"] != "BPE" or content["model"].get("byte_fallback"):
        raise ModelError("gguf_tokenizer", tokenizer=_name(tokenizer), found=content["model"]["type"])
    return content


def _cut(tokenizer: PreTrainedTokenizerBase, content: dict[str, Any]) -> str:
    whole = content["pre_tokenizer"] or {}
    steps = whole.get("pretokenizers", [whole])
    said = tuple(_said(step) for step in steps[:-1])
    bytes_ = steps[-1]
    # The bytes' own regular expression is GPT-2's; where another cut was made it has to be off.
    regex = not any(isinstance(step, str) and step != "digits" for step in said)
    known = bytes_.get("type") == "ByteLevel" and not bytes_["add_prefix_space"] and bytes_["use_regex"] == regex
    if not known or said not in _CUTS:
        raise ModelError("gguf_tokenizer", tokenizer=_name(tokenizer), found=json.dumps(whole))
    return _CUTS[said]


def _said(step: dict[str, Any]) -> str:
    if step["type"] == "Digits" and step["individual_digits"]:
        return "digits"
    return step.get("pattern", {}).get("Regex", step["type"]) if step.get("behavior") == "Isolated" else step["type"]


def _tokens(content: dict[str, Any], vocabulary: int) -> tuple[list[str], list[int]]:
    """Each token's text and kind, by id."""
    tokens, types = [f"[PAD{number}]" for number in range(vocabulary)], [_UNUSED] * vocabulary
    for token, number in content["model"]["vocab"].items():
        tokens[number], types[number] = token, _NORMAL
    for added in content["added_tokens"]:
        tokens[added["id"]], types[added["id"]] = added["content"], _CONTROL if added["special"] else _USER
    return tokens, types


def _name(tokenizer: PreTrainedTokenizerBase) -> str:
    return tokenizer.name_or_path or type(tokenizer).__name__
