"""Whether the broker takes what is published, and when to try again if it does not. Decides nothing about a fire.

takes ──(a commit failed)──> does not: nothing is planned, one small try after ever longer pauses
^                              │
└──────(a try went through)────┘ all that waits for it is due at once
"""

import logging
from collections.abc import Callable
from typing import Final

from packages.infra.beat.standing import Trouble
from packages.infra.beat.trouble import trouble_of

log = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 2.0


class Outage:
    """Told of what became of each commit. `monotonic` is a clock in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._pause_s = _FIRST_PAUSE_S
        self._try_at_s = float("-inf")
        self.trouble: Trouble | None = None

    def __bool__(self) -> bool:
        return self.trouble is not None

    @property
    def try_in_s(self) -> float:
        """In how many seconds to try again; 0 while there is no outage."""
        return max(0.0, self._try_at_s - self._monotonic()) if self else 0.0

    def failed(self, error: BaseException) -> Trouble:
        """The broker did not take a commit; what is wrong with it."""
        trouble = trouble_of(error)
        if trouble is not self.trouble:
            log.warning("not_published", extra={"trouble": trouble.value, "error": str(error)})
        self.trouble = trouble
        self._try_at_s = self._monotonic() + self._pause_s
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)
        return trouble

    def over(self) -> bool:
        """The broker took something; whether there was an outage until now."""
        was, self.trouble = self.trouble, None
        if was is not None:
            log.info("published_again", extra={"trouble": was.value})
        return was is not None

    def proven(self) -> None:
        """It took a fire: the next outage begins with short pauses again."""
        self._pause_s = _FIRST_PAUSE_S
