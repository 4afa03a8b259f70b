"""A broker that does not answer is waited for once or twice in a tick, whatever there is to do."""

from datetime import timedelta
from typing import Any

from celery.schedules import BaseSchedule, schedstate

from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import OverlapMode, Policies, TradingHours
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.freezable import freezable
from tests.beat.stepped import Clock, make_app, on_clock, settle

POLICIES = Policies(overlap=OverlapMode.SKIP, trading_hours=TradingHours(("24/7",)))


class Always(BaseSchedule):
    """Is due whenever it is asked."""

    def is_due(self, last_run_at: object) -> schedstate:
        return schedstate(is_due=last_run_at is not None, next=1.0)


def entries() -> dict[str, Any]:
    names = [f"job-{n}" for n in range(9)]
    jobs = [Job(name, "t", IntervalTrigger(1_000), "q", Criticality.CRITICAL, policies=POLICIES) for name in names]
    whole = {job.name: {"task": "t", "schedule": JobSchedule(job)} for job in jobs}
    return whole | {f"polled-{n}": {"task": "t", "schedule": Always()} for n in range(5)}


def test_a_tick_asks_a_silent_broker_for_hardly_anything(redis_url: str) -> None:
    with freezable(redis_url) as way:
        clock = Clock()
        scheduler = AdaptiveScheduler(make_app(entries(), broker=way.url))
        on_clock(scheduler, clock)
        settle(scheduler)
        assert scheduler._loop is not None
        way.is_frozen = True
        clock.step(timedelta(seconds=2))
        scheduler.tick()
        # One for all that is read, one for the commit.
        assert 1 <= way.swallowed <= 2
        assert scheduler.quarantined == {}
        way.is_frozen = False
        scheduler._loop._opened.ask_again()
        clock.step(timedelta(seconds=6))
        settle(scheduler)
        decided = scheduler._loop._opened.ledger.read("job-0", 20)
        scheduler.close()
    # It goes on where it was, and nothing of what was decided meanwhile is missing from the record.
    assert {decision.verdict.value for decision in decided} >= {"fire", "defer"}
