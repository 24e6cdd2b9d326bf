"""Verdict on a served model: which state of a proof its answers fit.

Compared are log-probabilities of first tokens, in nats, by their root mean square over all told tokens. A fault is said
where it explains most of what parts the answers from those of the active adapter, wherever else they would be drift:
another precision of the same base, such as 4 bits, moves them too, but in no direction of its own. How far, the proof
knows from a plain rounding of its base.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from lori_core.serving.faults import ACTIVE, BARE, ROUNDED, ROUNDED_BARE, SCALE, WITHOUT
from lori_core.serving.proof import Probe, Proof

Finding = Literal["active", "no_op", "scale", "module", "rows", "template", "wrong_base", "untold"]

_EXACT = 0.02  # nats; nothing is looked for below: what rounding in fp16 does
_TELLING = 0.05  # nats between active and bare; with less the proof can tell nothing
_EXPLAINED = 0.75  # share of the squared difference that a fault has to explain
_DRIFT = 0.3  # of the way from active to bare that an active adapter may be off where the base alone was not asked
_NOISE = 3.0  # times as far as the base alone, or as rounding says, may an active adapter be off
_STRANGE = 0.7  # of that way: farther off, and in no known direction, is another base
_ROUNDED = 2.0  # times as far as by plain rounding to 4 bits may the base alone be off
_PART = 0.1  # of a fault; less of it is no part
_LEAST = -12.0  # nats; what is less likely differs by any number, and to nobody
_CHAT = 0.15  # nats that the answers in a chat may be off more than those without


@dataclass(frozen=True)
class Seen:
    """What a server told of the first token after one probe.

    Attributes:
        tokens: id or text -> nats.
        least: nats of the least likely one that it tells; what it left out is less likely. -inf: it left out nothing.
    """

    tokens: Mapping[int | str, float]
    least: float = -math.inf


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        finding: "active", or what is wrong: see assets/translations, "served.<finding>".
        detail: which module, or by which factor; empty where there is nothing to name.
        off: root mean square distance from the active adapter, nats.
        effect: that of the bare base from the active adapter.
    """

    finding: Finding
    detail: str
    off: float
    effect: float

    @property
    def active(self) -> bool:
        return self.finding == "active"


def judge(seen: Sequence[tuple[Probe, Seen]], bare: Sequence[tuple[Probe, Seen]] = ()) -> Verdict:
    """The verdict on what a server told.

    Args:
        seen: of probes of one proof, of at least one that is no turn.
        bare: the same without the adapter, of probes that are no turns; empty where the server cannot be asked.
    """
    plain, turns = ([each for each in seen if each[0].chat == chat] for chat in (False, True))
    told, chat = _Told(plain, bare), _Told(turns)
    off, effect = _size(told.off(ACTIVE)), _size(told.between(BARE))
    finding, detail = _finding(told, off, effect)
    if finding == "active" and chat.states and _size(chat.off(ACTIVE)) > _bound_in_chat(chat, off):
        finding = "template"
    return Verdict(finding, detail, off, effect)


def _bound_in_chat(chat: "_Told", off: float) -> float:
    """Nats that the answers in a chat may be off; those without one are off by `off`."""
    return max(2 * off, _DRIFT * _size(chat.between(BARE))) + _CHAT


def effect_of(proof: Proof) -> float:
    """Root mean square distance of the bare base from the active adapter, nats."""
    return _size(np.array(proof.said(BARE, False)) - np.array(proof.said(ACTIVE, False)))


def tells(proof: Proof) -> bool:
    """Whether its prompts part the adapter from the bare base at all."""
    return effect_of(proof) >= _TELLING


class _Told:
    """Distances over the tokens that a server told, or left out as less likely than those.

    Where the bare base was asked through the same door, what moved it is taken off: another precision moves both.
    """

    def __init__(self, seen: Sequence[tuple[Probe, Seen]], bare: Sequence[tuple[Probe, Seen]] = ()) -> None:
        beside = {probe.prompt: answer for probe, answer in bare}
        both = [(probe, answer, beside[probe.prompt]) for probe, answer in seen if probe.prompt in beside]
        every = both or [(probe, answer, None) for probe, answer in seen]
        known = every[0][0].log_probs if every else {}
        self.states = {state: np.array([each for p, *_ in every for each in p.log_probs[state]]) for state in known}
        self._seen = np.array([each for probe, answer, _ in every for each in _of(probe, answer)])
        least = [max(answer.least, base.least if base else _LEAST, _LEAST) for _, answer, base in every]
        self._floor = np.repeat(least, [len(probe.ids) for probe, *_ in every])
        alone = np.array([each for probe, _, base in both if base for each in _of(probe, base)])
        self.moved = self._clipped(alone) - self._clipped(self.states[BARE]) if both else None  # nats, of the base

    def off(self, state: str) -> np.ndarray:
        """What was seen minus what the state says, (tokens,) nats."""
        moved = 0.0 if self.moved is None else self.moved
        return self._clipped(self._seen) - self._clipped(self.states[state]) - moved

    def between(self, state: str, other: str = ACTIVE) -> np.ndarray:
        """What a state says minus what another does, (tokens,) nats."""
        return self._clipped(self.states[state]) - self._clipped(self.states[other])

    def _clipped(self, nats: np.ndarray) -> np.ndarray:
        """As the server could tell it: what is below its last token told stands there, as what it left out does."""
        return np.maximum(np.where(np.isnan(nats), self._floor, nats), self._floor)


