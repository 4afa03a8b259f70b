"""Which texts a spreadsheet could take for a formula, and that every text survives the way through a CSV file."""

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.domain.maintenance.csv_text import defuse, rfc4180_writer

DANGEROUS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\tplain",
    "\rplain",
    "\nplain",
    " =1",
    "\u00a0=1",
    "\u3000=1",
    "\ufeff=1",
    "\u200b=1",
    "\x1f\x0b=1",
    "\uff1d1",
    "\uff0b1",
    "\uff0d1",
    "\uff201",
    "\ufe621",
    "\ud7fc=1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example")',
]
HARMLESS = ["", "Ada", "ada@example.com", "a=b", "1-2", "'quoted", '"quoted"', "   ", "Zoë", "#1", "0", " a"]


@pytest.mark.parametrize("text", DANGEROUS)
def test_a_formula_gets_a_quote_before_it(text: str) -> None:
    assert defuse(text) == f"'{text}"


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert defuse(text) == text


@given(st.text())
def test_no_defused_text_shows_a_formula_character_first(text: str) -> None:
    visible = [character for character in defuse(text) if not unicodedata.category(character).startswith(("C", "Z"))]
    assert not visible or unicodedata.normalize("NFKC", visible[0]) not in set("=+-@")


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4), max_size=5))
def test_every_record_is_read_back_as_it_was_written(records: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    writer = rfc4180_writer(text)
    for record in records:
        writer.writerow(record)
    assert list(csv.reader(io.StringIO(text.getvalue(), newline=""), strict=True)) == records
