"""Table of scores in the README, from results/methods.json and footprints.json: `python -m benchmarks.table [en | ja]`

What is merged under a conditioned A is merged at weight 1, the others at the weight that was best on validation.
"""

import json
import sys
from typing import Any

from benchmarks.record import RESULTS

LABELS = {"lora": "LoRA", "lori_d": "LoRI-D", "lori_s": "LoRI-S"}
WORDS = {
    "en": {
        "head": "score, % (three seeds)",
        "mean": "mean",
        "of_lora": "of LoRA",
        "merged": "merged",
        "parameters": "trained values",
        "bytes": "file, kB",
        "untaught": "untaught base",
        "shared": "LoRI-D, one shared A (control)",
        "conditioned": "{method}, conditioned A",
    },
    "ja": {
        "head": "スコア(%、3 シード)",
        "mean": "平均",
        "of_lora": "対 LoRA",
        "merged": "マージ後",
        "parameters": "学習する値",
        "bytes": "ファイル (kB)",
        "untaught": "学習前のベース",
        "shared": "LoRI-D、A を共有(対照)",
        "conditioned": "{method}、条件付き A",
    },
}


def table(language: str) -> str:
    """Rows: the untaught base and each variant; columns: tasks, mean with 95 % interval over seeds, merged, cost."""
    results = json.loads((RESULTS / "methods.json").read_text(encoding="utf-8"))["results"]
    words, tasks = WORDS[language], list(results["untaught"])
    keys = ("mean", "of_lora", "merged", "parameters", "bytes")
    lines = [
        f"| {words['head']} | " + " | ".join([*tasks, *(words[key] for key in keys)]) + " |",
        "|---|" + "---|" * (len(tasks) + len(keys)),
        _row(words["untaught"], [_percent(results["untaught"][task]["value"]) for task in tasks] + [""] * len(keys)),
    ]
    for variant, single in results["single"].items():
        name = words["shared"] if variant.endswith("_shared") else LABELS[variant]
        lines.append(_row(name, _cells(tasks, single, single, results["merged"][variant])))
    designed = json.loads((RESULTS / "footprints.json").read_text(encoding="utf-8"))["results"]["designed"]
    for method, found in designed.items():
        name = words["conditioned"].format(method=LABELS[method])
        lines.append(_row(name, _cells(tasks, found["single"], found, found["merged"])))
    return "\n".join(lines)


def _cells(tasks: list[str], single: dict[str, Any], cost: dict[str, Any], merged: dict[str, Any]) -> list[str]:
    scores = [_percent(single[task]["mean"]) for task in tasks]
    shares = [_with_interval(each) for each in (single["mean"], cost["of_lora"], merged["mean"])]
    return [*scores, *shares, f"{cost['trained_parameters']:,}", f"{cost['file_bytes'] / 1000:.0f}"]


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _with_interval(over_seeds: dict[str, Any]) -> str:
    return f"{_percent(over_seeds['mean'])} ± {_percent(over_seeds['plus_minus'])}"


if __name__ == "__main__":
    print(table(sys.argv[1] if len(sys.argv) > 1 else "en"))
