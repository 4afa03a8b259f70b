"""Rates as a person types and reads them."""

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.cli.rates import rate_in_words, rate_of
from packages.scheduling.control.shares import ONE


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("0", 0),
        ("1", ONE),
        ("1.0", ONE),
        ("0.25", 250_000),
        (".5", 500_000),
        ("25%", 250_000),
        (" 33.3333 %", 333_333),
        ("100%", ONE),
        ("0%", 0),
        ("0.000001", 1),
        ("0.0001%", 1),
        ("1%", 10_000),
    ],
)
def test_a_share_is_read(text: str, rate: int) -> None:
    assert rate_of(text) == rate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "%",
        "-1",
        "1e-1",
        "nan",
        "inf",
        "1.",
        "0,5",
        "½",
        "\N{ARABIC-INDIC DIGIT FIVE}%",
        "0.5%%",
        "1000",
        "1.0000001",
    ],
)
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        rate_of(text)


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0%"),
        (ONE, "100%"),
        (1, "0.0001%"),
        (125_000, "12.5%"),
        (100_000, "10%"),
        (784_616, "78.4%"),
        (78_461, "7.84%"),
        (1_234, "0.123%"),
        (333_333, "33.3%"),
        # What is throttled is never told as all.
        (ONE - 1, "99.9%"),
    ],
)
def test_a_share_is_told_in_per_cent(rate: int, text: str) -> None:
    assert rate_in_words(rate) == text


@settings(max_examples=300)
@given(st.integers(0, ONE))
def test_what_is_told_reads_again_as_nearly_the_same(rate: int) -> None:
    told = rate_of(rate_in_words(rate))
    assert rate - rate // 100 <= told <= rate
    assert rate_in_words(told) == rate_in_words(rate)
    assert (told == 0, told == ONE) == (rate == 0, rate == ONE)
    assert rate_of(f"{rate / ONE:.6f}") == rate
