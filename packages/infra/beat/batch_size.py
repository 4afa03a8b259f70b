"""How many jobs are decided in one go: as many as are published in one round, so that a pause holds from the next on.

A broker that is slow makes it smaller, one that keeps up makes it larger again.
"""

from typing import Final

SMALLEST: Final = 25
LARGEST: Final = 4_000


class BatchSize:
    """`size` is how many; `first` as long as nothing is known of the broker."""

    def __init__(self, first: int) -> None:
        self.size = first

    def shrink(self) -> None:
        """What was decided could not be published in one round."""
        self.size = max(SMALLEST, self.size // 2)

    def grow(self) -> None:
        """It could, and there is more."""
        self.size = min(LARGEST, self.size * 2)
