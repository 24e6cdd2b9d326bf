"""What the system refuses ends a command as what the lab refuses: with one sentence and exit code 2."""

import pytest
import typer

from lori_core.commands.telling import REFUSED, told
from lori_core.translate import LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_system_refuses_about_a_file_is_one_sentence(language, tmp_path, capsys):
    with pytest.raises(typer.Exit) as caught, told(language):
        (tmp_path / "gone").read_bytes()
    said = capsys.readouterr().err
    assert caught.value.exit_code == REFUSED and str(tmp_path / "gone") in said and said.count("\n") == 1


def test_a_bug_stays_a_traceback():
    with pytest.raises(ZeroDivisionError), told("en"):
        print(1 / 0)
