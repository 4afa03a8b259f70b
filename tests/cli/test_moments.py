"""Durations and instants as people type them, and as they are told."""

from datetime import timedelta

import pytest
import typer

from apps.cli.moments import duration, duration_in_words, instant_in_words, moment_of

NOON = 1_795_348_800_000


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("500ms", timedelta(milliseconds=500)),
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("1d12h", timedelta(days=1, hours=12)),
        (" 2w ", timedelta(weeks=2)),
        ("1h0m1s", timedelta(seconds=3601)),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, length: timedelta) -> None:
    assert duration(text) == length


@pytest.mark.parametrize("text", ["", " ", "2", "h", "2 h", "-2h", "1.5h", "2h1d", "2H", "٣h", "2h2h", "1000000s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="1d12h"):
        duration(text)


@pytest.mark.parametrize("text", ["0s", "0d0h", "3651d", "999999w"])
def test_a_duration_is_above_zero_and_bounded(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="at most 3650d"):
        duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T12:00:00Z",
        "2026-11-22T12:00:00.000+00:00",
        "2026-11-22T13:00+01:00",
        "2026-11-22 12:00Z",
        "2026-11-22T12:00",
    ],
)
def test_an_instant_without_a_zone_is_in_utc(text: str) -> None:
    assert moment_of(text) == NOON


@pytest.mark.parametrize("text", ["", "noon", "2026-11-31", "2026-13-01T00:00:00Z"])
def test_what_is_no_instant_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="2026-11-22T09:30:00Z"):
        moment_of(text)


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z"])
def test_an_instant_is_within_those_of_the_engine(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="1970 and 2200"):
        moment_of(text)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0s"), (0.4, "0s"), (61, "1m1s"), (8640, "2h24m"), (90_000, "1d1h")]
)
def test_a_length_is_told_as_it_may_be_typed(seconds: float, words: str) -> None:
    assert duration_in_words(timedelta(seconds=seconds)) == words


def test_an_instant_is_told_to_the_second_in_utc() -> None:
    assert instant_in_words(NOON + 999) == "2026-11-22 12:00:00Z"
