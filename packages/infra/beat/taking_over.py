"""What operators ask for becomes part of the states and of the adaptive control, and is acknowledged once that is kept.

A request stays in its store until then, so it may be read several times, also by the next leader. One that became part
of a job's state is known by that state. A reset is remembered here; a leader who has not seen it resets once more,
which costs what the control has learnt since.
"""

import logging
from collections.abc import Sequence
from typing import Final

from packages.infra.beat.committing import Committing
from packages.infra.beat.entries.roster import Roster
from packages.scheduling.engine import Engine
from packages.scheduling.requests import JobRequest, Request, ResetRequest

log = logging.getLogger(__name__)

_RESETS_REMEMBERED: Final = 100


class TakingOver:
    """Of one loop."""

    def __init__(self, engine: Engine, roster: Roster, committing: Committing) -> None:
        self._engine = engine
        self._roster = roster
        self._committing = committing
        # In the order in which they were taken over.
        self._resets: dict[str, None] = {}

    def begin_term(self) -> None:
        """Another leader has led since: what was reset here it may not know of."""
        self._resets.clear()

    def run(self, requests: Sequence[Request], now: int) -> None:
        """Take all of them over; those that were taken over before change nothing."""
        of_jobs: list[JobRequest] = []
        for request in requests:
            if isinstance(request, ResetRequest):
                self._reset(request)
                continue
            if request.job not in self._engine.names:
                log.warning("request_for_no_job", extra={"job": request.job, "request": request.id})
            of_jobs.append(request)
        self._roster.unsaved.update(self._engine.take(of_jobs, now))
        self._committing.taken_over(requests)

    def _reset(self, request: ResetRequest) -> None:
        if request.id in self._resets:
            return
        self._engine.reset_control(request.queue)
        self._resets[request.id] = None
        if len(self._resets) > _RESETS_REMEMBERED:
            del self._resets[next(iter(self._resets))]
        log.info("control_reset", extra={"queue": request.queue, "request": request.id})
