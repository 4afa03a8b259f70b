"""The checker finds each kind of fault, and takes nothing that is in order for one."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.faults.checker import Arrival, Kind, Span, Window, busiest, check
from tests.faults.laws import Declared, Grid, MakesUp, Minutes

START = 1_800_000_000_000
ALL = Declared("all", Grid(1_000), MakesUp.ALL)
LATEST = Declared("latest", Grid(1_000, 500), MakesUp.LATEST)
PLAIN = Declared("plain", None, MakesUp.LATEST, period_ms=2_000)
JITTERED = Declared("jittered", Grid(1_000), MakesUp.ALL, jitter_ms=400)
JOBS = (ALL, LATEST, PLAIN, JITTERED)
SPANS = (Span(START, START + 10_000),)


def came(job: str, after_ms: int, *, late_ms: int = 3, term: int = 1) -> Arrival:
    nominal = START + after_ms
    return Arrival(
        job=job,
        scheduled_for=nominal,
        planned_for=nominal,
        published_at=nominal + late_ms,
        origin="schedule",
        term=term,
        task_id=f"{job}-{nominal}",
        arrived_at=nominal + late_ms,
        batch=after_ms + late_ms,
    )


def in_order() -> list[Arrival]:
    found = [came("all", n * 1_000) for n in range(1, 11)]
    found += [came("latest", n * 1_000 + 500) for n in range(10)]
    found += [came("plain", n * 2_000 + 777) for n in range(5)]
    found += [replace(came("jittered", n * 1_000, late_ms=390), planned_for=START + n * 1_000 + 380) for n in range(11)]
    return sorted(found, key=lambda arrival: arrival.batch)


def without(job: str, *after_ms: int) -> list[Arrival]:
    gone = {(job, START + each) for each in after_ms}
    return [arrival for arrival in in_order() if (arrival.job, arrival.scheduled_for) not in gone]


def changed(job: str, after_ms: int, **fields: object) -> list[Arrival]:
    return [
        replace(arrival, **fields)  # type: ignore[arg-type]  # a table
        if (arrival.job, arrival.scheduled_for) == (job, START + after_ms)
        else arrival
        for arrival in in_order()
    ]


def kinds(
    arrivals: Sequence[Arrival], *, outages: Sequence[Window] = (), lost: Sequence[Window] = ()
) -> list[tuple[Kind, str]]:
    report = check(JOBS, arrivals, SPANS, outages=outages, lost=lost, late_after_ms=1_000)
    return [(fault.kind, fault.job) for fault in report.faults]


def test_what_is_in_order_has_no_fault() -> None:
    assert kinds(in_order()) == []


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        (without("all", 3_000), [(Kind.MISSED, "all")]),
        (without("latest", 3_500, 4_500), [(Kind.MISSED, "latest")] * 2),
        (without("plain", 2_777), [(Kind.MISSED, "plain")]),
        (without("plain", 777, 2_777, 4_777, 6_777, 8_777), [(Kind.MISSED, "plain")]),
        ([*in_order(), came("all", 3_000, late_ms=40)], [(Kind.DUPLICATED, "all")]),
        (changed("all", 3_000, arrived_at=START + 2_990), [(Kind.EARLY, "all")]),
        (changed("jittered", 3_000, arrived_at=START + 3_300), [(Kind.EARLY, "jittered")]),
        (changed("jittered", 3_000, planned_for=START + 2_999), [(Kind.EARLY, "jittered")]),
        (
            changed("jittered", 3_000, planned_for=START + 3_400, arrived_at=START + 3_401),
            [(Kind.UNEXPECTED, "jittered")],
        ),
        (changed("all", 3_000, arrived_at=START + 4_001), [(Kind.LATE, "all")]),
        (changed("all", 3_000, term=0), [(Kind.OLD_TERM, "all")]),
        (changed("all", 3_000, term=None), [(Kind.UNEXPECTED, "all")]),
        ([*in_order(), came("all", 3_001)], [(Kind.UNEXPECTED, "all")]),
        ([*in_order(), came("nobody's", 3_000)], [(Kind.UNEXPECTED, "nobody's")]),
        (changed("all", 3_000, origin="clock:1"), [(Kind.MISSED, "all"), (Kind.UNEXPECTED, "all")]),
    ],
)
def test_each_fault_is_found(arrivals: list[Arrival], expected: list[tuple[Kind, str]]) -> None:
    assert kinds(arrivals) == expected


def test_after_an_outage_all_are_made_up_for_or_the_latest_one() -> None:
    outage = Window(START + 3_000, START + 6_200)
    owed = [came("all", n * 1_000, late_ms=6_200 - n * 1_000) for n in (3, 4, 5, 6)]
    late = [*without("all", 3_000, 4_000, 5_000, 6_000), *owed]
    assert {kind for kind, _ in kinds(late)} == {Kind.LATE}
    assert kinds(late, outages=[outage]) == []
    # The last one of the outage is owed, too, and an end that is later makes no fire of before it late.
    assert kinds(without("latest", 3_500, 4_500), outages=[outage]) == []
    assert kinds(without("latest", 3_500, 4_500, 5_500), outages=[outage]) == [(Kind.MISSED, "latest")]
    assert kinds(without("all", 4_000), outages=[outage]) == [(Kind.MISSED, "all")]


def test_while_beat_looked_away_only_the_latest_is_owed() -> None:
    gone = without("latest", 3_500)
    stalled = changed("all", 3_000, published_at=START + 4_600, arrived_at=START + 4_602)
    assert kinds(gone) == [(Kind.MISSED, "latest")]
    assert kinds([arrival for arrival in stalled if arrival in gone or arrival.job == "all"]) == [(Kind.LATE, "all")]


def test_what_the_server_forgot_may_be_missing_or_come_twice() -> None:
    lost = [Window(START + 2_500, START + 3_500)]
    assert kinds(without("all", 3_000), lost=lost) == []
    assert kinds([*in_order(), came("all", 3_000, late_ms=40)], lost=lost) == []
    assert kinds([*in_order(), came("all", 3_000, late_ms=4_000)], lost=lost) == []
    assert kinds([*in_order(), came("all", 5_000, late_ms=40)], lost=lost) == [(Kind.DUPLICATED, "all")]


def test_messages_that_were_taken_together_have_no_order() -> None:
    one_batch = [replace(came("all", n * 1_000, term=term), batch=7) for n, term in ((1, 2), (2, 1))]
    report = check([ALL], one_batch, [Span(START, START + 2_000)], late_after_ms=9_000)
    assert report.of(Kind.OLD_TERM) == ()
    in_two = [one_batch[0], replace(one_batch[1], batch=8)]
    report = check([ALL], in_two, [Span(START, START + 2_000)], late_after_ms=9_000)
    assert [fault.nominal for fault in report.of(Kind.OLD_TERM)] == [START + 2_000]


def test_each_span_has_its_origin() -> None:
    again = [replace(arrival, origin="clock:1", batch=99_999) for arrival in in_order() if arrival.job == "all"]
    arrivals = [*in_order(), *again]
    spans = [*SPANS, Span(START + 5_000, START + 10_000, "clock:1")]
    report = check([ALL], [a for a in arrivals if a.job == "all"], spans, late_after_ms=1_000)
    assert report.faults == ()


def test_the_busiest_stretch() -> None:
    assert busiest([], 1_000) == 0
    assert busiest([came("all", n * 100) for n in range(50)], 1_000) == 10


@pytest.mark.parametrize(
    ("law", "start", "end", "expected"),
    [
        (Grid(1_000, 300), 299, 1_300, [300, 1_300]),
        (Grid(1_000, 300), 300, 1_299, []),
        (Grid(1_000, START + 777), 776, 1_777, [777, 1_777]),
        (Minutes(), 0, 120_000, [60_000, 120_000]),
        (Minutes(but_minute=1), -1, 120_000, [0, 120_000]),
        (Minutes(but_hour=0), 0, 3_660_000, [3_600_000, 3_660_000]),
    ],
)
def test_the_laws(law: Grid | Minutes, start: int, end: int, expected: list[int]) -> None:
    assert list(law.nominals(start, end)) == expected
