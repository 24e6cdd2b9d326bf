"""Notebooks and the lab's pages lead to each other."""

import nbformat
import pytest

from app.pages import PAGES
from lori_core.lessons.places import PAGE_OF, notebooks_of
from lori_core.translate import LANGUAGES, translate
from notebooks.build import FOLDER, KINDS, sources

NUMBERS = [int(source.stem[:2]) for source in sources()]


def test_every_notebook_has_a_page_of_the_lab_and_every_such_page_names_it():
    assert list(PAGE_OF) == NUMBERS and set(PAGE_OF.values()) <= PAGES.keys()
    assert sorted(number for page in PAGES for number in notebooks_of(page)) == NUMBERS


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notebook_ends_with_the_name_of_its_page(language: str):
    for source in sources():
        title = translate(f"app.{PAGE_OF[int(source.stem[:2])]}.title", language)
        for kind in KINDS:
            last = nbformat.read(FOLDER / kind / language / f"{source.stem}.ipynb", as_version=4).cells[-1]
            assert last.cell_type == "markdown" and title in last.source
