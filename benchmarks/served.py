"""Check of served adapters: right ones called wrong, faults found, and llama.cpp beside PyTorch.

python -m benchmarks.served [right] [verdicts] [llama_cpp]

right, verdicts: the ready-made adapters of both bases, "served" by the base with its weights as they are, in 16 bits,
and in llama.cpp's formats of 8, 5 and 4 bits; whole, and in the second with every fault that a proof knows. llama_cpp:
a real llama.cpp with SmolLM2's GGUF and exported LoRA GGUFs, beside the same adapters in PyTorch, over 20 prompts.
"""

import argparse
import copy
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import gguf
import torch
from gguf.quants import dequantize, quantize
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks.adapters import TASKS
from benchmarks.record import record_part
from lori_core.bases.attach import applied
from lori_core.bases.load import Base, load_base
from lori_core.bases.merged_gguf import write_base_gguf
from lori_core.bases.source import source_of
from lori_core.bases.targets import linear_shapes
from lori_core.embedded.ready_made import Variant, ready_made
from lori_core.evaluation.answers import stream_answer
from lori_core.lessons.real_rows import real_tasks
from lori_core.method.adapter import Adapter
from lori_core.serving.faults import ACTIVE, BARE, served_states
from lori_core.serving.proof import PROMPTS, Probe, Proof, next_log_probs, prove
from lori_core.serving.verdict import Seen, Verdict, judge, tells
from lori_core.storage.gguf_lora import LORA_FILE, export_gguf_lora
from lori_core.tasks.encode import encode_prompt
from lori_core.tasks.registry import load_task

REAL = tuple(task.name for task in real_tasks())
VARIANTS: tuple[Variant, ...] = ("lori_s", "lori_s_conditioned")
FORMATS = {name: gguf.GGMLQuantizationType[name] for name in ("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0")}
PRECISIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "fp32": lambda W: W,
    "bf16": lambda W: W.bfloat16().float(),
    "fp16": lambda W: W.half().float(),
    **{
        name: lambda W, kind=kind: torch.from_numpy(dequantize(quantize(W.numpy(), kind), kind).copy())
        for name, kind in FORMATS.items()
    },
}
WITH_FAULTS = ("fp32", "Q8_0", "Q4_0")
WRONG = (0.2, 0.5)  # noise in the weights of another base, of their standard deviation; rounding to 4 bits is some 0.1
NOTHING = 0.02  # nats; a fault of less is one to nobody
TOKENS = 32  # of a greedy answer


def cases() -> Iterator[tuple[str, Base, Adapter, Proof]]:
    """Adapters with their proofs, over prompts of their own task where the usual ones tell nothing."""
    for name, tasks in (("embedded", TASKS), ("smollm2", REAL)):
        base = load_base(name, device="cpu", dtype="fp32")
        for task in tasks:
            rows = load_task(task).examples("validation") if name == "embedded" else ()
            asked = [row.prompt for row in rows[: len(PROMPTS)]] or PROMPTS
            for variant in VARIANTS:
                adapter = ready_made(task, variant)
                yield name, base, adapter, prove(base, adapter, asked)


def in_precision(base: Base, change: Callable[[Tensor], Tensor]) -> PreTrainedModel:
    """The model with its linear maps changed, but the output head."""
    model = copy.deepcopy(base.model)
    for module in linear_shapes(model):
        weight = model.get_submodule(module).get_parameter("weight")
        weight.data = change(weight.data).contiguous()
    return model


def told(model: PreTrainedModel, base: Base, probes: Sequence[Probe]) -> list[tuple[Probe, Seen]]:
    nats = next_log_probs(model, [encode_prompt(base.tokenizer, probe.prompt) for probe in probes])
    return [(p, Seen({number: float(row[number]) for number in p.ids})) for p, row in zip(probes, nats, strict=True)]


def judged(
    model: PreTrainedModel, base: Base, proof: Proof, adapters: Iterable[Adapter | None]
) -> Iterator[dict[str, Verdict]]:
    """For each adapter, None: a server without, the verdict where the bare base can be asked, and where it cannot."""
    probes = [probe for probe in proof.probes if not probe.chat]
    bare = told(model, base, probes)
    for adapter in adapters:
        with applied(model, adapter) if adapter else nullcontext():
            seen = told(model, base, probes)
        yield {"asked": judge(seen, bare), "not_asked": judge(seen)}


def verdicts(with_faults: Sequence[str] = WITH_FAULTS) -> dict[str, Any]:
    """base -> of right adapters and of faults by precision and door: how many there are, and what was said.

    Args:
        with_faults: precisions in which faults are served too.
    """
    found: dict[str, Any] = {}
    models: dict[tuple[str, str], PreTrainedModel] = {}
    for name, base, adapter, proof in cases():
        here = found.setdefault(name, {"untold": 0, "right": {}, "faults": {}, "wrong_base": {}})
        if not tells(proof):
            here["untold"] += 1
            continue
        for precision, change in PRECISIONS.items():
            if (name, precision) not in models:
                models[name, precision] = in_precision(base, change)
            model = models[name, precision]
            states: dict[str, Adapter | None] = {ACTIVE: adapter}
            if precision in with_faults:
                states |= {BARE: None} | dict(served_states(adapter, base.model.config))
            for state, each in zip(states, judged(model, base, proof, states.values()), strict=True):
                for door, verdict in each.items():
                    where = f"{precision} {door}"
                    if state == ACTIVE:
                        here["right"].setdefault(where, Counter())[verdict.finding] += 1
                    else:
                        counts = here["faults"].setdefault(where, {}).setdefault(_kind(state), Counter())
                        counts[_told_right(state, verdict)] += 1
        for size in WRONG:
            if (name, str(size)) not in models:
                models[name, str(size)] = in_precision(base, partial(_noisy, size=size))
            (other,) = judged(models[name, str(size)], base, proof, [adapter])
            for door, verdict in other.items():
                here["wrong_base"].setdefault(f"{size} {door}", Counter())[verdict.finding] += 1
        print(name, adapter.name, flush=True)
    return found


