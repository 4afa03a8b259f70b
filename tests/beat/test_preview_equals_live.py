"""48 hours of the real scheduler on a stepped clock, against the preview of them, fire by fire.

In these hours Casablanca sets its clocks back (2026-02-15, 03:00 to 02:00) and Hong Kong closes at noon (2026-02-16,
the day before the Lunar New Year). The live side is read back from the broker.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery import Celery

from packages.catalogue.jobs import enabled_jobs
from packages.infra.beat.readings import NoReadings
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.beat.wiring import open_for
from packages.infra.calendars.load import load_calendars
from packages.infra.queue.entries import beat_entries
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.decision import Verdict
from packages.scheduling.instants import HOUR_MS, MINUTE_MS, SECOND_MS, to_datetime, to_instant
from packages.scheduling.jitter import offset_ms
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import CatchUp, CatchUpMode, Policies, TradingHours
from packages.scheduling.preview import preview
from packages.scheduling.requests import Request
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.state import JobState
from packages.scheduling.triggers.cron_parse import parse_cron
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.triggers.union import Union
from packages.scheduling.windows import parse_windows
from packages.shared_settings.beat import BeatSettings
from tests.beat.stepped import Clock, on_clock, settle

if TYPE_CHECKING:
    from pathlib import Path

    from packages.scheduling.triggers.base import Trigger

START = datetime(2026, 2, 15, tzinfo=UTC)
END = START + timedelta(hours=48)
MARKETS = ("XHKG", "XNYS", "XLON", "24/7")
ZONES = ("UTC", "Africa/Casablanca", "America/New_York", "Asia/Hong_Kong", "Europe/London")
SETTINGS = BeatSettings(
    postgres_backup_enabled=True,
    user_email_csv_export_enabled=True,
    backtest_stale_job_cleanup_enabled=True,
    backtest_stale_job_cleanup_interval_minutes=20,
    paper_trading_enabled=True,
    notifications_enabled=True,
    notifications_loop_interval_seconds=60,
    trading_approval_enabled=True,
    trading_approval_expire_scan_interval_seconds=60,
    trading_hours_markets=("XHKG",),
)

Fire = tuple[str, str, str]


class Markets(NoReadings):
    """Nothing is known but the calendars."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def read(self, now: int) -> tuple[Snapshot, Sequence[Request]]:
        return self._snapshot._replace(taken_at=now), ()


def synthetic(n: int) -> Job:
    """One of two hundred jobs: every kind of trigger with every kind of policy, in several zones."""
    zone = ZONES[n % len(ZONES)]
    triggers: Sequence[Trigger] = (
        IntervalTrigger((30 + 7 * n) * MINUTE_MS, phase_ms=n * SECOND_MS),
        parse_cron(f"{n % 60} */3 * * *", zone=zone),
        parse_cron(f"{n % 60} 2 * * *", zone=zone),
        parse_cron(f"*/30 {n % 12}-{n % 12 + 4} * * 1-5", zone=zone),
        Union((IntervalTrigger(5 * HOUR_MS), parse_cron(f"{n % 60} {n % 24} * * *", zone=zone))),
    )
    policies = (
        Policies(),
        Policies(jitter_ms=90 * SECOND_MS),
        Policies(jitter_ms=40 * MINUTE_MS, trading_hours=TradingHours((MARKETS[n % 4],), before_ms=MINUTE_MS)),
        Policies(jitter_ms=10 * MINUTE_MS, windows=parse_windows(f"22:00-06:00 {zone}")),
        Policies(catch_up=CatchUp(CatchUpMode.ALL), windows=parse_windows("outside XHKG; 01:00-20:00 Asia/Hong_Kong")),
        Policies(windows=parse_windows(f"Mon 00:00-12:00 {zone}; skip")),
    )
    return Job(
        name=f"synthetic.job_{n}",
        task=f"synthetic.job_{n}",
        trigger=triggers[n % len(triggers)],
        queue="synthetic",
        criticality=list(Criticality)[n % len(Criticality)],
        policies=policies[n % len(policies)],
    )


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    directory: Path = tmp_path_factory.mktemp("calendars")
    return Snapshot(taken_at=to_instant(START), markets=load_calendars(MARKETS, directory, now=START))


def jobs() -> list[Job]:
    return [*enabled_jobs(SETTINGS), *(synthetic(n) for n in range(200))]


def live(app: Celery, snapshot: Snapshot) -> None:
    """Run the scheduler through the hours, waking a little late each time."""
    clock = Clock(START - timedelta(milliseconds=1))
    scheduler = AdaptiveScheduler(app)
    scheduler.open_for = lambda host: open_for(host)._replace(readings=Markets(snapshot))
    on_clock(scheduler, clock)
    settle(scheduler)
    assert scheduler._loop is not None
    while (wake := scheduler._loop.next_wake()) is not None and to_datetime(wake) < END:
        clock.to(max(clock.now, to_datetime(wake + offset_ms("late", wake, 900))))
        settle(scheduler)
    scheduler.close()


def published(url: str) -> Iterator[dict[str, Any]]:
    """The headers of all messages, out of the queues."""
    with redis.Redis.from_url(url) as client:
        lists = {f"{job.queue}{suffix}" for job in jobs() for suffix in ("", "\x06\x163", "\x06\x166")}
        for key in lists:
            while body := client.rpop(key):
                headers: dict[str, Any] = json.loads(body)["headers"]
                yield headers


def foreseen(snapshot: Snapshot, ours: Collection[Job]) -> list[Fire]:
    states = {job.name: JobState(watermark=to_instant(START) - 1) for job in ours}
    found = preview(ours, snapshot, start=to_instant(START), end=to_instant(END), states=states)
    assert found.failures == {}
    return sorted(
        (decision.job, rfc3339(to_datetime(decision.nominal)), rfc3339(to_datetime(decision.planned)))
        for decision in found.decisions()
        if decision.verdict is Verdict.FIRE
    )


def test_the_preview_of_two_days_is_what_beat_publishes_in_them(redis_url: str, snapshot: Snapshot) -> None:
    app = Celery("test", broker=redis_url, set_as_current=False)
    app.conf.update(beat_schedule=beat_entries(jobs(), priorities=True), timezone="UTC")
    live(app, snapshot)
    messages = list(published(redis_url))
    arrived = sorted((str(m["beat_job"]), str(m["scheduled_for"]), str(m["planned_for"])) for m in messages)
    expected = foreseen(snapshot, jobs())
    assert len(expected) > 4_000
    assert arrived == expected
    assert {job for job, _, _ in expected} >= {job.name for job in enabled_jobs(SETTINGS)}
    for message in messages:
        late = datetime.fromisoformat(message["beat_published_at"]) - datetime.fromisoformat(message["planned_for"])
        # A fire that waited for its window goes out when that opens; no other is early or late.
        assert late >= timedelta(0)
    assert len({str(m["id"]) for m in messages}) == len(messages)
