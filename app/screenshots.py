"""Screenshots: `python -m app.screenshots STORE`: each page, English and Japanese, light and dark, wide and narrow.

The pages show what STORE holds; a new folder shows the examples that ship. With --every, each language in each look,
to be judged rather than kept. Needs Chromium and playwright.
"""

import io
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

import typer
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from app.main import address
from app.pages import PAGES
from lori_core.files import write_atomic
from lori_core.translate import translate

OUT = Path("assets/screenshots")
WIDE, NARROW = 1440, 390
Look = tuple[int, Literal["light", "dark"]]  # width in pixels, colours
LOOKS: dict[str, Look] = {"en": (WIDE, "light"), "ja": (NARROW, "dark")}
EVERY: list[Look] = [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")]
HEIGHT, TALLEST, COLOURS = 900, 1400, 128  # few colours keep the files small
SETTLED = 2000  # milliseconds that what is there has to come to rest
PATIENCE = 120_000  # milliseconds for what has to be computed first
BEGINS = {"merge": "h2"}  # page -> where its picture begins, so that the triangle is in it
TOP = "(each) => each.getBoundingClientRect().top + scrollY"
WAITS = "(each) => each.innerText.includes('…')"
LENS = "lens"  # the picture of what the page Interference has behind its tab for one prompt
SHOWS = {  # page -> what is there once it is complete
    "runs": ".main-svg",
    "report": "iframe.report",
    "masks": ".main-svg",
    "interference": ".main-svg",
    "adapters": ".card h3",
    "continual": ".main-svg",
    "merge": ".main-svg",
    "home": ".promise dd",
    "docs": ".document h1",
}


def main(
    store: Annotated[Path, typer.Argument(help="The folder of a lab.")],
    out: Annotated[Path, typer.Option(help="Where the pictures go.")] = OUT,
    every: Annotated[bool, typer.Option("--every", help="Each language in each width and colours.")] = False,
) -> None:
    """Take a picture of each page."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "app", "--store", str(store), "--port", "0", "--no-auth"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as lab, sync_playwright() as playwright:
        assert lab.stdout is not None
        server = lab.stdout.readline().strip()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, language in product((*PAGES, LENS), LOOKS):
            url = server + address(language, "interference" if name == LENS else name)
            for look in EVERY if every else [LOOKS[language]]:
                file = "-".join(map(str, (name, language, *(look if every else ()))))
                write_atomic(out / f"{file}.png", _picture(browser, url, name, language, *look))
        browser.close()
        lab.terminate()


def _picture(
    browser: Browser, url: str, name: str, language: str, width: int, colours: Literal["light", "dark"]
) -> bytes:
    page = browser.new_page(viewport={"width": width, "height": HEIGHT})
    page.emulate_media(color_scheme=colours)
    page.goto(url)
    page.locator("h1").first.wait_for()
    if name == "try":
        page.locator(".expected code").wait_for()
        page.locator("button.primary").click()
        page.locator(".verdict").nth(2).wait_for(timeout=PATIENCE)  # of the base and two adapters
    if name == "home":  # both studies know their time here
        page.wait_for_function(f"![...document.querySelectorAll('.promise dd')].some({WAITS})", timeout=PATIENCE)
    if name == "report":
        page.frame_locator("iframe.report").locator("h1").wait_for(timeout=PATIENCE)
    if name == "merge":
        page.locator(".token-remove:not(.remove-all)").last.click()  # three adapters have a triangle
        triangle = page.locator("figure.chart:not([hidden])", has_text="code").locator(".main-svg")
        measure = page.get_by_role("button", name=translate("app.merge.measure", language))
        measure.or_(triangle.first).first.wait_for(timeout=PATIENCE)
        if measure.is_visible():
            measure.click()
        triangle.first.wait_for(timeout=PATIENCE)
    if name == LENS:
        page.set_viewport_size({"width": WIDE, "height": HEIGHT})  # where no tab hides behind a menu
        page.get_by_role("tab", name=translate("app.interference.lens", language), exact=True).click()
        page.locator("#lens-view figure.chart:not([hidden])").nth(3).wait_for(timeout=PATIENCE)  # both sides
        page.set_viewport_size({"width": width, "height": HEIGHT})
    page.locator(SHOWS.get(name, "h1")).first.wait_for(timeout=PATIENCE)
    page.wait_for_timeout(SETTLED)
    taken = page.locator("#lens-view").screenshot() if name == LENS else page.screenshot(full_page=True)
    image = Image.open(io.BytesIO(taken))
    top = int(page.locator(BEGINS[name]).first.evaluate(TOP)) if name in BEGINS else 0
    page.close()
    small = io.BytesIO()
    shown = image.crop((0, top, image.width, min(image.height, top + TALLEST)))
    shown.quantize(COLOURS).save(small, "PNG", optimize=True)
    return small.getvalue()


if __name__ == "__main__":
    typer.run(main)
