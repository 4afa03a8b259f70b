"""What a worker's main process tells beat from time to time, from threads of its own, so that no task waits for it.

Every few seconds: which runs it holds. A worker that serves the market data also says now and then which markets are in
use. A report that fails is left out and comes again.
"""

import logging
import threading
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
    """Something to tell, how often, and what to tell at the end, if anything."""

    every: timedelta
    tell: Callable[[], object]
    at_end: Callable[[], object] | None = None


class Reporter:
    """A thread for each report, which makes it at once and then at its pace, until it is stopped.

    So a server that one report waits for holds up no other.
    """

    def __init__(self, reports: Sequence[Report]) -> None:
        self._reports = reports
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(report,), name="minsy-report", daemon=True) for report in reports
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, after the reports that are being made, and with what is to be told at the end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=2)
        for report in self._reports:
            if report.at_end is not None:
                _contained(report.at_end)

    def _run(self, report: Report) -> None:
        _contained(report.tell)
        while not self._stop.wait(report.every.total_seconds()):
            _contained(report.tell)


def report_while_ready(reports_of: Callable[[Any], Sequence[Report]]) -> None:
    """Have a worker make reports while it is ready; called when the app is made. `reports_of` gets its consumer."""
    reporters: list[Reporter] = []

    def begin(sender: Any, **_: object) -> None:  # noqa: ANN401  # celery's consumer
        reporter = Reporter(reports_of(sender))
        reporters.append(reporter)
        reporter.start()

    def end(**_: object) -> None:
        while reporters:
            reporters.pop().stop()

    signals.worker_ready.connect(begin, weak=False)
    signals.worker_shutdown.connect(end, weak=False)


def connect_worker_reports(*, database_url: str | None) -> None:
    """Have a worker tell which runs it holds; called once, when the app is made.

    `database_url` is where the subscriptions are, for a worker that is to say which markets are in use.
    """
    report_while_ready(lambda consumer: reports_of(consumer.app, database_url))


def reports_of(app: Celery, database_url: str | None) -> Sequence[Report]:
    """What a worker of this app tells; `database_url` as in `connect_worker_reports`."""
    reports = [Report(RENEWED_EVERY, lambda: keeper_of(app).renew(present()))]
    if database_url is not None:
        reports.append(Report(MARKETS_TOLD_EVERY, _active_markets_report(app, database_url)))
    return reports


def _contained(tell: Callable[[], object]) -> None:
    try:
        tell()
    except Exception:
        # The loop boundary: a report that goes wrong is made again.
        log.exception("report_failed")


def _active_markets_report(app: Celery, database_url: str) -> Callable[[], object]:
    process_redis = ProcessRedis(app)
    errand = Errand("active_markets_report", (RedisError, KombuError, SQLAlchemyError, DatabaseError, OSError))

    def tell() -> None:
        if (redis := process_redis()) is not None:
            ActiveMarketsStore(redis).write(query_active_markets(database_url), present())

    return lambda: errand.run(tell)
