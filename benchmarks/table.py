"""Tables of the README and docs/measured.md: `python -m benchmarks.table [en | ja]`

table(), from results/methods.json and footprints.json: what is merged under a conditioned A is merged at weight 1, the
others at the weight that was best on validation. real_table(), real_seeds_table() and real_sequence_table(), from
results/real.json: held-out loss on SmolLM2-135M. merge_table(), from results/merge_methods.json.
sequence_table(), from results/sequences_at_equal_learning.json.
"""

import sys
from typing import Any

from benchmarks.real import WAYS
from benchmarks.record import RESULTS, results_of

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
        "real": "held-out loss, gain over the base, % (95 % interval)",
        "real_seeds": "the same, each seed, %",
        "alone": "alone, of LoRA's",
        "whole": "merged at weight 1, of alone",
        "searched": "at its best weight",
        "removal": "by removal at weight 1",
        "worst": "worst task",
        "real_sequence": "safety → math → code → nlu, gain in held-out loss, % (95 % interval)",
        "kept_in_the_end": "old tasks kept in the end",
        "new_learned": "new tasks learned, of LoRA's alone",
        "beside": "{method}, conditioned A, earlier adapters beside",
        "old_kept": "old tasks kept in the end, %, where the new ones reach",
        "lori_s_continued": "LoRI-S, masks continued",
        "lori_s_own_run": "LoRI-S, masks of their own runs (official code)",
        "merged_alone": "alone, unmerged",
        "core_ties": "TIES in the core",
        "core_magnitude": "magnitude in the core",
        "core_dare": "DARE in the core",
        "compress_then_merge": "compress-then-merge (rank 32)",
        "concat_each_kind": "concat, a weight for each task and kind of module",
        "merge_removal": "**removal, weight 1 for all, not searched**",
        "merges": "score of four tasks merged, mean (worst), %",
        "three_seeds": "{method}, three seeds",
    },
    "ja": {
        "head": "スコア（%、3 シード）",
        "mean": "平均",
        "of_lora": "対 LoRA",
        "merged": "マージ後",
        "parameters": "学習する値",
        "bytes": "ファイル（kB）",
        "untaught": "学習前のベース",
        "shared": "LoRI-D、A を共有（対照条件）",
        "conditioned": "{method}、条件付き A",
        "real": "評価用データの損失の改善、%（95 % 信頼区間）",
        "real_seeds": "同じ値、シードごと、%",
        "alone": "単独、対 LoRA",
        "whole": "マージ係数 1 でマージ、対 単独",
        "searched": "最良のマージ係数で",
        "removal": "removal でマージ係数 1",
        "worst": "最悪のタスク",
        "real_sequence": "safety → math → code → nlu、評価用データの損失の改善、%（95 % 信頼区間）",
        "kept_in_the_end": "順次学習の終わりに、以前のタスクが保つ割合",
        "new_learned": "新しいタスクの学習、対 単独の LoRA",
        "beside": "{method}、条件付き A、以前のアダプターを横に固定",
        "old_kept": "新しいタスクが次のスコアに達したときに、以前のタスクが保つ割合（%）",
        "lori_s_continued": "LoRI-S、マスクは続きから",
        "lori_s_own_run": "LoRI-S、マスクは各タスク単独の学習から（公式コード）",
        "merged_alone": "単独（マージなし）",
        "core_ties": "コア空間の TIES",
        "core_magnitude": "コア空間の magnitude",
        "core_dare": "コア空間の DARE",
        "compress_then_merge": "compress-then-merge（ランク 32）",
        "concat_each_kind": "concat、タスクとモジュールの種類ごとのマージ係数",
        "merge_removal": "**removal、マージ係数はすべて 1（探索なし）**",
        "merges": "四つのタスクをマージしたスコア、平均（最悪）、%",
        "three_seeds": "{method}、3 シード",
    },
}


def table(language: str) -> str:
    """Rows: the untaught base and each variant; columns: tasks, mean with 95 % interval over seeds, merged, cost."""
    results = results_of(RESULTS / "methods.json")
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
    designed = results_of(RESULTS / "footprints.json")["designed"]
    for method, found in designed.items():
        name = words["conditioned"].format(method=LABELS[method])
        lines.append(_row(name, _cells(tasks, found["single"], found, found["merged"])))
    return "\n".join(lines)


def real_table(language: str, seed: int = 0) -> str:
    """Rows: variants; columns: of what LoRA gains each alone, and what merges keep of that, mean and worst task."""
    results = results_of(RESULTS / "real.json")
    words, intervals = WORDS[language], results["intervals"][str(seed)]
    heads = [cell for way in WAYS for cell in (words[way], words["worst"])]
    lines = [f"| {words['real']} | " + " | ".join([words["alone"], *heads]) + " |", "|---" * (len(heads) + 2) + "|"]
    for variant, ends in intervals["of_lora"].items():
        summed = results["by_seed"][str(seed)][variant]
        cells = [_between(summed["of_lora"], ends)]
        for way, (unit, where) in WAYS.items():
            found = summed.get(way)
            kept = intervals["kept"].get(f"{unit}-{variant}-{seed} {where}")
            cells += [_between(found[each], kept[each]) if found and kept else "" for each in ("mean", "worst")]
        lines.append(_row(_label(variant, words["conditioned"]), cells))
    return "\n".join(lines)


