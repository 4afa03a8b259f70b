"""What holds of an engine under control, whatever it goes through: the same again, and no word on critical_plus."""

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packages.infra.beat.stored_controllers import controllers_of, controllers_text
from packages.infra.beat.stored_values import state_of, state_text
from packages.scheduling.control.controllers import Controllers
from packages.scheduling.decision import Decision, Reason
from packages.scheduling.engine import Engine
from packages.scheduling.gates import backlog, failing_target, slo
from packages.scheduling.model import Criticality, Job
from packages.scheduling.snapshot import Exemption, Snapshot
from packages.scheduling.state import JobState
from tests.scheduling.control.histories import POLICY, histories, job_lists
from tests.scheduling.jobs import MIDNIGHT

OF_THE_CONTROL = {backlog.NAME, slo.NAME, failing_target.NAME}
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Said(NamedTuple):
    """What comes of one tick."""

    decisions: list[Decision]
    states: dict[str, JobState]
    controllers: Controllers


def an_engine(jobs: Sequence[Job]) -> Engine:
    engine = Engine()
    for job in jobs:
        engine.add(job, JobState(MIDNIGHT, job.trigger.describe()), MIDNIGHT)
    engine.use_control(POLICY)
    return engine


def read_again(engine: Engine, now: int) -> Engine:
    """The engine of another beat, which has what this one has stored; the last job first."""
    other = Engine()
    for name in reversed([*engine.names]):
        other.add(engine.job(name), state_of(state_text(engine.state(name))), now)
    other.use_control(POLICY)
    other.put_controllers(controllers_of(controllers_text(engine.controllers)))
    return other


def ticked(engine: Engine, snapshot: Snapshot) -> Said:
    decisions: list[Decision] = []
    more = True
    while more:
        tick = engine.tick(snapshot, snapshot.taken_at)
        assert not tick.failures
        decisions += tick.decisions
        more = tick.more
    decisions.sort(key=lambda decision: (decision.job, decision.nominal, decision.origin, decision.verdict))
    return Said(decisions, {name: engine.state(name) for name in engine.names}, engine.controllers)


@QUICK
@given(history=histories, jobs=job_lists(), data=st.data())
def test_the_same_history_has_the_same_decisions_in_any_order_and_in_any_beat(
    history: list[Snapshot], jobs: list[Job], data: st.DataObject
) -> None:
    one, reordered = an_engine(jobs), an_engine(data.draw(st.permutations(jobs)))
    kept = an_engine(jobs)
    taken_over_at = data.draw(st.integers(0, len(history) - 1))
    for number, snapshot in enumerate(history):
        if number >= taken_over_at:
            # Who takes over asks again at once what waits, and so does who hears another word of an operator.
            word = Exemption("somebody", MIDNIGHT, None, "")
            snapshot = snapshot._replace(exempt={**snapshot.exempt, word.job: word})  # noqa: PLW2901  # the same for all
        if number == taken_over_at:
            kept = read_again(kept, snapshot.taken_at)
        said = ticked(one, snapshot)
        assert ticked(reordered, snapshot) == said
        again = ticked(kept, snapshot)
        assert (again.decisions, again.states) == (said.decisions, said.states)
        # What was taken up since the last interval is counted by one beat, and stored with the next one.
        assert again.controllers._replace(coalesced={}) == said.controllers._replace(coalesced={})
        assert controllers_of(controllers_text(said.controllers)) == said.controllers


@QUICK
@given(history=histories, jobs=job_lists())
def test_no_gate_of_the_control_ever_holds_a_fire_of_critical_plus_back(
    history: list[Snapshot], jobs: list[Job]
) -> None:
    engine = an_engine(jobs)
    spared = {job.name for job in jobs if job.criticality is Criticality.CRITICAL_PLUS}
    for snapshot in history:
        for decision in ticked(engine, snapshot).decisions:
            if decision.job in spared:
                assert not OF_THE_CONTROL & {opinion.gate for opinion in decision.opinions}
                assert decision.reason is not Reason.COALESCED or snapshot.pins
