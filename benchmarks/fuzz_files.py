"""Real files as the lab makes them, one folder a kind, and mutations of them: bytes, JSON, headers, kinds of file.

Checksums are made anew after most mutations, as somebody would who wants to get past them.
"""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from pyarrow import table
from pyarrow.parquet import write_table
from safetensors.torch import load_file, save

from lori_core.config import AdapterConfig
from lori_core.method.adapter import Adapter, blank
from lori_core.method.masks import random_masks
from lori_core.storage.adapter_files import save_adapter
from lori_core.storage.mask_files import Mask, save_mask
from lori_core.storage.peft import export_peft
from lori_core.storage.store import AdapterStore
from lori_core.study.runs import Run
from lori_core.study.specs import MergeJob

SHAPES = {"model.layers.0.self_attn.q_proj": (16, 8), "model.layers.1.mlp.up_proj": (24, 8)}
MASKS = random_masks({module: (out_features, 4) for module, (out_features, _) in SHAPES.items()}, 0.75, 0)
ROWS = [{"prompt": f"what is {n} ?", "response": ("owl", "oak")[n % 2], "choices": ["owl", "oak"]} for n in range(40)]

# Values that JSON of strangers may hold where another kind, or a number of another size, belongs.
ODD: list[Any] = [
    *(None, True, 0, -1, 1, 0.5, 2**31, 2**63, 10**30, 10**4000, 1e308, float("nan"), float("inf")),
    *("", "x", "x" * 5000, "\x00", "\x1b[2J", "\ud800", "計算", "../../x", "/dev/zero", "(a+)+b", ".*a" * 40, "self"),
    *([], {}, [1], ["x"], [[]], {"x": 1}, {"name": 1}, [{"name": None}], [2**40, 2**40]),
]


def originals(root: Path) -> dict[str, Path]:
    """kind -> a new folder that holds real files of it."""
    folders = {kind: root / kind for kind in MAKERS}
    for kind, make in MAKERS.items():
        folders[kind].mkdir(parents=True)
        make(folders[kind])
    return folders


def mutate(folder: Path, random: Random) -> str:
    """Changes files of the folder in place; returns what was done."""
    done = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        if not files:
            break
        file = random.choice(files)
        named = {".json": _json, ".jsonl": _json_line, ".safetensors": _header, ".zip": _entry}
        how = random.choice([named.get(file.suffix, _bytes)] * 3 + [_bytes] * 2 + [_kind])
        how(file, random)
        done.append(f"{how.__name__[1:]} of {file.relative_to(folder)}")
    if random.random() < 0.8:
        _seal(folder)
    return ", ".join(done)


# --- originals


def _adapter(name: str = "math", trained_projection: bool = False) -> Adapter:
    config = AdapterConfig(rank=4, sparsity=0.75, train_projection=trained_projection)
    adapter = blank(name, SHAPES, config, MASKS)
    for factors in adapter.factors.values():
        factors.values.uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    base = {"name": "org/base", "revision": None, "fingerprint": "f" * 64}
    score = {"task": name, "split": "test", "metric": "exact", "value": 0.5, "low": 0.4, "high": 0.6, "n": 20}
    train = {"steps": 8, "batch_size": 4, "learning_rate": 0.001, "seed": 0}
    record = {"task": name, "base": base, "train": train, "scores": [score], "parents": [{"name": "x", "id": "0" * 64}]}
    return Adapter(name, config, adapter.factors, record, adapter.drawn_from)


def _make_adapter(folder: Path) -> None:
    save_adapter(_adapter(), folder / "sparse")
    save_adapter(_adapter(trained_projection=True), folder / "lora", "fp32")


def _make_mask(folder: Path) -> None:
    save_mask(Mask(MASKS, {"task": "math"}), folder / "mask.safetensors")


def _make_peft(folder: Path) -> None:
    export_peft(_adapter(), folder / "in")
    path = folder / "in" / "adapter_config.json"
    patterns = {"rank_pattern": {"q_proj": 4}, "alpha_pattern": {r"layers\.1\..*_proj": 5, "^model.layers.0": 7.5}}
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | patterns), encoding="utf-8")


def _make_published(folder: Path) -> None:
    export_peft(_adapter(), folder / "in")
    (folder / "in" / "masks").mkdir()
    named = {f"base_model.model.{module}.lora_B.default.weight": mask for module, mask in MASKS.items()}
    torch.save(named, folder / "in" / "masks" / "0.9_mask.pt")


