"""How a task is tried again: at most three times, later each time, with jitter so that retries do not meet.

Which errors deserve it is said by each task; an error in the data or in the code fails at once.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery.exceptions import Retry, SoftTimeLimitExceeded
from celery.utils.time import get_exponential_backoff_interval
from sqlalchemy.exc import InterfaceError, OperationalError

from packages.shared_settings.common import CommonSettings

if TYPE_CHECKING:
    from celery import Task

# The database was away, restarted, or gave up a lock; the same call may succeed in a moment.
DATABASE_AWAY = (OperationalError, InterfaceError)
# What ends a task from outside. It is an Exception, so a job that contains errors broadly must be told to let it pass.
INTERRUPTS = (SoftTimeLimitExceeded,)


def retry_options(settings: CommonSettings, *errors: type[Exception]) -> dict[str, Any]:
    """Options of a task that is tried again on these errors: exponential backoff in seconds, capped, with jitter."""
    return {
        "autoretry_for": (*DATABASE_AWAY, *errors),
        "max_retries": settings.celery_task_max_retries,
        "retry_backoff": settings.celery_task_retry_backoff_seconds,
        "retry_backoff_max": settings.celery_task_retry_backoff_cap_seconds,
        "retry_jitter": True,
    }


def has_retries_left(task: "Task[Any, Any]") -> bool:
    """Whether this run of a bound task may be tried again. Never in a run by hand: a person is told at once."""
    request = task.request
    by_hand = request.is_eager or request.called_directly
    return not by_hand and request.retries < (task.max_retries or 0)


def retry_after(task: "Task[Any, Any]", wait: timedelta, error: Exception | None = None) -> Retry:
    """Send this run of a bound task again; raise what is given. Only right while it has retries left.

    It begins after `wait` at the earliest, doubled by each retry before, and half as much later at the latest.
    """
    wait_s = wait.total_seconds() * 2**task.request.retries
    # With full jitter it is a random number of seconds from 0 to the factor.
    jitter_s = get_exponential_backoff_interval(
        factor=int(wait_s / 2), retries=0, maximum=int(wait_s), full_jitter=True
    )
    return task.retry(exc=error, countdown=wait_s + jitter_s, throw=False)
