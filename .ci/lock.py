"""Makes requirements.lock from requirements.txt: all that it needs, on every system, with checksums of all files.

    python .ci/lock.py        needs uv (pip install uv); versions that are locked already stay where they can

What torch's builds with CUDA need on Linux is some GB, so it goes into a file of its own, requirements-cuda.lock; its
builds without CUDA need nothing of it, and have the same version but other checksums.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALL, CUDA = ROOT / "requirements.lock", ROOT / "requirements-cuda.lock"
OF_CUDA = re.compile(r"(nvidia|cuda)-|triton\b")
WITHOUT_CUDA = {  # package==version -> checksums of files that only indexes of builds without CUDA have
    "torch==2.13.0": ["6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"],  # Linux x86_64, Python 3.11
}
HEAD = "# Made by `make lock` from requirements.txt{why}; installed with --require-hashes.\n"


def main() -> None:
    together = ROOT / ".lock.tmp"
    together.write_text("".join(path.read_text() for path in (ALL, CUDA) if path.exists()))
    options = ["--universal", "--generate-hashes", "--no-header", "--no-annotate", "--python-version", "3.11"]
    try:
        command = ["uv", "pip", "compile", "--quiet", *options, "requirements.txt", "--output-file", together.name]
        subprocess.run(command, cwd=ROOT, check=True)
        packages = re.split(r"^(?=\w)", together.read_text(), flags=re.MULTILINE)[1:]
    finally:
        together.unlink()
    of_cuda = [package for package in packages if OF_CUDA.match(package)]
    others = [with_all_builds(package) for package in packages if package not in of_cuda]
    ALL.write_text(HEAD.format(why="") + "".join(others))
    CUDA.write_text(HEAD.format(why=": what torch with CUDA needs beside requirements.lock") + "".join(of_cuda))


def with_all_builds(package: str) -> str:
    more = WITHOUT_CUDA.get(package.split()[0], [])
    return package.rstrip("\n") + "".join(f" \\\n    --hash=sha256:{digest}" for digest in more) + "\n"


if __name__ == "__main__":
    main()
