"""The token of a lab on loopback: the printed address opens it, a cookie keeps it open, and without them it is shut."""

import stat
from urllib.parse import urlsplit

import pytest
from served import as_upload, send, serving

from app.entry_token import kept_token
from lori_core.translate import translate


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """(printed address, address without the token, folder)"""
    folder = tmp_path_factory.mktemp("lab")
    with serving(folder, "--host", "127.0.0.1") as printed:
        yield printed, f"http://{urlsplit(printed).netloc}", folder


def test_a_token_that_was_half_written_is_made_anew_and_is_its_owners_alone(tmp_path):
    (tmp_path / ".token").touch()
    token = kept_token(tmp_path)
    assert len(token) >= 32 and kept_token(tmp_path) == token
    assert stat.S_IMODE((tmp_path / ".token").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [".token"]


def test_nothing_is_served_without_the_token_or_with_another(lab):
    printed, address, folder = lab
    wrong = [(), [("Cookie", f"lori-lab-{urlsplit(address).port}=x")], [("Cookie", "lori-lab-1=" + printed[-32:])]]
    for path in (
        "/",
        "/en/",
        "/en/config",
        "/static/plotly-cartesian.min.js",
        "/report/x/en",
        "/en/?token=",
        "/?token=%ff",
    ):
        for headers in wrong:
            answer = send(address, "GET", path, headers)
            assert answer.status == 403 and answer.body.decode().startswith(translate("app.no_token", "en"))
    header, body = as_upload("planted.txt", b"x")
    assert send(address, "POST", "/en/gradio_api/upload", [header], body).status == 403
    assert not list((folder / ".uploads").rglob("planted.txt"))


def test_the_address_brings_a_cookie_and_does_not_stay(lab):
    printed, address, _ = lab
    query = urlsplit(printed).query
    answer = send(address, "GET", f"/en/runs?run=a&{query}")
    assert answer.status == 303 and answer.all("location") == [f"{address}/en/runs?run=a"]
    (cookie,) = answer.all("set-cookie")
    assert "HttpOnly" in cookie and "samesite=lax" in cookie.lower()
    assert send(address, "GET", "/en/", [("Cookie", cookie.split(";")[0])]).status == 200
    for path in (f"//evil.example/?{query}", f"//evil.example/..?{query}"):
        (place,) = send(address, "GET", path).all("location")
        assert urlsplit(place).netloc == urlsplit(address).netloc


def test_the_token_is_its_owners_and_outlives_the_lab(lab, tmp_path):
    assert stat.S_IMODE((lab[2] / ".token").stat().st_mode) == 0o600
    tokens = []
    for _ in range(2):
        with serving(tmp_path, "--host", "127.0.0.1") as printed:
            tokens.append(urlsplit(printed).query)
    assert tokens[0] == tokens[1] != urlsplit(lab[0]).query


def test_a_browser_comes_in_by_the_printed_address_and_stays_in(lab, browser):
    printed, address, _ = lab
    page = browser.new_page(locale="en-US")
    page.goto(f"{address}/en/")
    page.get_by_text(translate("app.no_token", "en")).wait_for()
    page.goto(printed)
    page.locator("button.primary").first.wait_for()
    assert "token" not in page.url
    page.goto(f"{address}/ja/adapters")
    page.locator(".card h3").first.wait_for()  # what handlers answer comes in too
    page.close()
