"""A preview of 24 hours of 10,000 mixed jobs: how long it takes and how much memory. Prints one JSON line.

The mix: 40 % intervals of 1 to 60 minutes, 40 % crons (`EXPRESSIONS` in five zones), 10 % relative to the sessions of
three exchanges, 10 % once a day at a time of their own. Every second job has a jitter, every eighth trading hours,
every eighth a window: those that fire at most once an hour wait for it, the others skip. The preview is built in a
process of its own, and that process's largest size counts; `jobs_seconds` is what the jobs took before, mostly to read
the texts of the crons. The peers name the nominals of some of the crons one by one,
without jitter, gates or rows; what is compared is time for each fire. `python -m benchmarks.preview`
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from packages.infra.calendars.load import load_calendars
from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import DEFAULT_POLICIES, Policies, TradingHours, Windows
from packages.scheduling.preview import preview
from packages.scheduling.session_instants import SessionEvent
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.triggers.cron_parse import parse_cron
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.triggers.market import MarketEvent, WithinSession
from packages.scheduling.windows import parse_windows
from packages.shared_settings.layers import ROOT

JOBS = 10_000
RUNS = 5
START = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
EXPRESSIONS = ("* * * * *", "*/5 * * * *", "0 * * * *", "30 3 * * *", "*/15 9-16 * * 1-5")
ZONES = ("UTC", "America/New_York", "Europe/London", "Asia/Tokyo", "Asia/Kolkata")
MARKETS = ("XNYS", "XLON", "XTKS")
WINDOWS = ("22:00-06:00 America/New_York", "Mon-Fri 18:00-08:00 Europe/London", "outside XNYS", "Sat,Sun 00:00-24:00")
_MEASURE = "--measure"


def mixed_jobs(count: int, calendars: Mapping[str, SessionTable]) -> list[Job]:
    """`count` jobs, the same ones each time."""
    return [_job(number, *_trigger(number, calendars)) for number in range(count)]


def _trigger(number: int, calendars: Mapping[str, SessionTable]) -> tuple[Trigger, int]:
    """The trigger of a job, and about how far apart its fires are."""
    kind, number = number % 10, number // 10
    if kind < 4:  # noqa: PLR2004  # 40 % of ten
        period_ms = (1 + number * 7 % 60) * MINUTE_MS
        return IntervalTrigger(period_ms), period_ms
    if kind < 8:  # noqa: PLR2004  # another 40 %
        expression = EXPRESSIONS[number % len(EXPRESSIONS)]
        every_ms = (MINUTE_MS, 5 * MINUTE_MS, HOUR_MS, DAY_MS, 15 * MINUTE_MS)[number % len(EXPRESSIONS)]
        return parse_cron(expression, zone=ZONES[number // 5 % len(ZONES)]), every_ms
    if kind == 8:  # noqa: PLR2004  # 10 %
        table = calendars[MARKETS[number % len(MARKETS)]]
        if number % 2:
            return WithinSession((table,), every_ms=5 * MINUTE_MS), 5 * MINUTE_MS
        return MarketEvent((table,), event=SessionEvent.CLOSE, offset_ms=number % 90 * MINUTE_MS), DAY_MS
    return parse_cron(f"{number % 60} {number // 60 % 24} * * *", zone=ZONES[number % len(ZONES)]), DAY_MS


def _job(number: int, trigger: Trigger, every_ms: int) -> Job:
    name = f"area.job_{number}"
    # Not in step with the kinds of triggers.
    draw = number // 10
    policies = DEFAULT_POLICIES
    jitter_ms = min(every_ms // 10, 30 * SECOND_MS) if draw % 2 else 0
    if draw % 8 == 1:
        policies = Policies(jitter_ms=jitter_ms, trading_hours=TradingHours((MARKETS[draw // 8 % len(MARKETS)],)))
    elif draw % 8 == 4:  # noqa: PLR2004  # another eighth
        policies = Policies(jitter_ms=jitter_ms, windows=_window(draw // 8, every_ms))
    elif jitter_ms:
        policies = Policies(jitter_ms=jitter_ms)
    return Job(name, name, trigger, f"queue_{number % 7}", Criticality.CRITICAL, policies=policies)


def _window(number: int, every_ms: int) -> Windows:
    text = WINDOWS[number % len(WINDOWS)]
    return parse_windows(text if every_ms >= HOUR_MS else f"{text}; skip")


def measure(directory: Path) -> dict[str, float | int]:
    """One preview in this process."""
    calendars = load_calendars(MARKETS, directory, now=START)
    start = to_instant(START)
    began = time.perf_counter()
    jobs = mixed_jobs(JOBS, calendars)
    jobs_seconds = time.perf_counter() - began
    began = time.perf_counter()
    found = preview(jobs, Snapshot(taken_at=start, markets=calendars), start=start, end=start + DAY_MS)
    seconds = time.perf_counter() - began
    if found.failures:
        raise SystemExit(f"jobs failed: {found.failures}")
    # Linux says kilobytes.
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "jobs_seconds": jobs_seconds, "rows": len(found), "max_rss_mb": most_mb}


def by_cronsim(expression: str, zone: ZoneInfo) -> Iterator[datetime]:
    """Every fire of 24 hours."""
    from cronsim import CronSim

    start = START.astimezone(zone)
    for at in CronSim(expression, start):
        if at >= start + timedelta(days=1):
            return
        yield at


def by_celery(expression: str, zone: ZoneInfo) -> Iterator[datetime]:
    """Every fire of 24 hours, as beat asks for them."""
    from celery import Celery
    from celery.schedules import crontab

    app = Celery("cron", set_as_current=False)
    app.conf.update(timezone=str(zone), enable_utc=True)
    minute, hour, day_of_month, month, day_of_week = expression.split()
    now = START.astimezone(zone)
    schedule = crontab(minute, hour, day_of_week, day_of_month, month, app=app, nowfun=lambda: now)
    while True:
        now = (now.astimezone(UTC) + schedule.remaining_estimate(now)).astimezone(zone)
        if now >= START + timedelta(days=1):
            return
        yield now


def us_per_fire(peer: str) -> float:
    """Microseconds for each fire of all expressions in all zones."""
    fires, began = 0, time.perf_counter()
    for expression in EXPRESSIONS:
        for zone in ZONES:
            fires += sum(1 for _ in {"cronsim": by_cronsim, "celery": by_celery}[peer](expression, ZoneInfo(zone)))
    return (time.perf_counter() - began) / fires * 1e6


def main() -> None:
    """Measure and print; the median run counts."""
    with tempfile.TemporaryDirectory(prefix="minsy-bench-") as name:
        if _MEASURE in sys.argv:
            print(json.dumps(measure(Path(sys.argv[-1]))))
            return
        load_calendars(MARKETS, Path(name), now=START)
        runs = []
        for _ in range(RUNS):
            command = [sys.executable, "-m", "benchmarks.preview", _MEASURE, name]
            done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120)
            runs.append(json.loads(done.stdout))
        peers = {peer: us_per_fire(peer) for peer in ("cronsim", "celery")}
    median = sorted(runs, key=lambda run: run["seconds"])[RUNS // 2]
    own_us = median["seconds"] / median["rows"] * 1e6
    print(
        json.dumps(
            {
                "benchmark": "preview",
                "jobs": JOBS,
                "hours": 24,
                "rows": median["rows"],
                "seconds": round(median["seconds"], 3),
                "jobs_seconds": round(median["jobs_seconds"], 3),
                "max_rss_mb": round(max(run["max_rss_mb"] for run in runs)),
                "us_per_row": round(own_us, 3),
                **{f"{peer}_us_per_fire": round(us, 2) for peer, us in peers.items()},
                **{f"ratio_{peer}": round(us / own_us, 1) for peer, us in peers.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
