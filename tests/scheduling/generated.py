"""Jobs, snapshots and periods by Hypothesis, and the engine stepped by hand: what a preview is compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from packages.scheduling.control.controllers import (
    Controllers,
    LevelControl,
    QueueControl,
    TargetControl,
)
from packages.scheduling.decision import Decision
from packages.scheduling.engine import Engine
from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import (
    CatchUp,
    CatchUpMode,
    GateMode,
    OverlapMode,
    Policies,
    TradingHours,
    UnknownDates,
    WindowAction,
    Windows,
    WindowSpan,
)
from packages.scheduling.snapshot import Exemption, Pause, PauseScope, Pin, Reading, Run, Snapshot
from packages.scheduling.state import JobState
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.triggers.cron_parse import parse_cron
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.scheduling.jobs import MIDNIGHT, a_job
from tests.scheduling.markets import tables

ZONES = ("UTC", "America/New_York", "Europe/London", "Asia/Kolkata")
MARKET = "TEST"
# The week of 2026-03-02 and the one in which New York sets its clocks forward (2026-03-08).
WEEKS_MS = 10 * DAY_MS
CRONS = ("*/15 * * * *", "30 2 * * *", "0 9-16 * * 1-5", "5 0 1 * *", "0 */2 * * *", "17 3 8 3 *")


def triggers(*, shortest: int = SECOND_MS) -> st.SearchStrategy[Trigger]:
    """Intervals of at least `shortest`, and crons in several zones."""
    periods = st.sampled_from([shortest, 7 * shortest, 90 * SECOND_MS, 10 * MINUTE_MS, HOUR_MS, 5 * HOUR_MS, DAY_MS])
    usable = periods.filter(lambda period: period >= shortest)
    intervals = st.builds(IntervalTrigger, usable, st.integers(0, DAY_MS))
    crons = st.builds(lambda text, zone: parse_cron(text, zone=zone), st.sampled_from(CRONS), st.sampled_from(ZONES))
    return intervals | crons


def windows() -> st.SearchStrategy[Windows]:
    """Off-peak windows, by weekday, over midnight, outside of the market."""
    days = st.frozensets(st.integers(0, 6), min_size=1)
    spans = st.builds(WindowSpan, days, st.sampled_from([0, 60, 600, 1320]), st.sampled_from([61, 360, 1080, 1440]))
    unknown = st.sampled_from(UnknownDates)
    action = st.sampled_from(WindowAction)
    mode = st.sampled_from(GateMode)
    some = st.lists(spans, min_size=1, max_size=2).map(tuple)
    of_time = st.builds(Windows, zone=st.sampled_from(ZONES), spans=some, action=action, unknown=unknown, mode=mode)
    of_market = st.builds(Windows, outside_sessions_of=st.just((MARKET,)), action=action, unknown=unknown, mode=mode)
    return of_time | of_market


def policies() -> st.SearchStrategy[Policies]:
    """Every policy there is."""
    return st.builds(
        Policies,
        jitter_ms=st.sampled_from([0, 0, 1, 500, 30 * SECOND_MS, 2 * HOUR_MS]),
        catch_up=st.builds(
            CatchUp,
            st.sampled_from(CatchUpMode),
            st.sampled_from([MINUTE_MS, 30 * MINUTE_MS, 6 * HOUR_MS, DAY_MS]),
            st.sampled_from([1, 3, 20]),
        ),
        overlap=st.sampled_from(OverlapMode),
        trading_hours=st.none()
        | st.builds(
            TradingHours,
            markets=st.just((MARKET,)),
            before_ms=st.sampled_from([0, 5 * MINUTE_MS]),
            after_ms=st.sampled_from([0, 15 * MINUTE_MS]),
            unknown=st.sampled_from(UnknownDates),
            mode=st.sampled_from(GateMode),
        ),
        windows=st.none() | windows(),
        max_staleness_ms=st.sampled_from([None, None, 20 * MINUTE_MS, 3 * HOUR_MS]),
    )


@st.composite
def job_lists(draw: st.DrawFn, *, shortest: int = SECOND_MS) -> list[Job]:
    """One to three jobs; those with windows fire at most every ten minutes, so that stepping them stays quick."""
    jobs = []
    for number in range(draw(st.integers(1, 3))):
        own = draw(policies())
        trigger = draw(triggers(shortest=10 * MINUTE_MS if own.windows is not None else shortest))
        criticality = draw(st.sampled_from(Criticality))
        jobs.append(a_job(f"area.job_{number}", trigger=trigger, policies=own, criticality=criticality))
    return jobs


def instants() -> st.SearchStrategy[int]:
    """Instants of the two weeks, most of them full seconds."""
    return st.integers(0, WEEKS_MS // 1000).map(lambda step: MIDNIGHT + step * 1000) | st.integers(
        MIDNIGHT, MIDNIGHT + WEEKS_MS
    )


@dataclass(frozen=True)
class Scene:
    """What is previewed: the jobs and the readings over [start, end)."""

    jobs: list[Job]
    snapshot: Snapshot
    start: int
    end: int


@st.composite
def scenes(draw: st.DrawFn, *, shortest: int = SECOND_MS) -> Scene:
    """Long periods of rare fires and short ones of frequent fires, so that each is stepped in a moment."""
    period, length = draw(
        st.sampled_from(
            [
                (SECOND_MS, 5 * MINUTE_MS),
                (90 * SECOND_MS, 5 * HOUR_MS),
                (10 * MINUTE_MS, 26 * HOUR_MS),
                (HOUR_MS, 5 * DAY_MS),
            ]
        ).filter(lambda pair: pair[0] >= shortest)
    )
    start = draw(instants())
    end = start + draw(st.sampled_from([1, length // 7, length]))
    return Scene(draw(job_lists(shortest=period)), draw(snapshots(start)), start, end)


@st.composite
def snapshots(draw: st.DrawFn, start: int) -> Snapshot:
    """A frozen snapshot, often with a calendar, with pauses, and with runs that end soon after `start`."""
    ends = st.none() | instants()
    pauses = st.lists(
        st.builds(
            Pause,
            scope=st.just(PauseScope.ALL),
            target=st.just(""),
            since=st.just(MIDNIGHT),
            until=ends,
            note=st.just("by hand"),
        )
        | st.builds(
            Pause,
            scope=st.just(PauseScope.JOB),
            target=st.just("area.job_0"),
            since=st.just(MIDNIGHT),
            until=ends,
            note=st.just(""),
        ),
        max_size=2,
    )
    near = st.integers(-MINUTE_MS, 3 * MINUTE_MS).map(lambda offset: start + offset)
    runs = st.dictionaries(
        st.sampled_from(["area.job_0", "area.job_1"]),
        st.lists(st.builds(Run, st.uuids().map(str), st.just(MIDNIGHT), near), min_size=1, max_size=2).map(tuple),
    )
    markets = draw(st.none() | tables(MARKET))
    given_pauses, given_runs = draw(st.none() | pauses), draw(st.none() | runs)
    modes = draw(st.dictionaries(st.sampled_from(["trading_hours", "windows"]), st.sampled_from(GateMode), max_size=1))
    return Snapshot(
        taken_at=MIDNIGHT,
        markets={} if markets is None else {MARKET: markets},
        pauses=None if given_pauses is None else Reading(tuple(given_pauses), MIDNIGHT),
        running=None if given_runs is None else Reading(given_runs, MIDNIGHT),
        gate_modes=modes,
    )


def controllers() -> st.SearchStrategy[Controllers]:
    """What throttles jobs of the queue `area`, by whatever controller."""
    rates = st.sampled_from([0, 50_000, 333_333, 500_000, 900_000])
    return st.builds(
        Controllers,
        queues=st.builds(
            lambda rates, since: {"area": QueueControl(rates=rates, unserved_since=since)},
            st.dictionaries(st.sampled_from(Criticality), rates, max_size=3),
            st.sampled_from([None, MIDNIGHT]),
        ),
        levels=st.dictionaries(st.just("api"), st.builds(LevelControl, st.integers(0, 3), st.just(MIDNIGHT))),
        targets=st.dictionaries(st.just("area.job_0"), st.builds(TargetControl, rates, st.just(MIDNIGHT))),
    )


@st.composite
def spoken(draw: st.DrawFn, scene: Scene) -> Snapshot:
    """The snapshot of a scene with pins and exemptions that end in its period, after it, before it, or never."""
    ends = st.none() | st.integers(scene.start - 1, scene.end + 1)
    scopes = st.none() | st.sampled_from(Criticality)
    pins = {
        ("area", scope): Pin("area", scope, draw(st.sampled_from([0, 300_000, 1_000_000])), MIDNIGHT, draw(ends), "")
        for scope in draw(st.frozensets(scopes, max_size=3))
    }
    names = draw(st.frozensets(st.sampled_from([job.name for job in scene.jobs]), max_size=2))
    exempt = {name: Exemption(name, MIDNIGHT, draw(ends), "") for name in names}
    return scene.snapshot._replace(pins=pins, exempt=exempt)


def stepped(
    jobs: Sequence[Job], snapshot: Snapshot, states: Mapping[str, JobState], *, start: int, end: int, late_ms: int = 0
) -> list[Decision]:
    """Every final decision of an engine that is ticked at each wake-up, `late_ms` after it, from `start` on."""
    engine = Engine(snapshot.markets)
    for job in jobs:
        engine.add(job, states[job.name]._replace(trigger=job.trigger.describe()), start)
    decisions: list[Decision] = []
    while (wake := engine.next_wake()) is not None and wake < end:
        now = max(wake + late_ms, start)
        tick = engine.tick(snapshot._replace(taken_at=now), now)
        assert not tick.failures
        decisions += [decision for decision in tick.decisions if decision.is_final]
    return decisions


def comparable(decisions: Sequence[Decision]) -> list[tuple[object, ...]]:
    """What two ways of deciding must agree on; how long an opinion holds at least may be told differently."""
    rows = [
        (
            decision.at,
            decision.job,
            decision.nominal,
            decision.planned,
            decision.origin,
            decision.verdict.value,
            decision.reason.value,
            decision.count,
            decision.cancels,
            tuple((o.gate, o.verdict.value, o.reason.value, o.mode.value, o.facts) for o in decision.opinions),
        )
        for decision in decisions
    ]
    return sorted(rows, key=lambda row: tuple(map(repr, row)))
