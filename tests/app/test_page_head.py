"""The head of each page, as it is served."""

import re

import pytest
from served import send, serving

from app.main import address
from app.pages import PAGES
from lori_core.translate import LANGUAGES, translate


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("lab"), idle=True) as place:
        yield place


def text(place: str, path: str) -> str:
    return send(place, "GET", path, [("Accept-Encoding", "gzip, br")]).body.decode()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_says_its_language_and_its_title_and_nothing_of_gradio(place, language):
    for name in PAGES:
        page = text(place, address(language, name))
        title = f"{translate(f'app.{name}.title', language)} · LoRI Lab"
        assert f'<html lang="{language}"' in page and f"<title>{title}</title>" in page and f'"title":"{title}"' in page
        assert re.findall('og:title" content="([^"]*)"', page) == [title]
        assert "manifest.json" not in page and "Gradio" not in re.sub("<script.*?</script>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_tab_holds_no_connection_open(place, language):
    """A browser gives a host six: with one held by each tab the seventh would hang."""
    assert '"connect_heartbeat":false' in text(place, address(language, "runs"))


def test_the_other_language_shows_what_was_chosen(place):
    def leads_to(page: str, referer: str) -> list[str]:
        return send(place, "GET", f"/language/ja?page={page}", [("Referer", referer)]).all("location")

    chosen = "http://x/en/masks?adapter=ready%2Fmath%2Flori_s&token=secret&x=%0d%0aSet-Cookie:a"
    assert leads_to("masks", chosen) == ["/ja/masks?adapter=ready%2Fmath%2Flori_s"]
    for bad in ("", "http://[", "nonsense"):
        assert leads_to("runs", bad) == ["/ja/runs"]
