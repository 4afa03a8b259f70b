"""Drops a message of beat whose run has completed before, so that a message that comes twice does its work once.

    beat's message ──> completed before? ──(no, or nobody knows)──> runs ──(success)──> noted as completed, for a day
                              └──(yes)──> dropped and acknowledged, with a line in the log

Only success counts: a failure, a retry and a run whose worker was killed run again. What is not of beat, is called
directly or runs eagerly is not looked at. A run that is killed after its work and before the note runs again, and so
do two copies that are begun at the same time: a task that must not bear that keeps its own record in its transaction.
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from celery import Task
from celery.exceptions import Ignore
from celery.utils.time import maybe_iso8601

from packages.infra.beat.messages.publishing import task_id_of
from packages.scheduling.instants import to_instant

log = logging.getLogger(__name__)

_BEGUN = "minsy_begun"


class OnceTask(Task):  # type: ignore[type-arg]  # celery's stubs make it generic; at run time it is not
    """The class of the tasks of an app that wants this: `Celery(..., task_cls=OnceTask)`."""

    abstract = True
    # Longer than a broker may hand out a message again, and than beat may repeat one.
    completed_for: ClassVar[timedelta] = timedelta(days=1)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # whatever a task takes and gives
        """Run the task, or raise `celery.exceptions.Ignore` for a message whose run has completed before."""
        request = self.request
        if request.called_directly or vars(request).get(_BEGUN):
            # As a function, perhaps by its own run: with a request of its own.
            return super().__call__(*args, **kwargs)
        vars(request)[_BEGUN] = True
        if completion_id(self) is not None and self._is_completed():
            log.warning("duplicate_dropped", extra={"task": self.name, "task_id": request.id})
            raise Ignore("this run has completed before")
        # Not `super()`: outside of a worker that would hide the request from the run.
        return self.run(*args, **kwargs)

    def _is_completed(self) -> bool:
        # Imported here: beat makes tasks of this class, too, and runs none.
        from packages.infra.queue.running_signals import keeper_of

        return keeper_of(self.app).is_completed(str(self.request.id))


def completion_id(task: "Task[Any, Any]") -> str | None:
    """Under which id the present run of a task is noted when it has completed; None for one that is not noted.

    It is the id that beat gives to a fire, and to nothing else. An entry that brings an id of its own has the same one
    for every fire, so that it says nothing about one of them.
    """
    request = task.request
    if not isinstance(task, OnceTask) or request.is_eager or request.called_directly:
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