def _of(probe: Probe, answer: Seen) -> list[float]:
    """Nats of each of the probe's tokens; NaN: left out."""
    named = zip(probe.ids, probe.texts, strict=True)
    return [answer.tokens.get(number, answer.tokens.get(text, np.nan)) for number, text in named]


def _size(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(difference**2))) if len(difference) else 0.0


def _finding(told: _Told, off: float, effect: float) -> tuple[Finding, str]:
    if effect < _TELLING:
        return "untold", ""
    if told.moved is not None and _size(told.moved) > max(_TELLING, _noise_of_a_base(told, effect)):
        return "wrong_base", ""
    if off <= _EXACT:
        return "active", ""
    if (fault := _fault(told)) is not None:
        return fault
    if told.moved is None and off <= _DRIFT * effect:
        return "active", ""
    drift = _drift(told)
    if off <= drift:
        return ("untold" if _size(told.off(BARE)) <= drift else "active"), ""
    return ("wrong_base" if told.moved is None and off > _STRANGE * effect else "module"), ""


def _noise_of_a_base(told: _Told, effect: float) -> float:
    """Nats that the right base alone may be off."""
    return _ROUNDED * _size(told.between(ROUNDED_BARE, BARE)) if ROUNDED_BARE in told.states else _STRANGE * effect


def _drift(told: _Told) -> float:
    """Nats that an active adapter may be off. How far its base is off tells its precision; where that was not asked it
    may be of 4 bits. A proof of a base that is quantised itself knows no rounding."""
    noise = None if told.moved is None else _size(told.moved)
    if ROUNDED not in told.states:
        return 0.0 if noise is None else _EXACT + _NOISE * noise
    if noise is None:
        return _EXACT + _NOISE * _size(told.between(ROUNDED))
    of_base = told.between(ROUNDED_BARE, BARE)
    return _EXACT + _NOISE * _size(told.between(ROUNDED) - of_base) * noise / max(_size(of_base), _EXACT)


def _fault(told: _Told) -> tuple[Finding, str] | None:
    """The fault that explains what is off: as it is, between two scales, or in part."""
    off = told.off(ACTIVE)
    enough = (1 - _EXPLAINED) * float(off @ off)
    faults = [state for state in told.states if state not in (ACTIVE, ROUNDED, ROUNDED_BARE)]
    left = {state: float(np.sum(told.off(state) ** 2)) for state in faults}
    closest = min(left, key=left.__getitem__)
    if left[closest] <= enough:
        return _named(closest)
    scale, rest = _between_scales(told)
    if rest <= enough:
        return "scale", f"{scale:.2g}"
    parts = {state: _along(off, told.between(state)) for state in told.states if state.startswith(WITHOUT)}
    if not parts:  # as of an adapter of one module
        return None
    share, rest, state = min(((*part, state) for state, part in parts.items()), key=lambda each: each[1])
    return _named(state) if rest <= enough and share >= _PART else None


def _between_scales(told: _Told) -> tuple[float, float]:
    """(scale, what it leaves of the squared difference) of the nearest place on the line through all scales."""
    known = {float(state.removeprefix(SCALE)): state for state in told.states if state.startswith(SCALE)}
    line = sorted((known | {0.0: BARE, 1.0: ACTIVE}).items())
    found = []
    for (low, left), (high, right) in pairwise(line):
        share, rest = _along(told.off(left), told.between(right) - told.between(left))
        found.append((low + min(share, 1.0) * (high - low), rest))
    return min(found, key=lambda each: each[1])


def _along(off: np.ndarray, way: np.ndarray) -> tuple[float, float]:
    """(share of the way that is nearest, from 0 to 1; what it leaves of the squared difference)."""
    share = float(np.clip(off @ way / max(float(way @ way), 1e-12), 0.0, 1.0))
    return share, float(np.sum((off - share * way) ** 2))


def _named(state: str) -> tuple[Finding, str]:
    if state.startswith(SCALE):
        return "scale", state.removeprefix(SCALE)
    if state.startswith(WITHOUT):
        return "module", state.removeprefix(WITHOUT)
    return ("no_op", "") if state == BARE else ("rows", "")
