"""Pins, exemptions and resets: they go before what the control thinks, and what waits hears of them at once."""

import pytest

from packages.scheduling.control.controllers import NEUTRAL, Controllers, LevelControl, QueueControl, TargetControl
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.engine import Engine
from packages.scheduling.model import Criticality
from packages.scheduling.snapshot import Exemption, Pin, Snapshot
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job

STOPPED = Controllers(
    stepped_at=MIDNIGHT,
    queues={"area": QueueControl(rates={Criticality.SHEDDABLE: 0}, since=MIDNIGHT), "other": QueueControl()},
    levels={"api": LevelControl(level=1, since=MIDNIGHT)},
    targets={"area.job": TargetControl(rate=0, since=MIDNIGHT)},
)


def an_engine(name: str = "area.job") -> Engine:
    """With one sheddable job every ten minutes, and a fire of it that is due at ten past midnight."""
    engine = Engine()
    engine.add(a_job(name, every=10 * MINUTE, criticality=Criticality.SHEDDABLE), None, MIDNIGHT)
    return engine


def pinned(rate: int, until: int | None = None) -> dict[tuple[str, Criticality | None], Pin]:
    return {("area", None): Pin("area", None, rate, since=MIDNIGHT, until=until, note="")}


def test_what_a_pin_holds_back_goes_out_at_once_when_it_is_taken_back() -> None:
    engine = an_engine()
    at = MIDNIGHT + 10 * MINUTE
    held = engine.tick(Snapshot(at, pins=pinned(0)), at)
    assert [(d.verdict, d.reason) for d in held.decisions] == [(Verdict.DEFER, Reason.PINNED)]
    asked_again = engine.tick(Snapshot(at + 1_000, pins=pinned(0)), at + 1_000)
    assert asked_again.decisions == ()
    out = engine.tick(Snapshot(at + 2_000), at + 2_000)
    assert [(d.verdict, d.reason) for d in out.decisions] == [(Verdict.FIRE, Reason.WAITED)]


def test_a_pin_that_has_ended_holds_nothing_although_it_is_still_told() -> None:
    engine = an_engine()
    at = MIDNIGHT + 10 * MINUTE
    assert engine.tick(Snapshot(at, pins=pinned(0, until=at)), at).fires


def test_an_exempt_job_goes_out_at_once_and_the_others_wait_on() -> None:
    engine = an_engine()
    engine.use_control(ControlPolicy())
    engine.put_controllers(STOPPED)
    engine.add(a_job("area.other", every=10 * MINUTE, criticality=Criticality.SHEDDABLE), None, MIDNIGHT)
    # Within the interval: the controllers stay what they are.
    engine.put_controllers(STOPPED._replace(stepped_at=MIDNIGHT + 10 * MINUTE))
    at = MIDNIGHT + 10 * MINUTE
    assert {d.verdict for d in engine.tick(Snapshot(at), at).decisions} == {Verdict.DEFER}
    exempt = {"area.job": Exemption("area.job", since=at, until=None, note="")}
    ticked = engine.tick(Snapshot(at + 1_000, exempt=exempt), at + 1_000)
    assert [fire.job.name for fire in ticked.fires] == ["area.job"]
    assert engine.open_fires == 1


@pytest.mark.parametrize("queue", [None, "area"])
def test_after_a_reset_nothing_is_throttled_and_what_waits_goes_out(queue: str | None) -> None:
    engine = an_engine("area.sweep")
    engine.use_control(ControlPolicy())
    at = MIDNIGHT + 10 * MINUTE
    engine.put_controllers(STOPPED._replace(stepped_at=at, levels={}))
    assert [d.reason for d in engine.tick(Snapshot(at), at).decisions] == [Reason.THROTTLED]
    engine.reset_control(queue)
    if queue is None:
        assert engine.controllers == NEUTRAL
    else:
        assert engine.controllers.queues.keys() == {"other"}
        assert engine.controllers.targets
    out = engine.tick(Snapshot(at + 1_000), at + 1_000)
    assert [(d.verdict, d.reason) for d in out.decisions] == [(Verdict.FIRE, Reason.WAITED)]
