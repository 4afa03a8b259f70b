"""What a beat may go through, by Hypothesis: readings of every kind, absent or old ones, and operators' words over it.

A history is made of stretches, in each of which the world is the same: what throttles must have stood for a while.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hypothesis import strategies as st

from packages.scheduling.control.burn import WINDOWS_MS
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.control.policy import BacklogPolicy, ControlPolicy, SloPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.instants import MINUTE_MS, SECOND_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import CatchUp, CatchUpMode, GateMode, Policies
from packages.scheduling.readings import QueueReading, TaskReading, WindowCount
from packages.scheduling.snapshot import Exemption, Pin, Reading, Snapshot
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.scheduling.jobs import MIDNIGHT, a_job

QUEUES: Final = ("area", "other")
OBJECTIVES: Final = (
    Objective("orders", Measure.SUCCESS, 900_000, task="orders.place"),
    Objective("prices", Measure.SUCCESS, 990_000, task="prices.fetch", sheds=frozenset({"area"})),
)
POLICY: Final = ControlPolicy(
    # Critical work may be slowed, too, or half of the code has nothing to say.
    backlog=BacklogPolicy(least_rates={**BacklogPolicy().least_rates, Criticality.CRITICAL: ONE // 2}),
    slo=SloPolicy(objectives=OBJECTIVES, dwell_ms=MINUTE_MS),
)
_GATES: Final = ("backlog", "slo", "failing_target", "pin")
# Of the jobs, and of their tasks.
NAMES: Final = tuple(f"job_{number}" for number in range(7))


@dataclass(frozen=True)
class Flow:
    """A queue for a while: with so many messages at first, and so many more or fewer at each tick."""

    messages: int
    growth: int
    completed: int | None
    consumers: int | None
    tells_age: bool
    group: frozenset[str]

    def at(self, tick: int, lasted_ms: int) -> QueueReading:
        """What a probe tells after so many ticks."""
        ready = max(0, self.messages + tick * self.growth)
        oldest_ms = lasted_ms if self.tells_age and ready else None
        return QueueReading(ready, oldest_ms, 0, 1, self.completed, 30 * SECOND_MS, self.consumers, self.group)


_flows = st.builds(
    Flow,
    messages=st.sampled_from([0, 1, 40, 900]),
    growth=st.sampled_from([0, 0, 7, 150, -3, -60]),
    completed=st.sampled_from([None, 0, 60, 600]),
    consumers=st.sampled_from([None, 0, 2, 2]),
    tells_age=st.booleans(),
    group=st.sampled_from([frozenset(), frozenset(QUEUES)]),
)
_tasks = st.builds(TaskReading, st.sampled_from([0, 3, 100]), st.just(0)) | st.builds(
    TaskReading, st.just(100), st.sampled_from([0, 20, 100])
)
# Of a hundred events in each window so many are bad; or there are no events.
_burns = st.sampled_from([0, 0, 15, 80, 100, None])


def read_objective(bad: int | None) -> tuple[WindowCount, ...]:
    """What is read of an objective, in all windows."""
    total = 0 if bad is None else 100
    return tuple(WindowCount(window_ms, bad or 0, total) for window_ms in WINDOWS_MS)


@dataclass(frozen=True)
class Stretch:
    """`ages_ms`: how old each reading of a tick is, in turns; None: there is none."""

    ticks: int
    every_ms: int
    flows: dict[str, Flow]
    tasks: dict[str, TaskReading]
    burns: dict[str, int | None]
    ages_ms: tuple[int | None, ...]
    modes: dict[str, GateMode]
    pins: dict[tuple[str, Criticality | None], int]
    exempt: frozenset[str]

    def snapshots(self, began_at: int) -> Iterator[Snapshot]:
        """One for each tick, from the first one behind `began_at` on."""
        said = MIDNIGHT
        pins = {key: Pin(*key, rate, said, None, "") for key, rate in self.pins.items()}
        exempt = {name: Exemption(name, said, None, "") for name in self.exempt}
        for tick in range(1, self.ticks + 1):
            now = began_at + tick * self.every_ms
            ages = (self.ages_ms[(tick + n) % len(self.ages_ms)] for n in range(1_000))

            def taken(values: dict[str, Any], now: int = now, ages: Iterator[int | None] = ages) -> dict[str, Any]:
                aged = zip(values.items(), ages, strict=False)
                return {name: Reading(value, now - age) for (name, value), age in aged if age is not None}

            yield Snapshot(
                now,
                queues=taken({name: flow.at(tick, now - began_at) for name, flow in self.flows.items()}),
                tasks=taken(self.tasks),
                objectives=taken({name: read_objective(bad) for name, bad in self.burns.items()}),
                gate_modes=self.modes,
                pins=pins,
                exempt=exempt,
            )


def _stretches() -> st.SearchStrategy[Stretch]:
    shares = st.sampled_from([0, 300_000, ONE])
    return st.builds(
        Stretch,
        ticks=st.integers(1, 20),
        every_ms=st.sampled_from([10 * SECOND_MS, 10 * SECOND_MS, 3 * SECOND_MS, 61 * SECOND_MS]),
        flows=st.dictionaries(st.sampled_from([*QUEUES, "unknown"]), _flows, max_size=3),
        tasks=st.dictionaries(st.sampled_from(NAMES), _tasks, max_size=3),
        burns=st.dictionaries(st.sampled_from([each.name for each in OBJECTIVES]), _burns, max_size=2),
        ages_ms=st.lists(st.sampled_from([0, 0, 0, 9_000, 31_000, -1_000, None]), min_size=1, max_size=5).map(tuple),
        modes=st.just({}) | st.dictionaries(st.sampled_from(_GATES), st.sampled_from(GateMode), max_size=2),
        pins=st.just({})
        | st.dictionaries(
            st.tuples(st.sampled_from(QUEUES), st.none() | st.sampled_from(Criticality)), shares, max_size=2
        ),
        exempt=st.just(frozenset()) | st.frozensets(st.sampled_from(NAMES), max_size=2),
    )


def _told(stretches: Sequence[Stretch]) -> list[Snapshot]:
    told: list[Snapshot] = []
    for stretch in stretches:
        told += stretch.snapshots(told[-1].taken_at if told else MIDNIGHT)
    return told


histories = st.lists(_stretches(), min_size=1, max_size=6).map(_told)


@st.composite
def job_lists(draw: st.DrawFn) -> list[Job]:
    """Jobs of all criticalities, and some more, in two queues."""
    jobs: list[Job] = []
    more = draw(st.lists(st.sampled_from(Criticality), max_size=len(NAMES) - len(Criticality)))
    for name, criticality in zip(NAMES, [*Criticality, *more], strict=False):
        policies = Policies(
            jitter_ms=draw(st.sampled_from([0, 0, 900])),
            catch_up=CatchUp(draw(st.sampled_from(CatchUpMode)), 10 * MINUTE_MS, 5),
            max_staleness_ms=draw(st.sampled_from([None, None, 90 * SECOND_MS])),
        )
        trigger = IntervalTrigger(draw(st.sampled_from([5, 10, 60, 600])) * SECOND_MS)
        job = a_job(name, trigger=trigger, policies=policies, criticality=criticality)
        expires_ms = draw(st.sampled_from([None, 2 * trigger.period_ms]))
        jobs.append(replace(job, queue=draw(st.sampled_from(QUEUES)), expires_ms=expires_ms))
    return jobs
