"""The merge triangle in a real browser: what to do where there are no footprints, and what a click on a merge does."""

import pytest
from served import serving

from lori_core.bases.load import load_base
from lori_core.storage.footprint_store import FootprintStore
from lori_core.tasks.mini import mini_task
from lori_core.training.footprints import task_footprint
from lori_core.translate import translate


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    """(address, folder) of a lab that starts nothing."""
    folder = tmp_path_factory.mktemp("lab")
    with serving(folder, idle=True) as place:
        yield place, folder


def say(key: str, **values: str) -> str:
    return translate(f"app.merge.{key}", "en", **values)


def test_three_adapters_are_a_triangle_a_click_in_it_sets_their_weights_and_the_merge_answers(lab, browser):
    place, folder = lab
    page = browser.new_page(viewport={"width": 1100, "height": 1400})
    page.goto(f"{place}/en/merge")
    page.get_by_text(say("triangle_few")).wait_for()  # four are chosen
    page.locator(".token-remove:not(.remove-all)").last.click()
    page.get_by_text(say("triangle_missing", tasks="nlu, math, code")).wait_for()
    command = page.locator("code", has_text="lori footprint nlu math code --store")
    assert str(folder / "store") in command.inner_text()
    base, store = load_base("embedded", device="cpu"), FootprintStore(folder / "store")
    for task in ("nlu", "math", "code"):
        store.save(task_footprint(base, mini_task(task), examples=4))
    page.reload()
    figure = page.locator("figure.chart:not([hidden])", has_text="nlu, math, code")
    figure.locator(".plot:not([aria-busy])").wait_for()
    weights = [
        page.get_by_label(f"number input for {say('weight', adapter=f'Ready-made: {task} · LoRI-S')}")
        for task in ("nlu", "math", "code")
    ]
    drag = figure.locator(".nsewdrag")
    drag.scroll_into_view_if_needed()
    box = drag.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 0.8 * box["height"])  # between the lower corners
    page.wait_for_function("(box) => Number(box.value) < 0.5", arg=weights[2].element_handle())
    assert max(float(each.input_value()) for each in weights[:2]) == 1
    page.get_by_label(say("prompt")).fill("user : how do i wash the cup ?\nbot :")
    page.get_by_role("button", name=say("answer"), exact=True).click()
    page.locator("pre.answer:not(:empty)").wait_for()
    page.close()
