"""Keeps a side errand from failing or slowing what it goes along with, while the server that it needs is away."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

log = logging.getLogger(__name__)

TRIED_AGAIN_AFTER = timedelta(seconds=5)


class Errand:
    """Runs actions that may fail with `errors`: such a failure is logged once, and for a while nothing is tried.

    `name` is the field `errand` of the event.
    """

    def __init__(
        self,
        name: str,
        errors: tuple[type[Exception], ...],
        monotonic: Callable[[], float] = time.monotonic,
        *,
        tried_again_after: timedelta = TRIED_AGAIN_AFTER,
    ) -> None:
        self._name = name
        self._errors = errors
        self._monotonic = monotonic
        self._pause_s = tried_again_after.total_seconds()
        self._tried_again_at: float | None = None

    def run(self, action: Callable[[], object]) -> bool:
        """Run `action` unless it failed a moment ago; whether it was done."""
        if self._tried_again_at is not None and self._monotonic() < self._tried_again_at:
            return False
        try:
            action()
        except self._errors as error:
            if self._tried_again_at is None:
                # The driver's text may name the server; passwords in URLs are masked by the log's formatter.
                log.warning("errand_failed", extra={"errand": self._name, "error": str(error)})
            self._tried_again_at = self._monotonic() + self._pause_s
            return False
        if self._tried_again_at is not None:
            self._tried_again_at = None
            log.info("errand_works_again", extra={"errand": self._name})
        return True
