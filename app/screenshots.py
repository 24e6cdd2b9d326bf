"""Screenshots: `python -m app.screenshots STORE`: each page, English and Japanese, light and dark, wide and narrow.

The pages show what STORE holds, so give one with a finished study (`make lab`, then the first button). Needs Chromium
and playwright.
"""

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from app.main import address
from app.pages import PAGES
from lori_core.files import write_atomic
from lori_core.translate import translate

OUT = Path("assets/screenshots")
LOOKS = {"en": (1280, "light"), "ja": (390, "dark")}  # language -> (width in pixels, colours)
HEIGHT, TALLEST, COLOURS = 900, 1400, 128  # few colours keep the files small
SETTLED = 2000  # milliseconds that what is there has to come to rest
PATIENCE = 120_000  # milliseconds for what has to be computed first
LENS = "lens"  # the picture of what the page Interference has behind its tab for one prompt
SHOWS = {  # page -> what is there once it is complete
    "runs": ".main-svg",
    "report": "iframe.report, .empty",
    "masks": ".main-svg",
    "interference": ".main-svg",
    "adapters": ".card h3",
}


def main(
    store: Annotated[Path, typer.Argument(help="The folder of a lab.")],
    out: Annotated[Path, typer.Option(help="Where the pictures go.")] = OUT,
) -> None:
    """Take a picture of each page."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "app", "--store", str(store), "--port", "0", "--no-auth"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as lab, sync_playwright() as playwright:
        assert lab.stdout is not None
        server = lab.stdout.readline().strip()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name in (*PAGES, LENS):
            for language in LOOKS:
                page = "interference" if name == LENS else name
                picture = _picture(browser, server + address(language, page), name, language)
                write_atomic(out / f"{name}-{language}.png", picture)
        browser.close()
        lab.terminate()


def _picture(browser: Browser, url: str, name: str, language: str) -> bytes:
    width, colours = LOOKS[language]
    page = browser.new_page(viewport={"width": width, "height": HEIGHT})
    page.emulate_media(color_scheme="dark" if colours == "dark" else "light")
    page.goto(url)
    page.locator("h1").first.wait_for()
    if name == "try":
        page.locator(".expected code").wait_for()
        page.locator("button.primary").click()
        page.locator(".verdict").nth(2).wait_for(timeout=PATIENCE)  # of the base and two adapters
    if name == LENS:
        page.set_viewport_size({"width": LOOKS["en"][0], "height": HEIGHT})  # where no tab hides behind a menu
        page.get_by_role("tab", name=translate("app.interference.lens", language), exact=True).click()
        page.locator("#lens-view figure.chart:not([hidden])").nth(3).wait_for(timeout=PATIENCE)  # both sides
        page.set_viewport_size({"width": width, "height": HEIGHT})
    page.locator(SHOWS.get(name, "h1")).first.wait_for(timeout=PATIENCE)
    page.wait_for_timeout(SETTLED)
    taken = page.locator("#lens-view").screenshot() if name == LENS else page.screenshot(full_page=True)
    image = Image.open(io.BytesIO(taken))
    page.close()
    small = io.BytesIO()
    image.crop((0, 0, image.width, min(image.height, TALLEST))).quantize(COLOURS).save(small, "PNG", optimize=True)
    return small.getvalue()


if __name__ == "__main__":
    typer.run(main)
