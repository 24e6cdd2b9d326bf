"""Tokenizers in a GGUF: llama.cpp cuts texts as the tokenizer does, and what it has no name for is refused."""

from typing import Any

import llama_cpp
import pytest
import tiny
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lori_core.bases.gguf_tokenizer import _CUTS, describe_tokenizer
from lori_core.bases.load import load_base
from lori_core.bases.merged_gguf import write_base_gguf
from lori_core.errors import ModelError


class Keys:
    """A writer that keeps what it was told."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return lambda value: self.said.update({name: value})


def described(tokenizer: PreTrainedTokenizerFast, vocabulary: int = 260) -> dict[str, Any]:
    keys: Any = Keys()
    describe_tokenizer(keys, tokenizer, vocabulary)
    return keys.said


def cut(*steps: Any) -> PreTrainedTokenizerFast:
    tokenizer = llama_cpp.pair_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(steps))  # type: ignore[reportAttributeAccessIssue]
    return tokenizer


def by(regex: str) -> PreTrainedTokenizerFast:
    return cut(
        pre_tokenizers.Split(Regex(regex), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    )


def test_a_cut_into_words_has_llama_cpp_s_name():
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert described(llama_cpp.pair_tokenizer())["add_tokenizer_pre"] == "gpt-2"
    assert described(cut(pre_tokenizers.Digits(individual_digits=True), plain))["add_tokenizer_pre"] == "smollm"
    for steps, name in _CUTS.items():
        if name in ("llama-bpe", "qwen2"):
            assert described(by(steps[0]))["add_tokenizer_pre"] == name


@pytest.mark.parametrize(
    "tokenizer",
    [
        by(r"\w+|\s+"),
        cut(pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.ByteLevel(add_prefix_space=False)),
        cut(pre_tokenizers.ByteLevel(add_prefix_space=True)),
        cut(pre_tokenizers.Metaspace()),
        PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))),
    ],
    ids=["regex", "digits together", "prefix space", "metaspace", "words"],
)
def test_a_tokenizer_without_such_a_name_is_refused(tokenizer):
    with pytest.raises(ModelError) as caught:
        described(tokenizer)
    assert caught.value.key == "gguf_tokenizer"


def test_tokens_stand_at_their_ids_with_their_kind_and_the_rest_is_filled_up():
    tokenizer = llama_cpp.pair_tokenizer()
    tokenizer.add_tokens(["mine"])
    tokenizer.chat_template = "{{ messages }}"
    said = described(tokenizer)
    tokens, types = said["add_token_list"], said["add_token_types"]
    assert len(tokens) == len(types) == 260
    assert [tokens[number] for number in (255, 256, 257, 259)] == ["Ġa", "<end>", "mine", "[PAD259]"]
    assert [types[number] for number in (255, 256, 257, 259)] == [1, 3, 4, 5]
    assert said["add_token_merges"] == ["Ġ a"] and said["add_eos_token_id"] == 256
    assert said["add_add_bos_token"] is False and said["add_chat_template"] == "{{ messages }}"


def test_llama_cpp_reads_a_text_as_the_tokens_that_the_tokenizer_gives(tmp_path):
    base = load_base(device="cpu", dtype="fp32")
    write_base_gguf(base, tmp_path / "base.gguf")
    model = llama_cpp.LlamaCpp(tmp_path / "base.gguf")
    for text in (
        "It's 12 + 345 = 357 .",
        "a\n\n  b\tc  ",
        "日本語 と café, naïve—\u3000😀",
        " leading",
        "x_y(z)[0] != {}",
    ):
        ids = base.tokenizer(text)["input_ids"]
        told = model.log_probs(text, 1877)
        expected = tiny.logits(base.model, [ids])[0, -1].log_softmax(-1)
        assert (told - expected)[expected > -8].abs().max() < 0.02, text
