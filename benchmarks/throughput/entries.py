"""The entries of a run as ordinary Celery dictionaries with `last_run_at`. Neutral: imports nothing of ours."""

from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import crontab, schedule

from benchmarks.throughput.run import TASK, WARM_UP, Run

_HOURS_AWAY = 3


def entries_of(run: Run) -> dict[str, dict[str, Any]]:
    """The entries by name. The argument of each is its number."""
    due, period = datetime.fromtimestamp(run.due_at, UTC), timedelta(seconds=run.period_s)
    entries = {f"entry-{number}": _entry(run, number, due - period, period) for number in range(run.count)}
    if run.warms_up_s is not None:
        day = timedelta(days=1)
        last_run_at = due - timedelta(seconds=run.warms_up_s) - day
        entries["warm-up"] = {"task": TASK, "schedule": schedule(day), "args": (WARM_UP,), "last_run_at": last_run_at}
    return entries


def _entry(run: Run, number: int, last_run_at: datetime, period: timedelta) -> dict[str, Any]:
    if run.is_crontab:
        hour = (datetime.now(UTC).hour + _HOURS_AWAY) % 24
        return {"task": TASK, "schedule": crontab(minute=str(number % 60), hour=str(hour)), "args": (number,)}
    entry = {"task": TASK, "schedule": schedule(period), "args": (number,)}
    if run.kind == "burst":
        entry["last_run_at"] = last_run_at
    elif run.kind == "spread":
        entry["last_run_at"] = last_run_at + period * number / run.count
    return entry
