"""Instants as text, many of them: the same second is written once. See `packages.infra.telemetry.instants`."""

from typing import Final

from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.instants import SECOND_MS, to_datetime

_MOST_SECONDS: Final = 4_096


class InstantTexts:
    """Writes instants as `rfc3339` does."""

    def __init__(self) -> None:
        # By the second: its text up to the milliseconds.
        self._seconds: dict[int, str] = {}

    def __call__(self, instant: int) -> str:
        """An instant in UTC to the millisecond, such as `2026-01-31T09:30:00.123Z`."""
        second = instant // SECOND_MS
        text = self._seconds.get(second)
        if text is None:
            if len(self._seconds) >= _MOST_SECONDS:
                self._seconds.clear()
            text = self._seconds[second] = rfc3339(to_datetime(second * SECOND_MS)).removesuffix("000Z")
        return f"{text}{instant - second * SECOND_MS:03d}Z"
