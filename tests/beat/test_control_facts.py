"""What the metrics say of the adaptive control: the same as `minsy status`, of what there is, for few questions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.cli.control_state import ControlState
from packages.infra.beat.control_facts import MOST_ASKED, control_facts
from packages.infra.telemetry.beat_families import beat_registry
from packages.infra.telemetry.beat_metrics import MOST_QUEUES, BeatMetrics, ControlFacts, Facts
from packages.scheduling.control.controllers import Controllers, LevelControl, QueueControl, TargetControl
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import Reason
from packages.scheduling.engine import Engine
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Exemption, Pin, Snapshot
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.scheduling.jobs import MIDNIGHT, MINUTE, BrokenTrigger

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

PLUS, CRITICAL, SHEDDABLE = Criticality.CRITICAL_PLUS, Criticality.CRITICAL, Criticality.SHEDDABLE
UNSERVED = QueueControl(since=MIDNIGHT, unserved_since=MIDNIGHT)


@dataclass(frozen=True)
class Counted:
    """Each minute, and counts how often it is asked."""

    asked: list[int] = field(default_factory=list)
    repeats_when_set_back: ClassVar[bool] = True

    def next_after(self, after: int) -> int | None:
        self.asked.append(after)
        return IntervalTrigger(MINUTE).next_after(after)

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        return IntervalTrigger(MINUTE).between(start, end)

    def describe(self) -> str:
        return "every minute, counted"


def a_job(
    name: str,
    criticality: Criticality,
    *,
    queue: str = "q",
    expires_ms: int | None = 2 * MINUTE,
    trigger: Trigger | None = None,
) -> Job:
    return Job(name, name, trigger or IntervalTrigger(MINUTE), queue, criticality, expires_ms)


def engine_of(jobs: Iterable[Job], controllers: Controllers) -> Engine:
    engine = Engine()
    for job in jobs:
        engine.add(job, None, MIDNIGHT)
    engine.put_controllers(controllers)
    return engine


def facts_of(engine: Engine, *pins: Pin) -> ControlFacts:
    said = {(pin.queue, pin.criticality): pin for pin in pins}
    return control_facts(engine, Snapshot(MIDNIGHT, pins=said, controllers=engine.controllers), MIDNIGHT)


def test_critical_work_that_nobody_serves_is_told_as_its_gate_lets_it_through() -> None:
    jobs = [
        a_job("often", CRITICAL),
        a_job("seldom", CRITICAL, expires_ms=4 * MINUTE),
        a_job("for_ever", CRITICAL, expires_ms=None),
        a_job("at_all_costs", PLUS),
        a_job("export", SHEDDABLE),
        a_job("served", CRITICAL, queue="r"),
    ]
    engine = engine_of(jobs, Controllers(queues={"q": UNSERVED, "r": QueueControl()}))
    assert facts_of(engine).rates == {
        ("q", PLUS): 1,
        ("q", CRITICAL): 0.25,
        ("q", SHEDDABLE): 0,
        ("r", CRITICAL): 1,
    }


def test_only_what_there_is_has_a_series_and_loses_it_with_its_last_job() -> None:
    engine = engine_of([a_job("one", SHEDDABLE), a_job("two", CRITICAL)], Controllers(queues={"q": QueueControl(7)}))
    metrics = BeatMetrics()
    registry = beat_registry(metrics, lambda: 0.0)

    def series() -> dict[str, float]:
        metrics.tell(Facts(control=facts_of(engine)))
        [family] = [each for each in registry.collect() if each.name == "minsy_beat_rate"]
        return {each.labels["criticality"]: each.value for each in family.samples}

    assert series() == {"sheddable": 1, "critical": 1}
    engine.remove("one")
    assert series() == {"critical": 1}
    assert facts_of(engine).waits_s == {"q": 0.007}
    engine.remove("two")
    assert series() == {}
    assert facts_of(engine) == ControlFacts()


def test_a_pin_is_told_also_where_there_is_no_job() -> None:
    engine = engine_of([a_job("one", SHEDDABLE)], Controllers(levels={"fast": LevelControl(3, MIDNIGHT)}))
    pins = Pin("q", CRITICAL, ONE // 4, 0, None, ""), Pin("r", SHEDDABLE, ONE, 0, None, "")
    assert facts_of(engine, *pins).rates == {("q", SHEDDABLE): 0, ("q", CRITICAL): 0.25, ("r", SHEDDABLE): 1}


def test_tasks_that_fail_are_told_and_of_very_many_the_first_ones() -> None:
    targets = {f"{n:03}": TargetControl(ONE // 5, MIDNIGHT) for n in reversed(range(MOST_QUEUES + 1))}
    told = facts_of(engine_of([], Controllers(targets=targets))).targets
    assert told == {f"{n:03}": 0.2 for n in range(MOST_QUEUES)}


@pytest.mark.parametrize("unserved", [0, 1, MOST_QUEUES])
def test_so_many_jobs_are_asked_and_no_more(unserved: int) -> None:
    queues = [f"{n:03}" for n in range(MOST_QUEUES)]
    triggers = {name: Counted() for queue in queues for name in (f"{queue}-{n}" for n in range(MOST_ASKED // 50))}
    jobs = [a_job(name, CRITICAL, queue=name[:3], trigger=each) for name, each in triggers.items()]
    more = [a_job(f"{n}", CRITICAL, queue="000", trigger=Counted()) for n in range(MOST_ASKED)]
    controllers = Controllers(queues=dict.fromkeys(queues[:unserved], UNSERVED))
    engine = engine_of(jobs + more, controllers)
    counted = [job.trigger for job in jobs + more if isinstance(job.trigger, Counted)]
    for each in counted:
        each.asked.clear()
    told = facts_of(engine).rates
    assert sum(bool(each.asked) for each in counted) == (MOST_ASKED if unserved else 0)
    assert told == {(queue, CRITICAL): 0.5 if queue in controllers.queues else 1 for queue in queues}


def test_of_too_many_those_that_came_first_are_asked() -> None:
    jobs = [a_job(f"{n}", CRITICAL) for n in range(MOST_ASKED)]
    engine = engine_of([*jobs, a_job("later", CRITICAL, expires_ms=8 * MINUTE)], Controllers(queues={"q": UNSERVED}))
    assert facts_of(engine).rates == {("q", CRITICAL): 0.5}
    engine.remove("0")
    assert facts_of(engine).rates == {("q", CRITICAL): 0.125}


def test_a_job_whose_trigger_is_broken_says_nothing_of_the_others() -> None:
    jobs = [a_job("broken", CRITICAL, trigger=BrokenTrigger()), a_job("whole", CRITICAL)]
    assert facts_of(engine_of(jobs, Controllers(queues={"q": UNSERVED}))).rates == {("q", CRITICAL): 0.5}


QUEUES = ("q", "r", "s")
criticalities = st.sampled_from(Criticality)
rates = st.sampled_from([0, ONE // 3, ONE])
kinds = st.tuples(st.sampled_from(QUEUES), criticalities)
some_jobs = st.lists(st.tuples(kinds, st.sampled_from([None, 1, 2 * MINUTE, 5 * MINUTE])), max_size=8)
some_pins = st.lists(
    st.builds(
        Pin,
        st.sampled_from(QUEUES),
        st.none() | criticalities,
        rates,
        st.just(0),
        st.sampled_from([None, MIDNIGHT, MIDNIGHT + 1]),
        st.just(""),
    ),
    max_size=3,
)
controls = st.builds(
    QueueControl,
    rates=st.dictionaries(criticalities, rates, max_size=2),
    unserved_since=st.sampled_from([None, MIDNIGHT]),
)
levels = st.builds(
    LevelControl,
    st.integers(0, 3),
    st.just(MIDNIGHT),
    sheds=st.none() | st.frozensets(st.sampled_from(QUEUES), max_size=2),
)
states = st.builds(
    Controllers,
    queues=st.dictionaries(st.sampled_from(QUEUES), controls, max_size=3),
    levels=st.dictionaries(st.just("fast"), levels, max_size=1),
)
some_modes = st.dictionaries(st.sampled_from(["pin", "backlog", "slo"]), st.sampled_from(GateMode), max_size=2)


@given(given_jobs=some_jobs, pins=some_pins, controllers=states, modes=some_modes, exempt=st.integers(0, 3))
def test_it_is_what_minsy_status_says(
    given_jobs: Sequence[tuple[tuple[str, Criticality], int | None]],
    pins: list[Pin],
    controllers: Controllers,
    modes: dict[str, GateMode],
    exempt: int,
) -> None:
    jobs = [
        a_job(f"{n}", criticality, queue=queue, expires_ms=expires_ms)
        for n, ((queue, criticality), expires_ms) in enumerate(given_jobs)
    ]
    said = {(pin.queue, pin.criticality): pin for pin in pins}
    state = ControlState(controllers, MIDNIGHT, True, True, tuple(said.values()), modes, jobs=tuple(jobs))  # noqa: FBT003  # leads and is on
    present = {(job.queue, job.criticality) for job in jobs}
    shown = {
        (each.queue, each.criticality): each.rate / ONE
        for each in state.throttles()
        if not each.observed and ((each.queue, each.criticality) in present or each.reason is Reason.PINNED)
    }
    exemptions = {job.name: Exemption(job.name, 0, None, "") for job in jobs[:exempt]}
    snapshot = Snapshot(MIDNIGHT, gate_modes=modes, pins=said, exempt=exemptions, controllers=controllers)
    told = control_facts(engine_of(jobs, controllers), snapshot, MIDNIGHT)
    assert told.rates == dict.fromkeys(present, 1.0) | shown
