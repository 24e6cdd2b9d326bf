"""Copies to work in: `python -m notebooks.working_copies`, which `make notebooks` calls.

    my/en/02_why_a_random_a.ipynb        a copy of student/en's, written once: what is there is never touched again
    my/pages/en/00_index.ipynb           a page of the teacher's pack: it holds no answers, so it is always the newest

Links of the pages, which lead into student/ where the repository is read, lead to the copies here. my/ is not part of
the repository; jupyter/jupyter_server_config.json keeps what it was made from out of JupyterLab's sight.
"""

import shutil
from pathlib import Path

from notebooks.build import FOLDER

MY = FOLDER / "my"


def make(folder: Path = MY) -> None:
    """Write the copies that are missing, and every page."""
    for notebook in FOLDER.glob("student/*/*.ipynb"):
        copy = folder / notebook.relative_to(FOLDER / "student")
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(notebook, copy)
    for page in FOLDER.glob("teaching/*/*.*"):
        copy = folder / "pages" / page.relative_to(FOLDER / "teaching")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(linked_to_copies(page.read_text(encoding="utf-8")), encoding="utf-8")


def linked_to_copies(page: str) -> str:
    """The page as it has to be one folder deeper, beside the copies."""
    return page.replace("../../solution", "../../../solution").replace("../../student", "../..")


if __name__ == "__main__":
    make()
