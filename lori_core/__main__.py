"""Command line: `lori study`, `lori train` ... or `python -m lori_core`, see commands/."""

from lori_core.commands import app


def main() -> None:
    app()


if __name__ == "__main__":
    main()
