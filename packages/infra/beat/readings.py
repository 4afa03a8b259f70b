"""What the scheduler asks of the world at each wake-up, as a port, and the answer when there is nobody to ask."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol

from packages.scheduling.model import Job
from packages.scheduling.requests import Request
from packages.scheduling.snapshot import Snapshot


class Readings(Protocol):
    """All that is known at a wake-up. No method raises because a server is away: what is not known is absent.

    `has_probes`: whether queues are asked about. Then `want` is to be told of the jobs of plain entries, too, and
    `look_ahead` and `let_go` to be called.
    """

    @property
    def has_probes(self) -> bool: ...  # noqa: D102  # the class says it

    def want(self, jobs: Collection[Job]) -> None:
        """Jobs that were taken in: what their policies speak of is read from now on."""
        ...

    def read(self, now: int) -> tuple[Snapshot, Sequence[Request]]:
        """The snapshot, and what operators asked for. Its `markets` are another object only when they changed."""
        ...

    def look_ahead(self, now: int, stepped_at: int | None) -> None:
        """Ask what will be wanted soon; the adaptive control went by the readings of `stepped_at`."""
        ...

    def let_go(self, names: Iterable[str]) -> None:
        """There are no jobs of these names any more."""
        ...

    def acknowledge(self, requests: Sequence[Request]) -> None:
        """These are part of the stored states now."""
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...


class NoReadings:
    """Nothing is known and nobody asks for anything."""

    has_probes: Final = False

    def want(self, jobs: Collection[Job]) -> None:
        """See `Readings`."""

    def read(self, now: int) -> tuple[Snapshot, Sequence[Request]]:
        """See `Readings`."""
        return Snapshot(taken_at=now), ()

    def look_ahead(self, now: int, stepped_at: int | None) -> None:
        """See `Readings`."""

    def let_go(self, names: Iterable[str]) -> None:
        """See `Readings`."""

    def acknowledge(self, requests: Sequence[Request]) -> None:
        """See `Readings`."""

    def close(self) -> None:
        """See `Readings`."""
