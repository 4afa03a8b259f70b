"""What a worker's main process tells beat from time to time, from a thread of its own, so that no task waits for it.

Every few seconds: that it lives, and which runs it holds. A worker that serves the market data also says now and then
which markets are in use. A report that fails is left out and comes again.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from celery import Celery, signals
from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from packages.infra.db.errors import DatabaseError
from packages.infra.queue.active_markets import ActiveMarketsStore
from packages.infra.queue.active_markets_query import query_active_markets
from packages.infra.queue.outages import Errand
from packages.infra.queue.running import RENEWED_EVERY
from packages.infra.queue.running_signals import ProcessRedis, keeper_of, present

log = logging.getLogger(__name__)

MARKETS_TOLD_EVERY: Final = timedelta(seconds=30)


@dataclass(frozen=True)
class Report:
    """Something to tell, and how often."""

    every: timedelta
    tell: Callable[[], object]


class Reporter:
    """A thread that makes each report at once and then at its pace, until it is stopped."""

    def __init__(self, reports: Sequence[Report], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._reports = reports
        self._monotonic = monotonic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="minsy-reports", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the report that is being made."""
        self._stop.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        due = [self._monotonic()] * len(self._reports)
        while not self._stop.wait(max(0.0, min(due) - self._monotonic())):
            for n, report in enumerate(self._reports):
                if self._monotonic() < due[n]:
                    continue
                try:
                    report.tell()
                except Exception:
                    # The loop boundary: what one report does wrong must not silence the others.
                    log.exception("report_failed")
                due[n] = self._monotonic() + report.every.total_seconds()


def connect_worker_reports(*, database_url: str | None) -> None:
    """Have a worker make its reports while it is ready; called once, when the app is made.

    `database_url` is where the subscriptions are, for a worker that is to say which markets are in use.
    """
    reporters: list[Reporter] = []

    def begin(sender: Any, **_: object) -> None:  # noqa: ANN401  # celery's consumer
        reporter = Reporter(reports_of(sender.app, database_url))
        reporters.append(reporter)
        reporter.start()

    def end(**_: object) -> None:
        while reporters:
            reporters.pop().stop()

    signals.worker_ready.connect(begin, weak=False)
    signals.worker_shutdown.connect(end, weak=False)


def reports_of(app: Celery, database_url: str | None) -> Sequence[Report]:
    """What a worker of this app tells; `database_url` as in `connect_worker_reports`."""
    reports = [Report(RENEWED_EVERY, lambda: keeper_of(app).renew(present()))]
    if database_url is not None:
        reports.append(Report(MARKETS_TOLD_EVERY, _active_markets_report(app, database_url)))
    return reports


def _active_markets_report(app: Celery, database_url: str) -> Callable[[], object]:
    process_redis = ProcessRedis(app)
    errand = Errand("active_markets_report", (RedisError, KombuError, SQLAlchemyError, DatabaseError, OSError))

    def tell() -> None:
        if (redis := process_redis()) is not None:
            ActiveMarketsStore(redis).write(query_active_markets(database_url), present())

    return lambda: errand.run(tell)