def real_seeds_table(language: str) -> str:
    """The same seed by seed, of the variants whose merges more than one seed has."""
    results = results_of(RESULTS / "real.json")
    words, ways = WORDS[language], ("whole", "searched")
    heads = [cell for way in ways for cell in (words[way], words["worst"])]
    lines = [_row(words["real_seeds"], [words["alone"], *heads]), "|---" * (len(heads) + 2) + "|"]
    columns = ["of_lora", *(f"{way}_{part}" for way in ways for part in ("mean", "worst"))]
    for variant, found in ((v, f) for v, f in results["over_seeds"].items() if "whole_mean" in f):
        cells = [", ".join(map(_percent, found[each]["seeds"])) if each in found else "" for each in columns]
        lines.append(_row(_label(variant, words["conditioned"]), cells))
    return "\n".join(lines)


def real_sequence_table(language: str, seed: int = 0) -> str:
    """Rows: variants whose sequence was measured; columns: what old tasks keep, the worst, and what new ones reach."""
    results = results_of(RESULTS / "real.json")
    words, columns = WORDS[language], {"old_kept": "kept_in_the_end", "worst": "worst", "new_learned": "new_learned"}
    lines = [
        _row(words["real_sequence"], [words[each] for each in columns.values()]),
        "|---" * (len(columns) + 1) + "|",
    ]
    for variant, ends in results["intervals"][str(seed)]["sequence"].items():
        found = results["by_seed"][str(seed)][variant]["sequence"]
        cells = [_between(found[each], ends[each]) for each in columns]
        lines.append(_row(_label(variant, words["beside"]), cells))
    return "\n".join(lines)


def sequence_table(language: str) -> str:
    """Rows: ways to learn in sequence; columns: new-task scores that all of them reach, but for the lowest."""
    words, results = WORDS[language], results_of(RESULTS / "sequences_at_equal_learning.json")
    found = results["at_equal_learning"]
    levels = [f"{_percent(level)} %" for level in found["new_learned"][1:]]
    lines = [_row(words["old_kept"], levels), "|---" * (len(levels) + 1) + "|"]
    for variant, kept in found["old_kept"].items():
        lines.append(_row(LABELS.get(variant) or words[variant], [_with_interval(each) for each in kept[1:]]))
    return "\n".join(lines)


# row of merge_methods.json -> its key in WORDS, or the name that it has in every language
MERGES = {
    "alone": "merged_alone",
    "concat": "concat",
    "ties": "TIES",
    "core_ties": "core_ties",
    "core_magnitude": "core_magnitude",
    "core_dare": "core_dare",
    "knots_ties": "KnOTS-TIES",
    "tsv_m": "TSV-M",
    "iso_c": "Iso-C",
    "pico": "Pico",
    "compress_then_merge": "compress_then_merge",
    "wudi": "WUDI",
    "concat_each_kind": "concat_each_kind",
    "removal": "merge_removal",
}


def merge_table(language: str) -> str:
    """Rows: merge methods; columns: ready-made adapters of four tasks, then a conditioned A over three seeds."""
    results = results_of(RESULTS / "merge_methods.json")
    words, ready, kinds = WORDS[language], ("lora", "lori_d", "lori_s"), ("lori_d conditioned", "lori_s conditioned")
    three = [words["three_seeds"].format(method=_label(each.replace(" ", "_"), words["conditioned"])) for each in kinds]
    lines = [_row(words["merges"], [*(LABELS[each] for each in ready), *three]), "|---" * 6 + "|"]
    for how, name in MERGES.items():
        single = [results["sets"][each]["nlu+math+code+safety"][how] for each in ready]
        cells = [f"{_percent(row['mean'])} ({100 * row['worst']:.0f})" for row in single]
        for row in (results["over_seeds"][kind].get(how) for kind in kinds):
            cells.append(f"{_with_interval(row['mean'])} ({100 * row['worst']['mean']:.0f})" if row else "")
        lines.append(_row(words.get(name, name), cells))
    return "\n".join(lines)


def _label(variant: str, conditioned: str) -> str:
    """conditioned: the words for a variant with a conditioned A."""
    method = LABELS[variant.removesuffix("_conditioned")]
    return conditioned.format(method=method) if variant.endswith("_conditioned") else method


def _between(value: float, ends: list[float]) -> str:
    low, high = map(_percent, ends)
    return _percent(value) if low == high else f"{_percent(value)} ({low} – {high})"


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
    asked = sys.argv[1] if len(sys.argv) > 1 else "en"
    made = (table, merge_table, real_table, real_seeds_table, real_sequence_table, sequence_table)
    print(*(each(asked) for each in made), sep="\n\n")
