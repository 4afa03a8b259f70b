"""What Celery counts from the instant of publishing: `eta` from a countdown, `expires` and `expiration`.

Computed by Celery's own functions, in the app's time zone, from an instant that is given. Reads no clock.
"""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import NamedTuple

from celery.utils.time import (  # type: ignore[attr-defined]  # celery-types lacks two of them
    add_seconds_to_datetime,
    maybe_iso8601,
    maybe_make_aware,
    subtract_datetimes,
)

from packages.scheduling.instants import SECOND_MS, to_datetime


class PastExpiryError(Exception):
    """The messages expire at an instant that is past; Celery warns of each."""


class Counted(NamedTuple):
    """Headers with their texts, and the property `expiration` in milliseconds; None where it is always the same."""

    headers: tuple[tuple[str, str], ...]
    expiration: str | None


@dataclass(frozen=True, slots=True)
class CountedTimes:
    """What the options of a message say: seconds, or for `expires` an instant. `zone` is the app's."""

    zone: tzinfo
    countdown: float | None
    expires: float | datetime | str | None

    @property
    def names(self) -> frozenset[str]:
        """The headers that are counted from now."""
        names = {"eta"} if self.countdown else set()
        return frozenset(names | ({"expires"} if isinstance(self.expires, int | float) else set()))

    @property
    def moves_expiration(self) -> bool:
        """Whether the milliseconds until the message expires differ from one message to the next."""
        return isinstance(self.expires, str | datetime)

    def at(self, published_at: int) -> Counted:
        """For messages that are published at this instant.

        Raises:
            PastExpiryError: they expire at an instant that is past then.
        """
        if not self.names and not self.moves_expiration:
            return _NOTHING
        now = to_datetime(published_at).astimezone(self.zone)
        headers: list[tuple[str, str]] = []
        expiration: str | None = None
        if self.countdown:
            headers.append(("eta", self._later(now, self.countdown)))
        if isinstance(self.expires, str | datetime):
            expires = maybe_iso8601(self.expires)
            left_s = subtract_datetimes(expires, now).total_seconds()
            if left_s < 0:
                raise PastExpiryError
            expiration = str(int(left_s * SECOND_MS))
        elif self.expires is not None:
            headers.append(("expires", self._later(now, self.expires)))
        return Counted(tuple(headers), expiration)

    def _later(self, now: datetime, seconds: float) -> str:
        return maybe_make_aware(add_seconds_to_datetime(now, seconds), tz=self.zone).isoformat()


_NOTHING = Counted((), None)
