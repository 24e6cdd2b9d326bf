"""Passwords: what is in the file, who is let in, and a lab that asks."""

import base64
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from app.passwords import Passwords, add
from lori_core.errors import ConfigError


@pytest.fixture
def file(tmp_path):
    add(tmp_path / "users", "aiko", "correct horse")
    return tmp_path / "users"


def test_the_right_password_is_accepted_twice_and_no_other_ever(file):
    known = Passwords(file)
    assert known.accept("aiko", "correct horse") and known.accept("aiko", "correct horse")
    assert not any(known.accept(*pair) for pair in [("aiko", "correct horsf"), ("bo", "correct horse"), ("", "")])


def test_the_file_holds_no_password_and_is_its_owners_alone(file):
    assert "horse" not in file.read_text() and file.stat().st_mode & 0o077 == 0


def test_a_name_keeps_one_line_and_others_keep_theirs(file):
    add(file, "bo", "another one")
    add(file, "aiko", "new password")
    known = Passwords(file)
    assert known.accept("aiko", "new password") and known.accept("bo", "another one")
    assert not known.accept("aiko", "correct horse")


@pytest.mark.parametrize("text", ["", "aiko:plain", "../x:scrypt:00:00"])
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
