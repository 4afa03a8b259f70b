"""What a running or stopped service says of the work of its jobs: how long a run took, how much was published.

Nothing is started for it, and nothing is missed without it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from celery import Celery, states
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from apps.cli.environment import load_celery_app
from apps.cli.errors import CommandError
from apps.cli.plan_work import Measured
from apps.cli.preview_jobs import Selected, previewed
from apps.cli.preview_period import Period
from packages.infra.beat.state_store import StoreAwayError
from packages.infra.connections import resolve_connections
from packages.infra.ledger.redis_ledger import RedisLedger
from packages.infra.queue.broker_redis import BrokerRedis, open_state_redis
from packages.infra.queue.last_runs import read_last_runs
from packages.infra.queue.work_counts import WorkCounts
from packages.scheduling.decision import Decision
from packages.scheduling.flatten.flatten import is_fire
from packages.scheduling.flatten.observed import published_of
from packages.scheduling.instants import DAY_MS, SECOND_MS, to_instant
from packages.shared_settings import get_worker_io_settings

# How far back, and how many decisions at most: reading more takes seconds.
DAYS: Final = 3
_MOST_DECISIONS: Final = 50_000
# The past of the counts comes in so many calls at most: where very much is counted, a bucket with each.
_MOST_ASKED: Final = 400
# A share says something from so many nominals on, and if it is so far from all of them.
_LEAST_PREVIEWED: Final = 20
_AS_PREVIEWED: Final = range(900, 1101)


@dataclass(frozen=True)
class Readings:
    """By job. `absent` says why there is nothing; None when the broker answered. `decisions`: how many were counted."""

    absent: str | None = None
    measured: Mapping[str, Measured] = field(default_factory=dict)
    published: Mapping[str, int] = field(default_factory=dict)
    decisions: int = 0


def read_readings(selected: Selected, *, now: datetime, with_ledger: bool) -> Readings:
    """What the broker of this process's settings has about the jobs. Never raises for want of it.

    `with_ledger`: the jobs are those of this process's settings, so what beat published can be held against them.
    """
    if resolve_connections(get_worker_io_settings()).broker_url is None:
        return Readings(absent="no broker runs")
    app = load_celery_app()
    try:
        measured = _last_runs(app, selected)
        redis = open_state_redis(app)
        if redis is None:
            return Readings(None, measured)
        try:
            measured |= _counted(redis, selected)
            decisions = _decisions(redis, to_instant(now) - DAYS * DAY_MS) if with_ledger else ()
        finally:
            redis.close()
    except (OperationalError, RedisError, StoreAwayError, OSError) as error:
        # The kind alone: the text of a refused connection may have its URL.
        return Readings(absent=f"the broker cannot be reached ({type(error).__name__})")
    return Readings(None, measured, _published(selected, decisions, now=now), len(decisions))


def _last_runs(app: Celery, selected: Selected) -> dict[str, Measured]:
    # A run that failed may have ended early.
    runs = {run.task: run for run in read_last_runs(app).values() if run.state == states.SUCCESS}
    return {
        job.name: Measured(runs[job.task].seconds * SECOND_MS, "last run") for job in selected.jobs if job.task in runs
    }


def _counted(redis: BrokerRedis, selected: Selected) -> dict[str, Measured]:
    """The mean of the runs that the workers have counted, whoever asked for them and however they ended."""
    counts = WorkCounts(redis)
    # They count by the server's clock, and ours may be another one.
    seconds, microseconds = redis.client.time()
    at = seconds * SECOND_MS + microseconds // 1_000
    for _ in range(_MOST_ASKED):
        with redis.client.pipeline(transaction=False) as pipe:
            if counts.ask(pipe, at) == 0:
                break
            counts.take(pipe.execute(raise_on_error=False), at)
        if counts.covers(DAYS * DAY_MS, at):
            break
    runs, run_ms = Counter[str](), Counter[str]()
    for each in counts.counts(DAYS * DAY_MS, at):
        runs[each.task] += each.ok + each.failed
        run_ms[each.task] += each.run_ms
    return {
        job.name: Measured(run_ms[job.task] / runs[job.task], f"{runs[job.task]:,} runs in {DAYS} days")
        for job in selected.jobs
        if runs[job.task]
    }


def _decisions(redis: BrokerRedis, since: int) -> Sequence[Decision]:
    return [each for each in RedisLedger(redis).read(None, _MOST_DECISIONS) if each.at >= since]


def _published(selected: Selected, decisions: Sequence[Decision], *, now: datetime) -> dict[str, int]:
    """In thousandths of what a preview of the same nominals publishes, where that says something else."""
    if not decisions:
        return {}
    by_job: dict[str, list[Decision]] = {}
    for decision in decisions:
        by_job.setdefault(decision.job, []).append(decision)
    nominals = [each.nominal if each.first_nominal is None else each.first_nominal for each in decisions]
    # As far as the jitter of the last one may put it.
    ends = max(each.nominal for each in decisions) + max(job.policies.jitter_ms for job in selected.jobs) + 1
    try:
        found, _ = previewed(selected, Period(min(nominals), ends), now=now)
    except CommandError:
        return {}
    fires = is_fire(found)
    shares: dict[str, int] = {}
    for index, job in enumerate(selected.jobs):
        fired = found.nominal[fires & (found.job == index)]
        fired.sort()
        counted = published_of(by_job.get(job.name, ()), fired)
        share = counted.per_mille
        if counted.previewed >= _LEAST_PREVIEWED and share is not None and share not in _AS_PREVIEWED:
            shares[job.name] = share
    return shares
