"""Makes the locks from requirements.txt: all that it needs, on every system, with checksums of all files.

    python .ci/lock.py        needs uv (pip install uv); versions that are locked already stay where they can

requirements.lock has all but torch; requirements-torch.lock has torch and what it needs for CUDA on Linux, some GB;
requirements-torch-cpu.lock is written by hand.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
OTHERS, TORCH = ROOT / "requirements.lock", ROOT / "requirements-torch.lock"
OF_TORCH = re.compile(r"torch==|(nvidia|cuda)-|triton==")
HEAD = "# Made by `make lock` from requirements.txt; installed with --require-hashes.\n"
OPTIONS = ["--universal", "--generate-hashes", "--no-header", "--no-annotate", "--python-version", "3.11"]


def main() -> None:
    together = ROOT / ".lock.tmp"
    together.write_text("".join(path.read_text() for path in (OTHERS, TORCH) if path.exists()))
    try:
        command = ["uv", "pip", "compile", "--quiet", *OPTIONS, "requirements.txt", "--output-file", together.name]
        subprocess.run(command, cwd=ROOT, check=True)
        packages = re.split(r"^(?=\w)", together.read_text(), flags=re.MULTILINE)[1:]
    finally:
        together.unlink()
    TORCH.write_text(HEAD + "".join(package for package in packages if OF_TORCH.match(package)))
    OTHERS.write_text(HEAD + "".join(package for package in packages if not OF_TORCH.match(package)))


if __name__ == "__main__":
    main()
