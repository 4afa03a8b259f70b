"""Decides how a value stands in a CSV file so that a spreadsheet shows it and never runs it.

A spreadsheet takes a cell that begins with one of a few characters for a formula, which can run programs or send
data away. The rule is the one of OWASP's page on CSV injection: put a single quote before such a field, and put
every field into double quotes so that none can start a cell of its own. Writes no file.
"""

import csv
import unicodedata
from collections.abc import Iterable
from typing import Final, Protocol

_FORMULA_STARTS: Final = frozenset("=+-@")
_CONTROL_STARTS: Final = frozenset("\t\r\n")
_QUOTE: Final = "'"


class TextSink(Protocol):
    """What takes the text."""

    def write(self, text: str, /) -> object:
        """Take a piece of text."""


class RecordWriter(Protocol):
    """What turns fields into a record."""

    def writerow(self, fields: Iterable[str], /) -> object:
        """Write one record."""


def defuse(text: str) -> str:
    """The text with a single quote before it when a spreadsheet could take it for a formula.

    White space, control and invisible characters before the formula are looked through, as spreadsheets drop them.
    Full-width and small forms count as the plain character, which some spreadsheets make of them.
    """
    first = next((character for character in text if _is_visible(character)), "")
    if text[:1] in _CONTROL_STARTS or unicodedata.normalize("NFKC", first)[:1] in _FORMULA_STARTS:
        return _QUOTE + text
    return text


def rfc4180_writer(sink: TextSink) -> RecordWriter:
    """A writer of RFC 4180 records: commas, CRLF after each, every field in double quotes, `"` doubled."""
    return csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\r\n", strict=True)


def _is_visible(character: str) -> bool:
    # C: control, format and unassigned characters. Z: spaces and separators.
    return unicodedata.category(character)[0] not in "CZ"
