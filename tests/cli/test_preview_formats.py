"""The parts of `minsy preview` that need no process: calendars, the strip of density, periods, and words."""

from datetime import UTC, datetime

import pytest
import typer

from apps.cli.decision_words import decision_text, local_text
from apps.cli.moments import moment_of
from apps.cli.preview_calendar import MOST_EVENTS, TooManyEventsError, calendar_of, escaped, folded
from apps.cli.preview_period import Period, period_of, zone_of
from apps.cli.preview_settings import variables_of
from apps.cli.preview_table import strip_of
from packages.scheduling.decision import Decision, Opinion, Reason, Verdict
from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS, to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode
from packages.scheduling.preview import preview
from packages.scheduling.preview_columns import Preview
from packages.scheduling.preview_summary import summary_of
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.triggers.interval import IntervalTrigger

NOON = to_instant(datetime(2026, 11, 22, 12, tzinfo=UTC))
BERLIN = zone_of("Europe/Berlin")


def a_preview(*, every_ms: int, hours: float) -> Preview:
    job = Job("area.job, daily", "area.job", IntervalTrigger(every_ms), "area; a queue", Criticality.CRITICAL)
    return preview([job], Snapshot(taken_at=NOON), start=NOON, end=NOON + int(hours * HOUR_MS))


def events_of(text: str) -> list[dict[str, str]]:
    events: list[dict[str, str]] = []
    for line in text.replace("\r\n ", "").split("\r\n"):
        name, _, value = line.partition(":")
        if line == "BEGIN:VEVENT":
            events.append({})
        elif events:
            events[-1][name] = value
    return events


def test_a_rare_job_has_an_event_for_each_fire() -> None:
    text = calendar_of(a_preview(every_ms=HOUR_MS // 4, hours=2), now=NOON)
    events = events_of(text)
    assert [event["DTSTART"] for event in events][:3] == ["20261122T120000Z", "20261122T121500Z", "20261122T123000Z"]
    assert len(events) == len({event["UID"] for event in events}) == 8
    assert {event["DTSTAMP"] for event in events} == {"20261122T120000Z"}
    assert events[0]["SUMMARY"] == "area.job\\, daily"
    assert events[0]["DESCRIPTION"].startswith("queue area\\; a queue\\nnominal ")
    assert text.startswith("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:")
    assert text.endswith("END:VCALENDAR\r\n")
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))


def test_a_frequent_job_has_an_event_for_each_hour() -> None:
    events = events_of(calendar_of(a_preview(every_ms=MINUTE_MS, hours=1.5), now=NOON))
    assert [(event["SUMMARY"], event["DTSTART"], event["DTEND"]) for event in events] == [
        ("area.job\\, daily: 60 fires", "20261122T120000Z", "20261122T125900Z"),
        ("area.job\\, daily: 30 fires", "20261122T130000Z", "20261122T132900Z"),
    ]


def test_a_calendar_has_its_limit() -> None:
    with pytest.raises(TooManyEventsError, match="--job") as refused:
        calendar_of(a_preview(every_ms=MINUTE_MS, hours=MOST_EVENTS + 1), now=NOON)
    assert refused.value.events == MOST_EVENTS + 1


def test_no_character_is_cut_by_folding() -> None:
    line = "SUMMARY:" + "ü€🙂" * 40
    pieces = folded(line).split("\r\n")
    assert all(len(piece.encode()) <= 75 for piece in pieces)
    assert all(piece.startswith(" ") for piece in pieces[1:])
    assert pieces[0] + "".join(piece[1:] for piece in pieces[1:]) == line


def test_text_is_escaped() -> None:
    assert escaped("a\\b; c, d\ne\r\nf") == "a\\\\b\\; c\\, d\\ne\\nf"


def test_the_strip_has_a_character_for_each_hour() -> None:
    found = a_preview(every_ms=20 * MINUTE_MS, hours=13.5)
    lines = strip_of(summary_of(found), start=found.start, end=found.end, blocks="12345678")
    assert lines == ["2026-11-22             888888888888", "2026-11-23 86"]
    rare = a_preview(every_ms=2 * HOUR_MS, hours=3)
    assert strip_of(summary_of(rare), start=rare.start, end=rare.end, blocks="12345678") == [
        "2026-11-22             8·8"
    ]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-22T12:00:00Z", NOON),
        ("2026-11-22T13:00", NOON),
        ("2026-11-22 12:00:00.5+00:00", NOON + 500),
        ("2026-11-23", NOON + 11 * HOUR_MS),
    ],
)
def test_a_moment_without_a_zone_is_in_the_zone_of_the_option(text: str, instant: int) -> None:
    assert moment_of(text, BERLIN) == instant


@pytest.mark.parametrize("text", ["tomorrow", "", "1969-12-31", "2200-01-02T00:00:00Z", "2026-13-01"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"2026-11-22|between"):
        moment_of(text, BERLIN)


def test_the_period() -> None:
    assert period_of(now=NOON, since=None, until=None, hours=None) == Period(NOON, NOON + DAY_MS)
    assert period_of(now=0, since=NOON, until=None, hours=0.5) == Period(NOON, NOON + HOUR_MS // 2)
    assert period_of(now=NOON, since=None, until=NOON + 1, hours=None) == Period(NOON, NOON + 1)


@pytest.mark.parametrize(
    ("until", "hours", "said"),
    [
        (NOON, 1.0, "--to"),
        (NOON, None, "not after"),
        (NOON + 367 * DAY_MS, None, "366"),
        (None, 0.0, "not after"),
        (None, float("inf"), "no length"),
        (None, float("nan"), "no length"),
    ],
)
def test_what_is_no_period_is_refused(until: int | None, hours: float | None, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        period_of(now=NOON, since=NOON, until=until, hours=hours)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("POSTGRES_BACKUP_HOUR_UTC", "NAME=VALUE"),
        ("POSTGRES_BACKUP_HOUR=5", "did you mean POSTGRES_BACKUP_HOUR_UTC"),
        ("POSTGRES_BACKUP_HOUR_UTC=", "no value"),
        ("MINSY_ENV=prod", "unknown"),
    ],
)
def test_what_if_takes_variables_of_beat_only(assignment: str, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        variables_of([assignment])
    assert variables_of(["log_level=INFO", "LOG_LEVEL=a=b"]) == {"LOG_LEVEL": "a=b"}


def test_a_reason_tells_what_the_deciding_gate_knows() -> None:
    held = Opinion(
        "pause", Verdict.SKIP, Reason.PAUSED, facts=(("scope", "all"), ("until", NOON), ("note", "a release"))
    )
    seen = Opinion(
        "trading_hours", Verdict.SKIP, Reason.MARKET_CLOSED, facts=(("XNYS", "closed"),), mode=GateMode.OBSERVE
    )
    skip = Decision("a.b", NOON, NOON, "schedule", NOON, Verdict.SKIP, Reason.PAUSED, opinions=(held, seen))
    assert decision_text(skip) == (
        "paused scope all, until 2026-11-22T12:00:00Z, note a release; "
        "observe: would have been held back: market_closed XNYS closed"
    )
    many = Decision("a.b", NOON, NOON, "schedule", NOON, Verdict.SKIP, Reason.MISSED, count=12)
    assert decision_text(many) == "missed 12 nominals"


def test_a_local_time_has_its_offset() -> None:
    assert local_text(NOON, BERLIN) == "2026-11-22 13:00:00+01:00"
    assert local_text(NOON + 5, BERLIN) == "2026-11-22 13:00:00.005+01:00"
