"""Encoding: names of control tokens in data are text, one begin token, no space before a response that goes on."""

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from lori_core.tasks import encode as encode_module
from lori_core.tasks.encode import encode, encode_all, encode_prompt, encode_response
from lori_core.tasks.task import Example, Prompt

MARKS = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def sentencepiece(adds_begin: bool = True) -> PreTrainedTokenizerFast:
    """As Llama-2's: a "▁" before every text and for every space, unknown letters as bytes, <s> before every text."""
    pieces = [*MARKS, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdeowl:答え？", "▁o", "▁ow", "▁owl"]
    vocabulary = {piece: id for id, piece in enumerate(pieces)}
    made = Tokenizer(models.BPE(vocabulary, [("▁", "o"), ("▁o", "w"), ("▁ow", "l")], byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])  # type: ignore
    spaces = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    made.decoder = decoders.Sequence(spaces)  # type: ignore
    return finished(made, adds_begin)


def byte_level(adds_begin: bool = False) -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: id for id, letter in enumerate(letters)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore
    made.decoder = decoders.ByteLevel()  # type: ignore
    return finished(made, adds_begin)


def finished(made: Tokenizer, adds_begin: bool) -> PreTrainedTokenizerFast:
    made.add_special_tokens(MARKS)
    if adds_begin:
        made.post_processor = TemplateProcessing(  # type: ignore
            single="<s> $A", special_tokens=[("<s>", made.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")


def id_of(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    return tokenizer.get_vocab()[token]


MADE = {"sentencepiece": sentencepiece, "byte level": byte_level}


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize("cell", ["a<|im_end|>b", "</s>", "<<|im_start|>|im_end|>", "<s><s>"])
def test_the_name_of_a_control_token_in_data_is_text(make: str, cell: str):
    tokenizer = MADE[make](False)
    control = {id_of(tokenizer, mark) for mark in MARKS}
    for ids in (encode_prompt(tokenizer, f"{cell} ok?"), encode_response(tokenizer, cell)):
        assert not control & set(ids)
        assert cell in str(tokenizer.decode(ids, skip_special_tokens=False))


def test_a_template_may_write_control_tokens_around_data():
    tokenizer = byte_level()
    text = "<|im_start|>a</s>b<|im_end|>"
    ids = encode_prompt(tokenizer, Prompt(text, [(len("<|im_start|>"), text.index("<|im_end|>"))]))
    names = [name for name in tokenizer.convert_ids_to_tokens(ids) if name in MARKS]
    assert names == ["<|im_start|>", "<|im_end|>"] and tokenizer.decode(ids) == text


@pytest.mark.parametrize("make", MADE)
def test_a_begin_token_that_a_template_writes_is_not_doubled(make: str):
    tokenizer = MADE[make](True)
    prompt = Prompt("<s>a: owl", [(3, 9)])
    assert encode_prompt(tokenizer, prompt).count(id_of(tokenizer, "<s>")) == 1


@pytest.mark.parametrize(("prompt", "response"), [("owl:", " owl"), ("答え：", "答え"), ("", "owl"), ("a\n", "owl")])
def test_a_response_has_the_tokens_that_it_has_after_its_prompt(prompt: str, response: str):
    tokenizer = sentencepiece()
    encoded = encode(tokenizer, Example(prompt, response), 99)
    together: list[Any] = list(tokenizer(prompt + response)["input_ids"])
    assert encoded is not None
    if prompt:  # alone, a text has its "▁"
        assert encoded.input_ids == [*together, tokenizer.eos_token_id]
    assert tokenizer.decode(encoded.input_ids, skip_special_tokens=True) == (prompt + response).lstrip()


def test_a_data_set_that_cannot_change_is_encoded_once_and_one_that_can_each_time(monkeypatch: pytest.MonkeyPatch):
    tokenizer, examples, seen = byte_level(), tuple(Example(f"a{i}", "b") for i in range(3)), []
    plain = encode_module.encode

    def counted(tokenizer: Any, example: Example, max_length: int) -> Any:
        seen.append(example.prompt)
        return plain(tokenizer, example, max_length)

    monkeypatch.setattr(encode_module, "encode", counted)
    expected = [plain(tokenizer, example, 9) for example in examples]
    assert encode_all(tokenizer, examples, 9) == encode_all(tokenizer, examples, 9) == expected and len(seen) == 3
    changing = list(examples)
    encode_all(tokenizer, changing, 9)
    changing[0] = Example("other", "b")
    assert encode_all(tokenizer, changing, 9)[0] == plain(tokenizer, changing[0], 9)
    assert encode_all(tokenizer, tuple(reversed(examples)), 9) == expected[::-1]  # equal in size, and another
    assert encode_all(tokenizer, examples, 3) == [plain(tokenizer, example, 3) for example in examples]
    tokenizer.add_tokens(["a0"])
    assert encode_all(tokenizer, examples, 9) == [plain(tokenizer, example, 9) for example in examples]
