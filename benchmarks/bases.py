"""Other bases than the shipped one, for what depends on it: how much it knows of the tasks, and its own seed.

`python -m benchmarks.bases NAME` makes one in build/bases/NAME, resumable; `--device cuda --workers 4` does it on a GPU
in minutes. What the methods do on each is measured by `python -m benchmarks.dials base NAME`.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from lori_core.embedded.__main__ import make
from lori_core.embedded.pretrain import Recipe

RECIPES = {
    "shipped": Recipe(),
    "nothing_known": Recipe(wanted=0.0),  # the tasks' own answers are never read: adapters have to teach them
    "little_known": Recipe(wanted=0.02),
    "other_seed": Recipe(seed=1),
}
BASES = Path("build/bases")


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.bases", description=__doc__)
    arguments.add_argument("name", choices=RECIPES)
    arguments.add_argument("--steps", type=int, default=Recipe.steps)
    arguments.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments.add_argument("--workers", type=int, default=1, help="processes that write the corpus")
    given = arguments.parse_args()
    recipe = replace(RECIPES[given.name], steps=given.steps)
    make(recipe, BASES / f"{given.name}.work", BASES / given.name, given.device, given.workers)


if __name__ == "__main__":
    main()
