"""What a check says: that an answer is right, or what is wrong with it, in the notebook's language."""

from lori_core.figures.wording import sentences
from lori_core.translate import translate


class Right(str):
    """A sentence that Jupyter shows as text, and not as a quoted string."""

    def _repr_markdown_(self) -> str:
        return f"**✓ {self}**"


class WrongAnswer(Exception):
    """What is wrong with an answer or a guess.

    Attributes:
        key: "<exercise>.<mistake>" of a typical mistake, or what else is wrong, as translations/*/lessons.json has it.
    """

    def __init__(self, key: str, language: str, beside: str = "", **values: object) -> None:
        said = translate(f"lessons.{key}", language, **values)
        super().__init__(sentences(filter(None, (said, beside)), language))
        self.key = key

    def _render_traceback_(self) -> list[str]:
        """Jupyter shows the sentence alone: where this package raised it helps nobody."""
        return [f"✗ {self}"]
