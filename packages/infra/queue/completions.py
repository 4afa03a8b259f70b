"""Which runs are noted when they have completed, and under which id. Nothing is noted or dropped here."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery.utils.time import maybe_iso8601

from packages.infra.beat.messages.fire_ids import task_id_of
from packages.scheduling.instants import to_instant

if TYPE_CHECKING:
    from celery import Task


def completed_for(task: "Task[Any, Any]") -> timedelta | None:
    """For how long it is noted that a run of this task has completed; None if that is not wanted of it."""
    length = getattr(task, "completed_for", None)
    return length if isinstance(length, timedelta) else None


def completion_id(task: "Task[Any, Any]") -> str | None:
    """Under which id the present run of a task is noted when it has completed; None for one that is not noted.

    It is the id that beat gives to a fire, and to nothing else. An entry that brings an id of its own has the same one
    for every fire, so that it says nothing about one of them.
    """
    request = task.request
    if completed_for(task) is None or request.is_eager or request.called_directly:
        return None
    return request.id if request.id == _id_of_fire(request.headers or {}) else None


def _id_of_fire(headers: Mapping[str, Any]) -> str | None:
    job, origin, scheduled_for = (headers.get(name) for name in ("beat_job", "beat_origin", "scheduled_for"))
    if not (isinstance(job, str) and isinstance(origin, str) and isinstance(scheduled_for, str)):
        return None
    try:
        nominal = maybe_iso8601(scheduled_for)
    except ValueError:
        return None
    if nominal is None or nominal.utcoffset() is None:
        return None
    return task_id_of(job, to_instant(nominal), origin)
