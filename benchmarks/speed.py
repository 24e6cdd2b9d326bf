"""Steps, memory and the work around them beside PEFT's and the official way, on one core and without a download.

python -m benchmarks.speed [PART ...]     all parts, or those named; results/speed.json keeps the others' last figures

The result is written after each part of speed_parts.py, with the commit that was measured.
"""

import argparse
import json
import os
import time

import torch

from benchmarks.record import RESULTS, commit, record, results_of
from benchmarks.speed_parts import CONFIG, PARTS, RANK, SPARSITY, TOKENS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    given = parser.parse_args()
    if unknown := set(given.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    results = results_of(RESULTS / "speed.json")
    settings = {"model": CONFIG.to_diff_dict(), "rank": RANK, "sparsity": SPARSITY, "tokens": TOKENS, "threads": 1}
    settings["bf16_arithmetic"] = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # else bf16 is emulated
    for name in given.parts or PARTS:
        start = time.perf_counter()
        found = PARTS[name]()
        results[name] = {"commit": commit(), "part_seconds": round(time.perf_counter() - start, 1), "found": found}
        record("speed", settings, {part: results[part] for part in PARTS if part in results})
        print(json.dumps({name: results[name]}), flush=True)


if __name__ == "__main__":
    main()
