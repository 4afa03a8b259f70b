"""A job of the catalogue as an ordinary Celery beat entry."""

from typing import Any

from celery.schedules import crontab, schedule

from packages.scheduling.model import DailyTrigger, IntervalTrigger, Job, Trigger


def beat_entry(job: Job) -> dict[str, Any]:
    """The entry that publishes `job`: its task, schedule, queue, and after how many seconds a message expires."""
    return {
        "task": job.task,
        "schedule": _celery_schedule(job.trigger),
        "options": {"queue": job.queue, "expires": job.expires_after.total_seconds()},
    }


def _celery_schedule(trigger: Trigger) -> schedule | crontab:
    match trigger:
        case IntervalTrigger(period=period):
            return schedule(run_every=period)
        case DailyTrigger(hour=hour, minute=minute):
            return crontab(minute=str(minute), hour=str(hour))
