"""Tables of settings, as HTML."""

from collections.abc import Iterable
from html import escape


def pairs(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A row a field, with its values; all of it is escaped."""
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in header)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="wide" tabindex="0"><table class="shelf"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
