"""Malformed files of every kind the lab reads: each is read or refused by a LoRIError, in memory that its size allows.

`python -m benchmarks.fuzz --inputs 3000`; fuzz_files.py makes and mutates them. Each is read in a process of its own,
forked from one that has imported all, with an address space that ends 1 GiB beyond what may be needed.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.fuzz_files import mutate, originals
from benchmarks.record import RESULTS, record
from lori_core.assets import ASSETS
from lori_core.commands.listing import versions_list
from lori_core.commands.tables import adapter_table, entries_table, result_table, runs_table
from lori_core.config import TrainConfig
from lori_core.errors import LoRIError, Stopped
from lori_core.method.merge import merge
from lori_core.service.shelf import Shelf
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.diff import entries
from lori_core.storage.header import read_header
from lori_core.storage.mask_files import load_mask
from lori_core.storage.model_card import model_card
from lori_core.storage.peft import export_peft
from lori_core.storage.store import AdapterStore
from lori_core.storage.uploads import read_adapters, unpack
from lori_core.study.runs import Run, list_runs
from lori_core.study.specs import JOBS
from lori_core.tasks.own_files import columns, examine, keep_file
from lori_core.tasks.registry import load_task
from lori_core.tasks.task import Example
from lori_core.training.train import Hooks, train

ALLOWED = 100 * 10**6  # bytes of memory beside ten times the input's
SPARE = 2**30  # bytes of address space beyond them
PATIENCE = 120  # seconds after which an input counts as one that hangs, on a machine busy with others


@dataclass(frozen=True)
class Outcome:
    """Of one input. said: "read", key of the LoRIError, or what went wrong; memory: bytes that the process grew by."""

    number: int
    kind: str
    mutation: str
    said: str
    fault: bool
    size: int
    memory: int
    seconds: float


# --- readers: what the lab does with a folder of each kind


def _read_adapter(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        _use(path)


def _use(path: Path) -> None:
    """All that is done with an adapter's folder without a base."""
    entries_table(dict(entries(read_header(path)[0])), "en")
    adapter = load_adapter(path)
    adapter_table(adapter, path, "ja")
    model_card(adapter, "transformers")
    export_peft(adapter, path.with_name(f"out-{path.name}"))
    merge([adapter, adapter], "concat", [0.5, -0.5], "both")
    save_adapter(adapter, path.with_name(f"again-{path.name}"))


def _read_mask(folder: Path) -> None:
    load_mask(folder / "mask.safetensors")


def _read_peft(folder: Path) -> None:
    for suffix, adapter in read_adapters(folder / "in", "theirs").items():
        save_adapter(adapter, folder / f"saved{suffix}", "fp32")


def _read_zip(folder: Path) -> None:
    unpack([folder / "one.zip"], folder / "in")
    _read_peft(folder)


def _read_task(folder: Path) -> None:
    for path in sorted(folder.glob("a.*")):
        if path.suffix != ".parquet":
            columns(keep_file(path, folder / "data"))
        examine(load_task(f"t={path}"))
        load_task(f"t={path}?prompt=prompt&response=response&choices=choices&max_new_tokens=8")
        load_task(f"t={path}?template=Q:%20{{prompt}}&response=response&scorer=contains")


def _read_store(folder: Path) -> None:
    shelf = Shelf(folder, folder / "runs", folder)
    for entry in shelf.contents():
        if entry["reference"].startswith("store/") and not entry["wrong"]:
            shelf.show(entry["reference"])
    store = AdapterStore(folder)
    versions_list(store.versions(), "en")
    store.verify()
    store.load("math@best")
    store.tag("code", "new")


def _read_run(folder: Path) -> None:
    runs_table(list_runs(folder), "en")
    for path in folder.glob("*-merge-*"):
        run = Run.open(path)
        if run.state() == "finished":
            result_table(run, "en")
        if run.kind in JOBS:
            JOBS[run.kind](**run.config)


def _read_checkpoint(folder: Path) -> None:
    _train(folder / "train.checkpoint", lambda: False)


READERS: dict[str, Callable[[Path], None]] = {
    "adapter": _read_adapter,
    "mask": _read_mask,
    "peft": _read_peft,
    "published": _read_peft,
    "zip": _read_zip,
    "task": _read_task,
    "store": _read_store,
    "run": _read_run,
    "checkpoint": _read_checkpoint,
}


