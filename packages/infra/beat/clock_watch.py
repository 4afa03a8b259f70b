"""Notices that the wall clock was moved, by holding it against the monotonic one. Reads no clock itself."""

from typing import Final

# What a clock is off by from one wake-up to the next without having been set: slewing and the time between two reads.
TOLERANCE_S: Final = 1.0


class ClockWatch:
    """Told both clocks at each wake-up, in seconds."""

    def __init__(self) -> None:
        self._offset_s: float | None = None

    def jump_s(self, wall_s: float, monotonic_s: float) -> float:
        """By how much the wall clock was moved since the last call, below zero for backwards; 0.0 within tolerance.

        The first call has nothing to compare with. A host that slept shows as a jump forward.
        """
        offset_s = wall_s - monotonic_s
        before_s, self._offset_s = self._offset_s, offset_s
        if before_s is None or abs(offset_s - before_s) <= TOLERANCE_S:
            return 0.0
        return offset_s - before_s
