"""How a task is tried again: at most three times, later each time, with jitter so that retries do not meet.

Which errors deserve it is said by each task; an error in the data or in the code fails at once.
"""

from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError

from packages.shared_settings.common import CommonSettings

# The database was away, restarted, or gave up a lock; the same call may succeed in a moment.
DATABASE_AWAY = (OperationalError, InterfaceError)


def retry_options(settings: CommonSettings, *errors: type[Exception]) -> dict[str, Any]:
    """Options of a task that is tried again on these errors: exponential backoff in seconds, capped, with jitter."""
    return {
        "autoretry_for": (*DATABASE_AWAY, *errors),
        "max_retries": settings.celery_task_max_retries,
        "retry_backoff": settings.celery_task_retry_backoff_seconds,
        "retry_backoff_max": settings.celery_task_retry_backoff_cap_seconds,
        "retry_jitter": True,
    }
