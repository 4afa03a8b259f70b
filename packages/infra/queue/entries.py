"""The jobs of the catalogue as ordinary Celery beat entries."""

from collections.abc import Iterable
from typing import Any

from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.connections import REDIS_URL_PREFIXES
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.message_priority import FIRST, PRIORITIES
from packages.scheduling.model import Job
from packages.shared_settings.common import CommonSettings


def takes_priorities(settings: CommonSettings) -> bool:
    """Whether messages carry priorities on the broker of these settings: only on Redis.

    On RabbitMQ a higher number goes first, and only a queue that was declared for it looks at the number.
    """
    url = settings.celery_broker_url
    # Without a URL of its own the broker is the Redis of the settings, or the embedded one.
    return url is None or url.get_secret_value().startswith(REDIS_URL_PREFIXES)


def beat_entries(jobs: Iterable[Job], *, priorities: bool) -> dict[str, dict[str, Any]]:
    """The entries of these jobs, by job name."""
    return {job.name: beat_entry(job, priorities=priorities) for job in jobs}


def beat_entry(job: Job, *, priorities: bool) -> dict[str, Any]:
    """The entry that publishes `job`: its task, schedule, queue, and after how many seconds a message expires.

    With `priorities`, where `takes_priorities`, a message that is not critical says that others go first. Any scheduler
    can run it; ours finds the whole job in the schedule.
    """
    options: dict[str, Any] = {"queue": job.queue}
    if job.expires_ms is not None:
        options["expires"] = job.expires_ms / SECOND_MS
    if priorities and (priority := PRIORITIES[job.criticality]) != FIRST:
        options["priority"] = priority
    return {"task": job.task, "schedule": JobSchedule(job), "options": options}
