"""Decisions and snapshots for the tests: one of each kind, and any."""

from hypothesis import strategies as st

from packages.scheduling.control.controllers import NEUTRAL
from packages.scheduling.decision import Decision, Opinion, Reason, Verdict
from packages.scheduling.instants import LAST_INSTANT, NEVER_ENDS
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Pause, PauseScope, Reading, Run, Snapshot
from packages.scheduling.state import Backfill, JobState, OpenFire

CLOSED = Opinion("trading_hours", Verdict.SKIP, Reason.MARKET_CLOSED, facts=(("XNYS", "closed"), ("n", 3)))
PAUSED = Opinion("pause", Verdict.DEFER, Reason.PAUSED, until=9_000, holds_until=9_000, mode=GateMode.OBSERVE)
SKIP = Decision(
    "area.job",
    1_000,
    1_500,
    "schedule",
    1_700,
    Verdict.SKIP,
    Reason.MARKET_CLOSED,
    opinions=(CLOSED, PAUSED),
    holds_until=2_000,
    count=3,
    first_nominal=500,
    arm="b",
)
DEFER = Decision("area.job", 1_000, 1_500, "schedule", 1_700, Verdict.DEFER, Reason.STILL_RUNNING, until=3_000)
CANCEL = Decision(
    "area.job", 1_000, 1_500, "schedule", 1_700, Verdict.FIRE, Reason.STILL_RUNNING, cancels=("one", "two")
)


def fire(job: str = "area.job", nominal: int = 1_000) -> Decision:
    return Decision(job, nominal, nominal + 500, "schedule", nominal + 700, Verdict.FIRE, Reason.ON_TIME)


instants = st.integers(0, LAST_INSTANT)
texts = st.text(max_size=12)
verdicts, reasons, modes = (st.sampled_from(kind) for kind in (Verdict, Reason, GateMode))


@st.composite
def opinions(draw: st.DrawFn) -> Opinion:
    verdict: Verdict = draw(verdicts)
    return Opinion(
        draw(texts),
        verdict,
        draw(reasons),
        until=draw(instants) if verdict is Verdict.DEFER else None,
        holds_until=draw(instants | st.just(NEVER_ENDS)),
        facts=draw(st.lists(st.tuples(texts, texts | st.integers()), max_size=3).map(tuple)),
        mode=draw(modes),
        rate=draw(st.none() | st.integers(0, 10**6)),
    )


def or_default(value: object, others: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Mostly the default, so that what is written the short way is drawn often."""
    return st.one_of(st.just(value), st.just(value), st.just(value), others)


decisions = st.builds(
    Decision,
    texts,
    instants,
    instants,
    st.just("schedule") | texts,
    instants,
    verdicts,
    reasons,
    until=or_default(None, instants),
    opinions=or_default((), st.lists(opinions(), max_size=3).map(tuple)),
    holds_until=or_default(NEVER_ENDS, instants),
    count=or_default(1, st.integers(1, 10_000)),
    first_nominal=or_default(None, instants),
    cancels=or_default((), st.lists(texts, max_size=2).map(tuple)),
    arm=or_default(None, texts),
)
open_fires = st.builds(
    OpenFire, instants, instants, texts, instants, reasons, instants, st.integers(0, 9), forced=st.booleans()
)
states = st.builds(
    JobState,
    instants,
    texts,
    open=or_default((), st.lists(open_fires, max_size=2).map(tuple)),
    backfills=or_default(
        (), st.lists(st.builds(Backfill, texts, instants, instants, instants, instants), max_size=2).map(tuple)
    ),
    clock=st.integers(0, 3),
    fired=st.integers(0, 10**9),
    taken=or_default((), st.lists(texts, max_size=2).map(tuple)),
    credit=st.none() | st.integers(0, 10**6),
)


def readings(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.builds(Reading, values, instants)


def by_name(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.dictionaries(texts, values, max_size=3)


pauses = st.builds(Pause, st.sampled_from(PauseScope), texts, instants, st.none() | instants, texts)
runs = st.builds(Run, texts, instants, instants)
snapshots = st.builds(
    Snapshot,
    taken_at=instants,
    markets=st.just({}),
    pauses=st.none() | readings(st.lists(pauses, max_size=2).map(tuple)),
    active_markets=st.none() | readings(st.frozensets(texts, max_size=3)),
    running=st.none() | readings(by_name(st.lists(runs, max_size=2).map(tuple))),
    gate_modes=by_name(modes),
    queues=st.just({}),
    tasks=st.just({}),
    objectives=st.just({}),
    pins=st.just({}),
    exempt=st.just({}),
    controllers=st.just(NEUTRAL),
)
