"""What was recorded while beat ran is enough to come to the same decisions again, credit and waits included."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import redis

from packages.infra.ledger.recorded_ticks import RecordedTick, recorded_ticks
from packages.infra.ledger.redis_ledger import RedisLedger
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.candidate import Candidate
from packages.scheduling.control.policy import BacklogPolicy, ControlPolicy
from packages.scheduling.decide import decide
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.policies import GateMode
from tests.beat.controlled import DRAINS, JOBS, STANDS, Told, controlled, controlled_app
from tests.beat.stepped import NOON, Clock, run_until

# What is decided about several fires at once, or by what became of a message: no gate is asked.
BY_NO_GATE = {Reason.COALESCED, Reason.SUPERSEDED, Reason.MISSED, Reason.PUBLISH_FAILED, Reason.WITHDRAWN}
MINUTE = timedelta(minutes=1)


class Waiting:
    """The fires that wait, by what was recorded of them: why, and since when."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int, str], tuple[Reason, int]] = {}

    def candidate(self, decision: Decision, ahead: int) -> Candidate:
        waited, since = self._open.get(_fire(decision), (None, None))
        credits_told = [n for each in decision.opinions for name, n in each.facts if name == "credit"]
        return Candidate(
            JOBS[decision.job],
            decision.nominal,
            decision.planned,
            decision.origin,
            decision.at,
            waited=waited,
            since=since,
            ahead=ahead,
            credit=int(credits_told[0]) if credits_told else None,
        )

    def note(self, tick: RecordedTick) -> None:
        """What the tick made of its fires. A fire waits from when the oldest one was planned that it stands for."""
        for decision in (each for each in tick.decisions if each.reason not in BY_NO_GATE):
            ended = [
                self._open.pop(_fire(other))[1]
                for other in tick.decisions
                if other.reason in BY_NO_GATE and other.job == decision.job and _fire(other) in self._open
            ]
            _, since = self._open.pop(_fire(decision), (None, decision.planned))
            if decision.verdict is Verdict.DEFER:
                self._open[_fire(decision)] = decision.reason, min([since, *ended])


def _fire(decision: Decision) -> tuple[str, int, str]:
    return decision.job, decision.nominal, decision.origin


def replayed(ticks: Iterator[RecordedTick]) -> Iterator[tuple[Decision, Decision]]:
    """Each decision of a gate, and the one that the same code comes to now."""
    waiting = Waiting()
    for tick in ticks:
        assert tick.is_whole
        assert tick.record is not None
        ahead: dict[str, int] = {}
        for decision in tick.decisions:
            if decision.reason in BY_NO_GATE:
                continue
            before = ahead.get(decision.job, 0)
            yield decision, decide(waiting.candidate(decision, before), tick.record.snapshot)
            ahead[decision.job] = before + (decision.verdict is Verdict.FIRE)
        waiting.note(tick)


def run(url: str, policy: ControlPolicy) -> list[tuple[Decision, Decision]]:
    """A queue stands, is seen no more, drains; the replica is another one in between."""
    clock, told = Clock(), Told()
    app = controlled_app(url, policy=policy)
    for minutes, reading in ((3, STANDS), (4, None), (5, STANDS), (9, DRAINS)):
        told.reading = reading
        scheduler = controlled(app, clock, told)
        run_until(scheduler, clock, NOON + minutes * MINUTE)
        scheduler.close()
    with redis.Redis.from_url(url) as client:
        return list(replayed(recorded_ticks(RedisLedger(BrokerRedis(client, "test", channel=None)))))


def test_recorded_decisions_are_made_again(redis_url: str) -> None:
    pairs = run(redis_url, ControlPolicy())
    reasons = {recorded.reason for recorded, _ in pairs}
    assert reasons == {Reason.ON_TIME, Reason.THROTTLED, Reason.WAITED}
    said = {opinion.reason for recorded, _ in pairs for opinion in recorded.opinions}
    assert said == {Reason.THROTTLED, Reason.IN_TURN, Reason.STALE}
    for recorded, again in pairs:
        assert (again.verdict, again.reason, again.opinions) == (recorded.verdict, recorded.reason, recorded.opinions)


def test_so_are_those_of_gates_that_only_observe(redis_url: str) -> None:
    policy = replace(ControlPolicy(), backlog=BacklogPolicy(mode=GateMode.OBSERVE))
    pairs = run(redis_url, policy)
    assert {recorded.verdict for recorded, _ in pairs} == {Verdict.FIRE}
    modes = {opinion.mode for recorded, _ in pairs for opinion in recorded.opinions}
    assert modes == {GateMode.OBSERVE}
    for recorded, again in pairs:
        assert (again.verdict, again.reason, again.opinions) == (recorded.verdict, recorded.reason, recorded.opinions)
