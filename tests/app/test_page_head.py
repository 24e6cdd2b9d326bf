"""The head of each page, as it is served."""

import re

import pytest
from fastapi.testclient import TestClient

from app.jobs import Jobs
from app.lab import Lab
from app.main import address, application
from app.pages import PAGES
from lori_core.translate import LANGUAGES, translate


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    jobs = Jobs()
    with TestClient(application(Lab(tmp_path_factory.mktemp("lab"), jobs))) as client:
        yield client
    jobs.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_says_its_language_and_its_title_and_nothing_of_gradio(client, language):
    for name in PAGES:
        page = client.get(address(language, name), headers={"accept-encoding": "gzip, br"}).text
        title = f"{translate(f'app.{name}.title', language)} · LoRI Lab"
        assert f'<html lang="{language}"' in page and f"<title>{title}</title>" in page and f'"title":"{title}"' in page
        assert re.findall('og:title" content="([^"]*)"', page) == [title]
        assert "manifest.json" not in page and "Gradio" not in re.sub("<script.*?</script>", "", page, flags=re.DOTALL)


def test_a_tab_holds_no_connection_open(client):
    """A browser gives a host six: with one held by each tab the seventh would hang."""
    for language in LANGUAGES:
        assert client.get(f"/{language}/config").json()["connect_heartbeat"] is False
        assert '"connect_heartbeat":false' in client.get(address(language, "runs")).text


def test_the_other_language_shows_what_was_chosen(client):
    chosen = "http://testserver/en/masks?adapter=ready%2Fmath%2Flori_s&token=secret&x=%0d%0aSet-Cookie:a"
    answer = client.get("/language/ja?page=masks", headers={"referer": chosen}, follow_redirects=False)
    assert answer.headers["location"] == "/ja/masks?adapter=ready%2Fmath%2Flori_s"
    for bad in ("", "http://[", "nonsense"):
        answer = client.get("/language/ja?page=runs", headers={"referer": bad}, follow_redirects=False)
        assert answer.headers["location"] == "/ja/runs"
