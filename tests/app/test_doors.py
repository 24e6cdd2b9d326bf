"""What a lab refuses before a page sees it: frames, other sites' requests, and others' sessions."""

import http.server
import json
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from served import as_json, as_upload, basic, send, serving

from app.passwords import add

UPLOAD = "/en/gradio_api/upload"
FRAMED = '<iframe id="lab" src="{lab}/en/runs"></iframe>'
SENDS = """<script>
const form = new FormData();
form.append('files', new Blob(['x']), 'planted.txt');
const sent = [
  fetch('{lab}/en/gradio_api/upload', {{method: 'POST', body: form, mode: 'no-cors', credentials: 'include'}}),
  fetch('{lab}/en/gradio_api/queue/join', {{method: 'POST', body: '{{}}', mode: 'no-cors'}}),
  fetch('{lab}/en/config', {{credentials: 'include'}}),
];
Promise.allSettled(sent).then((all) => {{ document.title = 'sent ' + all.map((one) => one.value?.type).join() }});
</script>"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    with serving(folder) as address:
        yield address, folder


@contextmanager
def elsewhere(tmp_path: Path, html: str):
    """The address of a page at another port, and so of another origin."""
    (tmp_path / "index.html").write_text(html)
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize("path", ["/en/", "/en/config", "/static/plotly-cartesian.min.js", "/nowhere", "/en/nowhere"])
def test_every_answer_keeps_frames_and_guesses_out(lab, path):
    answer = send(lab[0], "GET", path)
    assert answer.all("x-frame-options") == ["SAMEORIGIN"] and answer.all("x-content-type-options") == ["nosniff"]
    assert "frame-ancestors 'self'" in answer.all("content-security-policy")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://localhost:1", "http://127.0.0.1:1", "null", "http://["]
)
def test_what_another_site_sends_is_refused_whatever_its_form(lab, origin):
    address, folder = lab
    for header, body in (as_json({}), as_upload("planted.txt", b"x"), (("Content-Type", "text/plain"), b"{}")):
        for path in (UPLOAD, "/en/gradio_api/queue/join", "/en/gradio_api/run/predict"):
            assert send(address, "POST", path, [("Origin", origin), header], body).status == 403
    answer = send(address, "GET", "/en/config", [("Origin", origin)])
    assert answer.status == 403 and not answer.all("access-control-allow-origin")
    assert not list((folder / ".uploads").rglob("planted.txt"))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_from_elsewhere_leads_in_and_nothing_else_does(lab, site):
    said = [("Sec-Fetch-Site", site)]
    assert send(lab[0], "GET", "/en/", [*said, ("Sec-Fetch-Mode", "navigate")]).status == 200
    assert send(lab[0], "GET", "/en/config", [*said, ("Sec-Fetch-Mode", "no-cors")]).status == 403
    header, body = as_json({})
    assert (
        send(lab[0], "POST", "/en/gradio_api/queue/join", [*said, ("Sec-Fetch-Mode", "navigate"), header], body).status
        == 403
    )


def test_the_labs_own_page_may_upload(lab):
    address, folder = lab
    header, body = as_upload("own.txt", b"x")
    answer = send(address, "POST", UPLOAD, [("Origin", address), ("Sec-Fetch-Site", "same-origin"), header], body)
    assert answer.status == 200 and list((folder / ".uploads").rglob("own.txt"))


def test_a_host_that_is_only_claimed_is_not_believed(lab):
    answer = send(lab[0], "GET", "/en/config", [("X-Forwarded-Host", "evil.example")])
    assert answer.status == 200 and b"evil.example" not in answer.body
    assert send(lab[0], "GET", "/en/", [("Host", "evil.example")]).status == 400


@pytest.mark.parametrize(
    "path", ["deep_link?session_hash=a", "file=https://example.org/x", "proxy=https://a.hf.space/x", "component_server"]
)
def test_what_no_page_asks_for_is_closed(lab, path):
    assert send(lab[0], "GET", f"/en/gradio_api/{path}").status == 403
    assert send(lab[0], "POST", f"/en/gradio_api/{path}", [as_json({})[0]], b"{}").status == 403


def test_a_page_elsewhere_shows_no_frame_of_the_lab_and_plants_no_file(lab, browser, tmp_path):
    address, folder = lab
    with elsewhere(tmp_path, (FRAMED + SENDS).format(lab=address)) as other:
        page = browser.new_page()
        with page.expect_response(lambda response: response.url.startswith(f"{address}/en/runs")):
            page.goto(other)
        page.wait_for_function("document.title.startsWith('sent')")
        frame = page.query_selector("#lab").content_frame()
        frame.wait_for_load_state()
        assert frame.url.startswith("chrome-error:") and "LoRI" not in frame.content()
        page.close()
    assert not list((folder / ".uploads").rglob("planted.txt"))


def test_another_users_session_is_out_of_reach(tmp_path):
    for name in ("aiko", "bo"):
        add(tmp_path / "passwords", name, f"password of {name}")
    aiko, bo = (basic(name, f"password of {name}") for name in ("aiko", "bo"))
    with serving(tmp_path / "lab", "--auth-file", str(tmp_path / "passwords"), idle=True) as address:
        config = json.loads(send(address, "GET", "/en/config", [aiko]).body)
        call = {"fn_index": config["dependencies"][0]["id"], "data": [], "session_hash": "ofaiko"}
        header, body = as_json(call)
        join = "/en/gradio_api/queue/join"
        assert send(address, "POST", join, [aiko, header], body).status == 200
        for kind in (header, ("Content-Type", "text/plain"), ("Content-Type", "APPLICATION/JSON")):
            assert send(address, "POST", join, [bo, kind], body).status == 403
        for path in ("queue/data?session_hash=ofaiko", "queue/data?session_hash=b&session_hash=ofaiko"):
            assert send(address, "GET", f"/en/gradio_api/{path}", [bo]).status == 403
        for path in ("heartbeat/ofaiko", "stream/ofaiko/1/1/playlist.m3u8", "deep_link?session_hash=ofaiko"):
            assert send(address, "GET", f"/en/gradio_api/{path}", [bo]).status == 403
        cancel = as_json({"session_hash": "ofaiko", "fn_index": 0, "event_id": "x"})
        assert send(address, "POST", "/en/gradio_api/cancel", [bo, cancel[0]], cancel[1]).status == 403
        answer = send(address, "GET", "/en/gradio_api/queue/data?session_hash=ofaiko", [aiko])
        assert answer.status == 200 and b"process_completed" in answer.body


def test_a_body_that_is_too_large_or_too_deep_is_refused_and_the_lab_lives(tmp_path):
    add(tmp_path / "passwords", "aiko", "password of aiko")
    aiko = basic("aiko", "password of aiko")
    with serving(tmp_path / "lab", "--auth-file", str(tmp_path / "passwords"), idle=True) as address:
        join, kind = "/en/gradio_api/queue/join", as_json({})[0]
        assert send(address, "POST", join, [aiko, kind], b" " * 21_000_000).status == 413
        assert send(address, "POST", join, [aiko, kind], b"[" * 100_000).status >= 400
        assert send(address, "GET", "/en/", [aiko]).status == 200