def _make_zip(folder: Path) -> None:
    _make_published(folder)
    with zipfile.ZipFile(folder / "one.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((folder / "in").rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    shutil.rmtree(folder / "in")


def _make_task(folder: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (folder / "a.jsonl").write_text(lines, encoding="utf-8")
    (folder / "a.json").write_text(json.dumps(ROWS), encoding="utf-8")
    cells = "".join(f'"{row["prompt"]}","{row["response"]}","[""owl"", ""oak""]"\n' for row in ROWS)
    (folder / "a.csv").write_text("prompt,response,choices\n" + cells, encoding="utf-8")
    write_table(table({name: [row[name] for row in ROWS] for name in ROWS[0]}), folder / "a.parquet")


def _make_store(folder: Path) -> None:
    store = AdapterStore(folder)
    for name in ("math", "math", "code"):
        store.save(_adapter(name))
    store.tag("math@1", "best")


def _make_run(folder: Path) -> None:
    job = MergeJob(adapters=("one", "two"), weights=(0.5, 0.5))
    run = Run.create(folder, "merge", job.model_dump(mode="json"))
    with run.start():
        for step in range(1, 20):
            run.emit({"kind": "step", "stage": "train", "step": step, "steps": 20, "loss": 1 / step})
    run.save_result(json.dumps({"merge": {"method": "concat", "weights": [0.5, 0.5], "error": 0.0}}))


# The checkpoint's folder is made by fuzz.py, which has a model to train.
MAKERS: dict[str, Callable[[Path], None]] = {
    "adapter": _make_adapter,
    "mask": _make_mask,
    "peft": _make_peft,
    "published": _make_published,
    "zip": _make_zip,
    "task": _make_task,
    "store": _make_store,
    "run": _make_run,
}


# --- mutations


def changed_bytes(data: bytes, random: Random) -> bytes:
    """Flipped, cut, doubled, or with something in between."""
    start, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
    match random.randrange(5):
        case 0:
            flipped = bytearray(data)
            for _ in range(random.choice((1, 8))):
                if flipped:
                    flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
            return bytes(flipped)
        case 1:
            return data[:start]
        case 2:
            return data[:start] + data[end:]
        case 3:
            return data[:end] + data[start:]
    return data[:start] + random.choice((b"\0" * 64, b"\xff", b'"', b"[" * 50_000, random.randbytes(32))) + data[start:]


def changed_value(value: Any, random: Random) -> Any:
    """A JSON value with one of its parts replaced, renamed, doubled or left out."""
    if not isinstance(value, dict | list) or not value or random.random() < 0.15:
        return random.choice(ODD)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = random.choice(keys)
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    if random.random() < 0.75:
        copy[key] = changed_value(value[key], random)
    elif random.random() < 0.5:
        del copy[key]
    elif isinstance(copy, dict):
        copy[random.choice([str(each) for each in ODD if each != 10**4000])] = copy[key]
    else:
        copy.append(copy[key])
    return copy


def _bytes(path: Path, random: Random) -> None:
    path.write_bytes(changed_bytes(path.read_bytes(), random))


def _kind(path: Path, random: Random) -> None:
    """Another kind of file in its place, or none."""
    path.unlink()
    makers = (Path.mkdir, os.mkfifo, lambda p: p.symlink_to("/dev/zero"), Path.touch, lambda p: None)
    random.choice(makers)(path)


def _json(path: Path, random: Random) -> None:
    path.write_bytes(_changed_json(path.read_bytes(), random))


def _json_line(path: Path, random: Random) -> None:
    lines = path.read_bytes().split(b"\n")
    place = random.randrange(len(lines))
    lines[place] = _changed_json(lines[place], random)
    path.write_bytes(b"\n".join(lines))


def _changed_json(data: bytes, random: Random) -> bytes:
    try:
        content = json.loads(data)
        if isinstance(content, dict) and "record" in content and random.random() < 0.5:  # the part that is free
            content["record"] = changed_value(content["record"], random)
        else:
            content = changed_value(content, random)
        text = json.dumps(content, ensure_ascii=random.random() < 0.5, indent=1)
    except (ValueError, RecursionError):  # an earlier mutation left no JSON
        return changed_bytes(data, random)
    return text.encode("utf-8", "surrogatepass")


def _header(path: Path, random: Random) -> None:
    """Of a safetensors file."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = _changed_json(data[8 : 8 + size], random)
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + size :])


def _entry(path: Path, random: Random) -> None:
    """Of a zip archive: its bytes, or its name."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    except Exception:  # an earlier mutation left no archive
        return
    name = random.choice(sorted(entries))
    if random.random() < 0.7:
        entries[name] = changed_bytes(entries[name], random)
    else:
        entries[random.choice((".", "/x", "../x", "in/../x", "in/./adapter_config.json", "x" * 5000, "in/"))] = b"x"
    kind = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def _seal(folder: Path) -> None:
    """The checksums of adapters, masks and checkpoints again, where there still is something to sum up."""
    for path in filter(Path.is_file, sorted(folder.rglob("*"))):
        try:
            if path.name == "adapter.json" and (tensors := path.parent / "lori.safetensors").is_file():
                content = json.loads(path.read_bytes())
                content["tensors"] = _sha256(tensors.read_bytes())
                content.pop("checksum", None)
                content["checksum"] = _sha256(json.dumps(content).encode())
                path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
            elif path.name == "mask.safetensors":
                size = int.from_bytes(path.read_bytes()[:8], "little")
                text = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]["lori_mask"]
                path.write_bytes(save(load_file(path), {"lori_mask": text, "checksum": _sha256(text.encode())}))
            elif path.suffix == ".checkpoint":
                content = path.read_bytes()[32:]
                path.write_bytes(hashlib.sha256(content).digest() + content)
        except Exception:  # it is past that
            continue


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
