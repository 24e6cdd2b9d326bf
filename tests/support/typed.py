"""Commands of `lori` as people type them, run in this process."""

from typer.testing import CliRunner, Result

from lori_core.__main__ import app


def lori(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Result, *words: object) -> None:
    """Exit code 2 and one message that holds the words; no traceback."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.stderr
    for word in words:
        assert str(word) in result.stderr
