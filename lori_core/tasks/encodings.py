"""Encodings of text files: UTF-8 where it can be, by its mark, else what charset-normalizer takes it for, and told.

Only encodings that files of our users come in are looked for: over all of the world's, short files would be guessed.
"""

import codecs

from lori_core.errors import DataError

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LOOKED_FOR = ["cp932", "euc_jp", "cp1252"]  # Windows and old Unix in Japan; Windows in the West
ODD = 0.6  # share of odd letters that is let pass: short, alike cells look odder than prose, for which it is 0.2
_ESCAPES = (b"\x1b$B", b"\x1b$@")  # of ISO-2022-JP, whose bytes are ASCII
PLAIN = ("utf-8", "utf-8-sig")


def decode(path: object, content: bytes, encoding: str = "") -> tuple[str, str]:
    """(text, encoding); raises DataError that names the row where it is none of these.

    Args:
        encoding: what the user says it is; empty: it is found out.
    """
    encoding = encoding or _found(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        row = error.object.count(b"\n", 0, error.start) + 1  # of the content after its mark
        raise DataError("not_utf8", file=path, row=row, encoding=encoding) from None
    except (LookupError, ValueError):  # a name with a zero in it, or a codec that is not for texts
        raise DataError("unknown_encoding", file=path, got=encoding) from None
    return text.removeprefix("\ufeff"), encoding


def _found(content: bytes) -> str:
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return encoding
    if any(escape in content for escape in _ESCAPES):
        return "iso2022_jp"
    try:
        content.decode()
        return "utf-8"
    except UnicodeDecodeError:
        return _guessed(content)


def _guessed(content: bytes) -> str:
    from charset_normalizer import from_bytes  # takes a part of a second

    best = from_bytes(content, cp_isolation=LOOKED_FOR, threshold=ODD).best()
    return best.encoding if best else "utf-8"
