"""The merge triangle: what is refused; in a real browser, footprints that are missing, a click, a drag over many."""

from html import unescape
from pathlib import Path

import pytest
from served import serving

from app.jobs import Jobs
from app.lab import Context, Lab
from app.merge_triangle import triangle_of
from lori_core.bases.load import load_base
from lori_core.embedded.ready_made import READY_MADE
from lori_core.method.merge import merge
from lori_core.storage.adapter_files import load_adapter
from lori_core.storage.footprint_store import FootprintStore
from lori_core.storage.store import AdapterStore
from lori_core.tasks.mini import mini_task
from lori_core.training.footprints import task_footprint
from lori_core.translate import LANGUAGES, translate


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    """(address, folder) of a lab that starts nothing."""
    folder = tmp_path_factory.mktemp("lab")
    with serving(folder, idle=True) as place:
        yield place, folder


def say(key: str, **values: str) -> str:
    return translate(f"app.merge.{key}", "en", **values)


def measured(folder: Path, *tasks: str) -> None:
    """Footprints of these are in the lab's store from now on."""
    base, store = load_base("embedded", device="cpu"), FootprintStore(folder / "store")
    for task in tasks:
        store.save(task_footprint(base, mini_task(task), examples=4))


def weight(page, task: str):
    return page.get_by_label(f"number input for {say('weight', adapter=f'Ready-made: {task} · LoRI-S')}")


def inside(figure) -> dict[str, float]:
    """Where the triangle is."""
    figure.locator(".plot:not([aria-busy])").wait_for()
    drag = figure.locator(".nsewdrag")
    drag.scroll_into_view_if_needed()
    return drag.bounding_box()


def at(box: dict[str, float], down: float) -> tuple[float, float]:
    """In the middle, that far down."""
    return box["x"] + box["width"] / 2, box["y"] + down * box["height"]


def test_three_adapters_are_a_triangle_whose_points_set_the_weights_as_one_drags_and_at_the_end_answer(lab, browser):
    place, folder = lab
    page = browser.new_page(viewport={"width": 1100, "height": 1400})
    page.goto(f"{place}/en/merge")
    page.get_by_text(say("triangle_few")).wait_for()  # four are chosen
    page.locator(".token-remove:not(.remove-all)").last.click()
    page.get_by_text(say("triangle_missing", tasks="nlu, math, code")).wait_for()
    command = page.locator("code", has_text="lori footprint nlu math code --store")
    assert str(folder / "store") in command.inner_text()
    measured(folder, "nlu", "math")
    page.get_by_role("button", name=say("measure"), exact=True).click()
    figure = page.locator("figure.chart:not([hidden])", has_text="nlu, math, code")
    box = inside(figure)
    assert FootprintStore(folder / "store").folder("code").is_dir()
    third = weight(page, "code")

    page.mouse.click(*at(box, 0.8))  # between the lower corners
    page.wait_for_function("(box) => Number(box.value) < 0.5", arg=third.element_handle())
    assert max(float(weight(page, task).input_value()) for task in ("nlu", "math")) == 1

    page.get_by_label(say("prompt")).fill("user : how do i wash the cup ?\nbot :")
    box = inside(figure)  # to write moves the page
    page.mouse.move(*at(box, 0.8))
    page.mouse.down()
    page.mouse.move(*at(box, 0.2), steps=10)  # to the upper corner
    page.wait_for_function("(box) => Number(box.value) === 1", arg=third.element_handle())
    assert page.locator("pre.answer").count() == 0  # it answers once the pointer is let go
    page.mouse.move(*at(box, 0.8), steps=10)
    page.wait_for_function("(box) => Number(box.value) < 0.5", arg=third.element_handle())
    page.mouse.up()
    page.locator("pre.answer:not(:empty)").wait_for()
    page.mouse.move(box["x"], box["y"], steps=5)  # nothing is dragged any more
    page.get_by_role("button", name=say("answer"), exact=True).click()
    page.locator("pre.answer:not(:empty)").wait_for()
    assert float(third.input_value()) < 0.5
    page.close()


def test_two_adapters_are_a_line_along_which_one_drags(lab, browser):
    place, folder = lab
    measured(folder, "nlu", "math")
    page = browser.new_page(viewport={"width": 1100, "height": 1400})
    page.goto(f"{place}/en/merge")
    crosses = page.locator(".token-remove:not(.remove-all)")
    for left in (3, 2):
        crosses.last.click()
        crosses.nth(left).wait_for(state="detached")  # else both clicks are of one cross
    box = inside(page.locator("figure.chart:not([hidden])", has_text="Merges of nlu, math, and"))  # not of code too
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 10, steps=5)
    page.mouse.up()
    both = [weight(page, task).element_handle() for task in ("nlu", "math")]
    page.wait_for_function("([nlu, math]) => Number(nlu.value) < 0.5 && Number(math.value) === 1", arg=both)
    page.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_refusal_takes_the_place_of_the_triangle_and_offers_no_measuring(tmp_path, language):
    page = Context(Lab(tmp_path, Jobs()), language)
    try:
        both = [load_adapter(READY_MADE / task / "lori_s") for task in ("math", "nlu")]
        AdapterStore(page.workspace.store).save(merge(both, "concat", [1.0, 1.0], "merged"), "merged")
        entries = page.ask("contents")
        for second, said in (
            ("store/merged@1", translate("error.no_one_task", language, reference="store/merged@1")),
            ("ready/arc_easy/lori_s", translate("error.modules_differ", language, left="math", right="arc_easy")),
        ):
            drawn, hint, measurable = triangle_of(page, ["ready/math/lori_s", second], entries)
            assert drawn is None and not measurable
            assert hint.startswith('<p role="alert">') and said in unescape(hint)
    finally:
        page.jobs.close()
