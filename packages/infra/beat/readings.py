"""What the scheduler asks of the world at each wake-up, as a port, and the answer when there is nobody to ask."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from packages.scheduling.model import Job
from packages.scheduling.requests import BackfillRequest, TriggerRequest
from packages.scheduling.snapshot import Snapshot

Request = TriggerRequest | BackfillRequest


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """A fire that is published, as a run; when is an instant."""

    job: Job
    task_id: str
    published_at: int


class Readings(Protocol):
    """All that is known at a wake-up. No method raises because a server is away: what is not known is absent.

    Runs are those of jobs whose policy looks at them.
    """

    def want(self, jobs: Collection[Job]) -> None:
        """Jobs that were taken in: what their policies speak of is read from now on."""
        ...

    def read(self, now: int) -> tuple[Snapshot, Sequence[Request]]:
        """The snapshot, and what operators asked for. Its `markets` are another object only when they changed."""
        ...

    def acknowledge(self, requests: Sequence[Request]) -> None:
        """These are part of the stored states now."""
        ...

    def publishing(self, runs: Sequence[PublishedRun]) -> None:
        """These are about to be published; they count when `published` says that they were, or a worker starts one."""
        ...

    def published(self, runs: Sequence[PublishedRun]) -> None:
        """These were."""
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...


class NoReadings:
    """Nothing is known and nobody asks for anything."""

    def want(self, jobs: Collection[Job]) -> None:
        """See `Readings`."""

    def read(self, now: int) -> tuple[Snapshot, Sequence[Request]]:
        """See `Readings`."""
        return Snapshot(taken_at=now), ()

    def acknowledge(self, requests: Sequence[Request]) -> None:
        """See `Readings`."""

    def publishing(self, runs: Sequence[PublishedRun]) -> None:
        """See `Readings`."""

    def published(self, runs: Sequence[PublishedRun]) -> None:
        """See `Readings`."""

    def close(self) -> None:
        """See `Readings`."""
