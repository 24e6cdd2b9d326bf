"""Proof of life: eight prompts with the log-probabilities of their first tokens, bare, with the adapter, on a base of 4
bits, and as each fault of serving would have them. One small JSON beside an export, by which `lori check-served` knows
what it sees.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lori_core.bases.attach import applied
from lori_core.bases.load import Base
from lori_core.bases.quantize import rounded
from lori_core.config import Config
from lori_core.errors import AdapterError, ConfigError, ModelError
from lori_core.files import read_json
from lori_core.method.adapter import Adapter, check_base
from lori_core.serving.faults import ACTIVE, BARE, ROUNDED, ROUNDED_BARE, SCALE, served_states
from lori_core.tasks.chat import in_chat
from lori_core.tasks.encode import encode_prompt
from lori_core.tasks.task import Example, Task

PROOF_FILE = "proof_of_life.json"

# Asked where nobody names others: plain language in English and Japanese, figures, code.
PROMPTS = (
    "The capital of France is",
    "Question: What is 12 + 30?\nAnswer:",
    "def add(a, b):\n    return",
    "Once upon a time, there was a",
    "日本の首都は",
    "Classify the sentence as positive or negative: I enjoyed every minute of it.\nLabel:",
    "Q: Is the sun larger than the moon?\nA:",
    "1, 2, 3, 4,",
)
_LIKELIEST = 10  # tokens with the adapter; half as many of the bare base are told too


class Probe(Config):
    """One prompt and what may follow it.

    Attributes:
        chat: the prompt is a user's turn, put into the base's chat template; else it is read as it is.
        tokens: of the prompt, special ones and the template's included.
        ids, texts: of the tokens whose log-probabilities are told, likeliest with the adapter first.
        log_probs: state -> nats of each; see faults.py. Of a turn only whether the adapter is active is told.
    """

    prompt: str
    chat: bool
    tokens: int
    ids: tuple[int, ...]
    texts: tuple[str, ...]
    log_probs: dict[str, tuple[float, ...]]

    @model_validator(mode="after")
    def _check(self) -> Self:
        states = self.log_probs.values()
        whole = {ACTIVE, BARE} <= self.log_probs.keys() and len(self.ids) > 0
        if not whole or any(len(each) != len(self.ids) for each in (self.texts, *states)):
            raise ValueError("each state needs one number a token")
        return self


class Proof(Config):
    """What is expected of an adapter that is served.

    Attributes:
        base: name of the base that it was measured on, and its fingerprint.
        probes: prompts as they are, then as turns of a chat where the base has a chat template; of each kind all have
            the same states.
    """

    adapter: str
    base: str
    fingerprint: str
    probes: tuple[Probe, ...] = Field(min_length=1)

    def said(self, state: str, chat: bool) -> list[float]:
        """Nats of all told tokens of the probes of one kind."""
        return [value for probe in self.probes if probe.chat == chat for value in probe.log_probs[state]]


def prove(base: Base, adapter: Adapter, prompts: Sequence[str] = PROMPTS) -> Proof:
    """Measures the proof on the base, in its precision, by one forward pass a state.

    Left out are prompts after which half a character is the likeliest, with the adapter or without: llama.cpp tells
    nothing of such a token but of the one that ends the character, and others write it in many ways. Where no prompt
    is left, PROMPTS are asked.

    Raises:
        IncompatibleAdapters: the adapter was trained on another base or does not fit.
        AdapterError: after all of them comes half a character.
    """
    check_base(adapter, base.record)
    for asked in dict.fromkeys((tuple(prompts), PROMPTS)):
        rows, measured = _whole_first_tokens(base, adapter, asked)
        if rows:
            break
    else:
        raise AdapterError("no_whole_token", name=adapter.name)
    plain = [ids for _, chat, ids in rows if not chat]
    for state, served in served_states(adapter, base.model.config):
        if state != ACTIVE:
            with applied(base.model, served):
                measured[state] = next_log_probs(base.model, plain)
    if base.quantization is None:
        with rounded(base.model):
            measured[ROUNDED_BARE] = next_log_probs(base.model, plain)
            with applied(base.model, adapter):
                measured[ROUNDED] = next_log_probs(base.model, plain)
    probes = []
    for row, (prompt, chat, ids) in enumerate(rows):
        told, texts = _told(base.tokenizer, measured[ACTIVE][row], measured[BARE][row])
        seen = {state: each[row, told].tolist() for state, each in measured.items() if row < len(each)}
        nats = {state: tuple(round(each, 4) for each in values) for state, values in seen.items()}
        named = {"prompt": prompt, "chat": chat, "tokens": len(ids)}
        probes.append(Probe(**named, ids=tuple(told), texts=tuple(texts), log_probs=nats))
    return Proof(adapter=adapter.name, base=base.name, fingerprint=base.fingerprint, probes=tuple(probes))


Row = tuple[str, bool, list[int]]  # a prompt, whether it is a turn, its tokens


def _whole_first_tokens(base: Base, adapter: Adapter, prompts: Sequence[str]) -> tuple[list[Row], dict[str, Tensor]]:
    """What can be asked of the prompts, turns last, and state -> (rows, vocabulary) of it with the adapter and without;
    no rows where no prompt can be asked as it is."""
    rows = [
        (prompt, chat, ids) for chat in (False, True) for prompt in prompts if (ids := probe_ids(base, prompt, chat))
    ]
    tokens = [ids for _, _, ids in rows]
    measured = {BARE: next_log_probs(base.model, tokens)}
    with applied(base.model, adapter):
        measured[ACTIVE] = next_log_probs(base.model, tokens)
    first = torch.stack([each.argmax(-1) for each in measured.values()], -1).tolist()
    kept = [
        row for row, both in enumerate(first) if all(_is_whole(str(base.tokenizer.decode([each]))) for each in both)
    ]
    if all(rows[row][1] for row in kept):
        return [], {}
    return [rows[row] for row in kept], {state: each[kept] for state, each in measured.items()}


def _is_whole(text: str) -> bool:
    return "\ufffd" not in text


def read_proof(path: Path) -> Proof:
    """Raises AdapterError where there is none that can be read."""
    try:
        proof = Proof(**read_json(path))
        _check_states(proof)
        return proof
    except (OSError, ValueError, TypeError, ConfigError) as error:
        raise AdapterError("no_proof", path=path, reason=error) from None


def _check_states(proof: Proof) -> None:
    """Raises ValueError where answers cannot be compared with what the proof's probes say together."""
    plain, turns = ({frozenset(p.log_probs) for p in proof.probes if p.chat == chat} for chat in (False, True))
    if not plain:
        raise ValueError("at least one prompt has to be no turn of a chat")
    if len(plain) > 1 or len(turns) > 1:
        raise ValueError("all prompts of a kind need the same states")
    (states,) = plain
    if (ROUNDED in states) != (ROUNDED_BARE in states):
        raise ValueError(f"{ROUNDED!r} and {ROUNDED_BARE!r} are told together or not at all")
    for state in states:
        if state.startswith(SCALE) and not _is_finite(state.removeprefix(SCALE)):
            raise ValueError(f"the state {state!r} needs a finite number")