def _train(checkpoint: Path, should_stop: Callable[[], bool]) -> None:
    """Two steps of a tiny model; it goes on from the checkpoint where there is one."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(ASSETS / "base")
    sizes: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=1, **sizes))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.endswith("up_proj.weight"))
    config = TrainConfig(learning_rate=1e-3, steps=2, batch_size=1, checkpoint_every=1)
    train(model, tokenizer, [Example("a b", " c")], config, hooks=Hooks(should_stop=should_stop), checkpoint=checkpoint)


def _make_checkpoint(folder: Path) -> None:
    folder.mkdir()
    asked = iter((False, True))
    try:
        _train(folder / "train.checkpoint", lambda: next(asked, True))
    except Stopped:
        return


# --- one input, one process


def run(inputs: int, seed: int, kinds: list[str] | None = None) -> list[Outcome]:
    """Outcomes of so many inputs, kinds in turn, the first of each as it was; the same seed gives the same inputs."""
    kinds = kinds or list(READERS)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        folders = originals(root / "originals")
        folders["checkpoint"] = root / "originals" / "checkpoint"
        if "checkpoint" in kinds and os.fork() == 0:  # in a process of its own: torch's threads do not survive a fork
            _make_checkpoint(folders["checkpoint"])
            os._exit(0)
        if "checkpoint" in kinds:
            os.wait()
        outcomes = []
        for number in range(inputs):
            kind = kinds[number % len(kinds)]
            random = None if number < len(kinds) else Random(f"{seed} {number}")
            outcomes.append(_outcome(number, kind, folders[kind], root / "input", random))
        return outcomes


def _outcome(number: int, kind: str, original: Path, place: Path, random: Random | None) -> Outcome:
    """random: None: nothing is changed, and it has to be read."""
    shutil.copytree(original, place)
    try:
        mutation = mutate(place, random) if random else "none"
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        start = time.monotonic()
        said, fault, memory = _in_a_child(READERS[kind], place, size)
        if random is None and said != "read":
            fault = True
        if memory > 10 * size + ALLOWED:
            said, fault = f"{said}; {memory:,} bytes of memory", True
        return Outcome(number, kind, mutation, said, fault, size, memory, round(time.monotonic() - start, 3))
    finally:
        shutil.rmtree(place)


def _in_a_child(read: Callable[[Path], None], place: Path, size: int) -> tuple[str, bool, int]:
    """What it said, whether that is a fault, and by how many bytes it grew."""
    report, write = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(report)
        _answer(read, place, size, write)
    os.close(write)
    with open(report, "rb") as file:
        answer = file.read()
    status = os.waitpid(pid, 0)[1]
    if not answer:
        what = "hangs" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM else f"died: {status}"
        return what, True, 0
    return tuple(json.loads(answer))


def _answer(read: Callable[[Path], None], place: Path, size: int, write: int) -> None:
    """Never returns."""
    signal.alarm(PATIENCE)
    limit = _memory("VmSize") + 10 * size + ALLOWED + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = _memory("VmRSS")
    fault = False
    try:
        try:
            read(place)
            said = "read"
        except LoRIError as error:
            messages = [error.in_language(language) for language in ("en", "ja")]
            said, fault = error.key, max(map(len, messages)) > 3000
    except BaseException as error:
        frames = "".join(traceback.format_tb(error.__traceback__)[-3:])
        said, fault = f"{type(error).__name__}: {error}"[:300] + "\n" + frames, True
    answer = json.dumps([said, fault, _memory("VmHWM") - before])
    os.write(write, answer.encode()[:60_000])
    os._exit(0)


def _memory(what: str) -> int:
    """Bytes, from the kernel's account of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return 1024 * int(line.split()[1])
    raise KeyError(what)


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    by_kind: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        by_kind.setdefault(outcome.kind, Counter())["read" if outcome.said == "read" else "refused"] += 1
    slowest, largest = max(outcomes, key=lambda o: o.seconds), max(outcomes, key=lambda o: o.memory)
    return {
        "inputs": len(outcomes),
        "faults": [asdict(outcome) for outcome in outcomes if outcome.fault],
        "by_kind": by_kind,
        "said": dict(Counter(outcome.said for outcome in outcomes if not outcome.fault).most_common()),
        "slowest": asdict(slowest),
        "most_memory": asdict(largest),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=list(READERS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = summary(run(asked.inputs, asked.seed, asked.kind))
    config = {"inputs": asked.inputs, "seed": asked.seed, "kinds": asked.kind or list(READERS)}
    config |= {"date": time.strftime("%Y-%m-%d", time.gmtime()), "memory": f"10 x the input + {ALLOWED} bytes"}
    print(record("fuzz", config, found, asked.out))
    print(f"{found['inputs']} inputs, {len(found['faults'])} faults")
    sys.exit(bool(found["faults"]))


if __name__ == "__main__":
    main()
