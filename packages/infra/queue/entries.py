"""The jobs of the catalogue as ordinary Celery beat entries."""

from collections.abc import Iterable
from typing import Any

from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.model import Job


def beat_entries(jobs: Iterable[Job]) -> dict[str, dict[str, Any]]:
    """The entries of these jobs, by job name."""
    return {job.name: beat_entry(job) for job in jobs}


def beat_entry(job: Job) -> dict[str, Any]:
    """The entry that publishes `job`: its task, schedule, queue, and after how many seconds a message expires.

    Any scheduler can run it; ours finds the whole job in the schedule.
    """
    options: dict[str, Any] = {"queue": job.queue}
    if job.expires_ms is not None:
        options["expires"] = job.expires_ms / SECOND_MS
    return {"task": job.task, "schedule": JobSchedule(job), "options": options}
