"""Other bases than the shipped one, for what depends on it: how much it knows of the tasks, and its own seed.

`python -m benchmarks.bases NAME` makes one in build/bases/NAME, in about 40 minutes on a core, resumable. What the
methods do on each is measured by `python -m benchmarks.methods --base build/bases/NAME`.
"""

import argparse
from pathlib import Path

from lori_core.embedded.__main__ import make
from lori_core.embedded.pretrain import Recipe

RECIPES = {
    "nothing_known": Recipe(wanted=0.0),  # the tasks' own answers are never read: adapters have to teach them
    "little_known": Recipe(wanted=0.02),
    "other_seed": Recipe(seed=1),
}
BASES = Path("build/bases")


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.bases", description=__doc__)
    arguments.add_argument("name", choices=RECIPES)
    name = arguments.parse_args().name
    make(RECIPES[name], BASES / f"{name}.work", BASES / name)


if __name__ == "__main__":
    main()