def _is_finite(number: str) -> bool:
    try:
        return math.isfinite(float(number))
    except ValueError:
        return False


@torch.no_grad()
def next_log_probs(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> Tensor:
    """(rows, vocabulary) nats of the token that follows each row, on the CPU; rows are filled up behind their end."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=model.device)
    last = torch.tensor([len(row) - 1 for row in rows], device=model.device)
    mask = torch.arange(longest, device=model.device) <= last[:, None]
    logits = model(input_ids=ids, attention_mask=mask.long()).logits
    return logits[torch.arange(len(rows)), last].float().log_softmax(-1).cpu()


def probe_ids(base: Base, prompt: str, chat: bool) -> list[int]:
    """Tokens of a prompt, or of a user's turn as training has it; empty where the base has no chat template for it."""
    if chat:
        asked = Task("probe", lambda split: [Example(prompt, "")], "exact")
        try:
            base, (asked,) = in_chat(base, [asked])
        except ModelError:
            return []
        prompt = asked.load("test")[0].prompt
    return encode_prompt(base.tokenizer, prompt)


def _told(tokenizer: PreTrainedTokenizerBase, active: Tensor, bare: Tensor) -> tuple[list[int], list[str]]:
    """Ids and texts of the likeliest tokens, without halves of characters, which servers write in many ways."""
    likeliest = [*active.topk(_LIKELIEST).indices.tolist(), *bare.topk(_LIKELIEST // 2).indices.tolist()]
    found: dict[str, int] = {}
    for number in likeliest:
        if (text := str(tokenizer.decode([number]))) and _is_whole(text):
            found.setdefault(text, number)
    return list(found.values()), list(found)