def _noisy(W: Tensor, size: float) -> Tensor:
    return W + size * W.std() * torch.randn(W.shape, generator=torch.Generator().manual_seed(1))


def _kind(state: str) -> str:
    return "single module" if "_proj" in state and "layers" in state else state.split()[0]


def _told_right(state: str, verdict: Verdict) -> str:
    """Whether a fault is found, and found by its name."""
    if verdict.off < NOTHING:
        return "changes nothing"
    named = f"{verdict.finding} {verdict.detail}".strip()
    right = {
        "scale": f"scale {state.split()[-1]}",
        "without": f"module {state.removeprefix('without ')}",
        BARE: "no_op",
    }
    if named == right.get(state.split()[0], "rows"):
        return "named"
    return "missed" if verdict.active else "untold" if verdict.finding == "untold" else "found"


# --- llama.cpp beside PyTorch


def prompts(name: str) -> list[str]:
    """The rows of one data set that the lessons use: five."""
    return next([row.prompt for row in task.examples("test")[:5]] for task in real_tasks() if task.name == name)


def llama_cpp() -> dict[str, Any]:
    """File of the base -> by prompt: whether the greedy answers are the same, how far log-probabilities are apart.

    The file that the base comes in has 4 bits, with which llama.cpp multiplies activations of 8 bits; one in fp32 has
    the weights that PyTorch has.
    """
    base = load_base("smollm2", device="cpu", dtype="fp32")
    source, options = source_of("smollm2")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.gguf"
        write_base_gguf(base, whole)
        for file, model in (("Q4_1", Path(source, options["gguf_file"])), ("fp32", whole)):
            rows = [row for task in REAL for row in _beside(base, model, task, Path(folder) / f"{file}-{task}")]
            same = {what: sum(row[what] for row in rows) for what in ("same_text", "same_first_token")}
            found[file] = {"prompts": len(rows), **same, "largest_rms": max(row["rms"] for row in rows), "rows": rows}
            print(file, {key: value for key, value in found[file].items() if key != "rows"}, flush=True)
    return found


def _beside(base: Base, model: Path, task: str, folder: Path) -> Iterator[dict[str, Any]]:
    adapter = ready_made(task, "lori_s")
    export_gguf_lora(adapter, base.model.config, folder)
    served, alone = _Server(model, folder / LORA_FILE), _Server(model, None)
    for prompt in prompts(task):
        ids = encode_prompt(base.tokenizer, prompt)
        with applied(base.model, adapter):
            ours = next_log_probs(base.model, [ids])[0]
            *_, text = stream_answer(base.model, base.tokenizer, prompt, TOKENS)
        bare = next_log_probs(base.model, [ids])[0]
        theirs = served.log_probs(ids, len(ours))
        yield {
            "task": task,
            "same_text": served.text(ids) == text,
            "same_first_token": bool(ours.argmax() == theirs.nan_to_num(-torch.inf).argmax()),
            "rms": _rms(ours, theirs),
            "rms_bare": _rms(bare, alone.log_probs(ids, len(ours))),
            "rms_of_the_adapter": _rms(ours, bare),
        }


def _rms(ours: Tensor, theirs: Tensor) -> float:
    """Over the hundred likeliest tokens, nats."""
    likeliest = ours.topk(100).indices
    return float((ours - theirs)[likeliest].nan_to_num(0.0).square().mean().sqrt())


class _Server:
    """A llama.cpp in this process."""

    def __init__(self, model: Path, lora: Path | None) -> None:
        xllamacpp: Any = import_module("xllamacpp")
        given = xllamacpp.CommonParams()
        given.model.path, given.n_ctx, given.port, given.warmup, given.verbosity = str(model), 512, 0, False, -1
        given.cpuparams.n_threads = 1
        if lora is not None:
            given.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(lora), 1.0)]
        self._server = xllamacpp.Server(given)

    def log_probs(self, ids: Sequence[int], vocabulary: int) -> Tensor:
        """(vocabulary,) nats of the token that follows; NaN: not told."""
        asked = {"prompt": list(ids), "max_tokens": 1, "temperature": 0, "logprobs": vocabulary, "ignore_eos": True}
        (first,) = self._server.handle_completions(asked | {"cache_prompt": False})["choices"][0]["logprobs"]["content"]
        found = torch.full((vocabulary,), torch.nan)
        for each in first["top_logprobs"]:
            found[each["id"]] = each["logprob"]
        return found

    def text(self, ids: Sequence[int]) -> str:
        """Of the likeliest tokens."""
        asked = {"prompt": list(ids), "max_tokens": TOKENS, "temperature": 0, "cache_prompt": False}
        return str(self._server.handle_completions(asked)["choices"][0]["text"])


PARTS: dict[str, Callable[[], Any]] = {"right": partial(verdicts, ()), "verdicts": verdicts, "llama_cpp": llama_cpp}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    for part in parser.parse_args().parts or PARTS:
        settings = {"formats": list(PRECISIONS), "tokens": TOKENS}
        print(part, "written", record_part("served", part, PARTS[part](), settings), flush=True)


if __name__ == "__main__":
    main()
