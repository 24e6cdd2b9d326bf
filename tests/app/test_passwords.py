"""Passwords: what is in the file, who is let in, and a lab that asks."""

import base64
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable

import pytest
from served import basic, send, serving

from app.jobs import Jobs
from app.lab import Lab
from app.passwords import BY_ADDRESS, BY_NAME, Passwords, add
from lori_core.errors import ConfigError


@pytest.fixture
def file(tmp_path):
    add(tmp_path / "users", "aiko", "correct horse")
    return tmp_path / "users"


def test_the_right_password_is_accepted_and_known_again_and_no_other_ever(file):
    known = Passwords(file)
    assert not known.accepted("aiko", "correct horse")
    assert known.accept("aiko", "correct horse") and known.accepted("aiko", "correct horse")
    for pair in [("aiko", "correct horsf"), ("bo", "correct horse"), ("", "")]:
        assert not known.accept(*pair) and not known.accepted(*pair)


def test_the_file_holds_no_password_and_is_its_owners_alone(file):
    assert "horse" not in file.read_text() and file.stat().st_mode & 0o077 == 0


def test_a_name_keeps_one_line_and_others_keep_theirs(file):
    add(file, "bo", "another one")
    add(file, "aiko", "new password")
    known = Passwords(file)
    assert known.accept("aiko", "new password") and known.accept("bo", "another one")
    assert not known.accept("aiko", "correct horse")


HASHED = f"scrypt:{'0' * 32}:{'0' * 128}"


@pytest.mark.parametrize(
    "text", ["", "aiko:plain", f"../x:{HASHED}", f"aiko:{HASHED}\nAIKO:{HASHED}", f"aiko:{HASHED}\naiko.:{HASHED}"]
)
def test_a_file_that_names_nobody_or_holds_other_lines_is_refused(tmp_path, text):
    (tmp_path / "users").write_text(text)
    with pytest.raises(ConfigError):
        Passwords(tmp_path / "users")


@pytest.mark.parametrize(("name", "password"), [("../x", "long enough"), ("a b", "long enough"), ("aiko", "short")])
def test_a_bad_name_or_a_short_password_is_refused_and_nothing_is_written(tmp_path, name, password):
    with pytest.raises(ConfigError):
        add(tmp_path / "users", name, password)
    assert not (tmp_path / "users").exists()


def test_a_lab_with_passwords_answers_those_who_know_one(file, tmp_path):
    command = [sys.executable, "-m", "app", "--store", str(tmp_path / "lab"), "--host", "0.0.0.0", "--port", "0"]
    with subprocess.Popen([*command, "--auth-file", str(file)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip().rsplit(":", 1)[1]
        try:
            answers = {}
            for place in ("/en/", "/static/plotly-cartesian.min.js"):
                for pair in ("aiko:correct horse", "aiko:wrong horse", ""):
                    request = urllib.request.Request(f"http://127.0.0.1:{port}{place}")
                    if pair:
                        request.add_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
                    try:
                        answers[place, pair] = urllib.request.urlopen(request).status
                    except urllib.error.HTTPError as error:
                        with error:
                            answers[place, pair] = error.code
        finally:
            process.terminate()
    assert {code for (_, pair), code in answers.items() if pair == "aiko:correct horse"} == {200}
    assert {code for (_, pair), code in answers.items() if pair != "aiko:correct horse"} == {401}


def flood(address: str, clients: int, tries: int, names: Callable[[int], str]) -> Counter[int]:
    """How often which status came: each client sends wrong passwords at once, one after another."""
    answers: Counter[int] = Counter()

    def client(number: int) -> None:
        for attempt in range(tries):
            answers[send(address, "GET", "/en/", [basic(names(number), f"wrong {attempt}")]).status] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize(("names", "most"), [(lambda _: "aiko", BY_NAME), ("user{}".format, BY_ADDRESS)])
def test_few_wrong_passwords_are_hashed_and_the_others_refused_and_who_is_known_comes_in(file, tmp_path, names, most):
    with serving(tmp_path / "lab", "--auth-file", str(file), idle=True) as address:
        right = basic("aiko", "correct horse")
        assert send(address, "GET", "/en/", [right]).status == 200
        answers = flood(address, 20, 4, names)
        assert answers.keys() <= {401, 429, 503} and sum(answers.values()) == 80
        assert answers[401] <= most  # as many as were hashed
        assert send(address, "GET", "/en/", [right]).status == 200


@pytest.mark.parametrize("first", ["aiko", "bo"])
def test_two_authorization_headers_are_refused_in_either_order(tmp_path, first):
    for name in ("aiko", "bo"):
        add(tmp_path / "users", name, f"password of {name}")
    pairs = [basic(name, f"password of {name}") for name in ("aiko", "bo")]
    with serving(tmp_path / "lab", "--auth-file", str(tmp_path / "users"), idle=True) as address:
        both = pairs if first == "aiko" else pairs[::-1]
        for path in ("/en/", "/en/config", "/report/x/en", "/static/plotly-cartesian.min.js"):
            assert send(address, "GET", path, both).status == 400
        assert send(address, "GET", "/en/", [both[0], ("authorization", "Basic x")]).status == 400
    assert not (tmp_path / "lab" / "users").exists()


BAD_NAMES = ("../../../x", "..", "a/b", "aiko\n", "", "a" * 41, "/x", "aiko\0")


def test_a_name_of_another_form_is_refused_before_a_hash(file, tmp_path):
    with serving(tmp_path / "lab", "--auth-file", str(file), idle=True) as address:
        for name in BAD_NAMES * BY_ADDRESS:
            assert send(address, "GET", "/static/x", [basic(name, "correct horse")]).status == 401


@pytest.mark.parametrize("name", [*BAD_NAMES, None])
def test_a_name_of_another_form_opens_no_workspace(tmp_path, name):
    lab = Lab(tmp_path, Jobs(), named=True)
    before = list(tmp_path.rglob("*"))
    with pytest.raises(ConfigError):
        lab.workspace(name)
    assert list(tmp_path.rglob("*")) == before
    lab.jobs.close()


def test_a_lab_listens_at_an_address_of_ipv6(tmp_path):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(tmp_path, "--host", "::1", "--no-auth") as address:
        assert address.startswith("http://[::1]:") and send(address, "GET", "/en/").status == 200
