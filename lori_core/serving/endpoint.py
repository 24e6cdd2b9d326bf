"""OpenAI-compatible servers over HTTP: the log-probabilities of the first token after a probe.

    POST /v1/completions        the prompt as text, so that the server's own tokenizer counts too
    POST /v1/chat/completions   a user's turn, so that its own chat template counts

vLLM names an adapter's base in /v1/models, llama.cpp switches adapters off by request: so the bare base can be asked.
A key is sent where the environment variable LORI_API_KEY holds one.
"""

import json
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

from lori_core.errors import ModelError
from lori_core.files import LARGEST_JSON, parse_json
from lori_core.serving.proof import Probe
from lori_core.serving.verdict import Seen

_PATIENCE = 120  # seconds for one answer: servers load models at the first question
_ANSWER = 4  # tokens: llama.cpp tells nothing of an answer that ends in half a character
_ASKED = (20, 5)  # likeliest tokens: vLLM tells 20 at most, unless told otherwise, and some servers 5


class _Refused(Exception):
    """The server answered with an error."""


@dataclass(frozen=True)
class Endpoint:
    """One model of a server.

    Attributes:
        more: fields that go with every request.
        bare: the base alone; None: it cannot be asked.
    """

    url: str
    model: str
    more: Mapping[str, Any] = field(default_factory=dict)
    bare: "Endpoint | None" = None

    def ask(self, probe: Probe) -> Seen | None:
        """None: it did not tell, as of a first token that is half a character, or has no chat at all.

        Raises:
            ModelError: it refuses to answer.
        """
        reason: Exception | None = None
        for most in _ASKED:
            try:
                return _seen(self._answer(probe, most))
            except _Refused as error:
                reason = error
        if probe.chat:
            return None
        raise ModelError("served_no_log_probs", served=self.url, reason=reason)

    def _answer(self, probe: Probe, most: int) -> Any:
        always = {"model": self.model, "max_tokens": _ANSWER, "temperature": 0, "cache_prompt": False, **self.more}
        # vLLM tells texts otherwise; llama.cpp tells nothing where the first token ends the answer.
        always |= {"return_tokens_as_token_ids": True, "ignore_eos": True}
        if not probe.chat:
            return _request(self.url, "completions", {**always, "prompt": probe.prompt, "logprobs": most})
        turns = [{"role": "user", "content": probe.prompt}]
        chat = {"messages": turns, "logprobs": True, "top_logprobs": most}
        return _request(
            self.url, "chat/completions", {**always, **chat, "chat_template_kwargs": {"enable_thinking": False}}
        )


def endpoint(url: str, model: str | None, adapter: str) -> Endpoint:
    """The model to ask, see http_door of doors.py."""
    if not url.lower().startswith(("http://", "https://")):
        raise ModelError("served_unreachable", url=url, reason="no http:// or https:// address")
    url = url.rstrip("/").removesuffix("/v1")
    try:
        cards = [card for card in _request(url, "models")["data"] if isinstance(card.get("id"), str)]
    except (_Refused, LookupError, TypeError, AttributeError) as error:
        raise ModelError("served_unreachable", url=url, reason=error) from error
    known = {card["id"]: card for card in cards}
    adapters = [name for name, card in known.items() if card.get("parent")]
    for wanted in ([model] if model else [], [adapter] if adapter in known else [], adapters, list(known)):
        if len(wanted) == 1 and wanted[0] in known:
            found = Endpoint(url, wanted[0])
            return replace(found, bare=_bare(found, known[wanted[0]].get("parent")))
    raise ModelError("served_models", url=url, known=", ".join(known), model=model or adapter)


def _bare(served: Endpoint, parent: object) -> Endpoint | None:
    if isinstance(parent, str):
        return replace(served, model=parent)
    try:
        loaded = _request(served.url.removesuffix("/v1"), "lora-adapters", versioned=False)
        off = [{"id": each["id"], "scale": 0.0} for each in loaded]
    except (_Refused, LookupError, TypeError):
        return None
    return replace(served, more={"lora": off}) if off else None


def _request(url: str, path: str, body: Mapping[str, Any] | None = None, versioned: bool = True) -> Any:
    """The JSON of an answer; raises _Refused where it is an error or none, ModelError where nobody answers."""
    address = f"{url}/v1/{path}" if versioned else f"{url}/{path}"
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("LORI_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    try:
        try:
            with urllib.request.urlopen(urllib.request.Request(address, data, headers), timeout=_PATIENCE) as answer:
                return parse_json(answer.read(LARGEST_JSON))
        except HTTPError as error:  # whose text may be cut off too
            with error:
                raise _Refused(f"{error.code} {error.read(400).decode(errors='replace')}") from None
    except ValueError as error:
        raise _Refused(str(error)) from None
    except (OSError, HTTPException, OverflowError) as error:  # the last of a port that is too large a number
        raise ModelError("served_unreachable", url=url, reason=error) from error


def _seen(answer: Any) -> Seen | None:
    """From either of the shapes that servers have for it; None where it is in neither."""
    try:
        told = answer["choices"][0]["logprobs"]
        if "content" in told:
            chosen, first = told["content"][0], told["content"][0]["top_logprobs"]
            own = [each.get("bytes") for each in first if "id" in each and each["id"] == chosen.get("id")]
            if any(each != chosen.get("bytes") for each in own):
                return None  # llama.cpp: of the token that ended the first character, which took several
            pairs = [(each.get("id", each["token"]), each["logprob"]) for each in first]
        else:
            pairs = list(told["top_logprobs"][0].items())
        tokens = {_token(name): float(nats) for name, nats in pairs}
        return Seen(tokens, min(tokens.values()))
    except (LookupError, TypeError, AttributeError, ValueError):
        return None


def _token(name: int | str) -> int | str:
    number = name.removeprefix("token_id:") if isinstance(name, str) and name.startswith("token_id:") else name
    return int(number) if number is not name else name
