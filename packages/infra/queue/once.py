"""Drops a message of beat whose run has completed before, so that a message that comes twice does its work once.

    beat's message ──> completed before? ──(no, or nobody knows)──> runs ──(success)──> noted as completed, for a day
                              └──(yes)──> dropped and acknowledged, with a line in the log

Only success counts: a failure, a retry and a run whose worker was killed run again. What is not of beat, is called
directly or runs eagerly is not looked at. A run that is killed after its work and before the note runs again, and so
do two copies that are begun at the same time: a task that must not bear that keeps its own record in its transaction.
"""

import logging
from datetime import timedelta
from typing import Any, ClassVar

from celery import Task
from celery.exceptions import Ignore

from packages.infra.queue.completions import completion_id

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
