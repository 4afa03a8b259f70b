"""What the loop asks of Celery's scheduler, as a port."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from celery import Celery
from celery.beat import ScheduleEntry

from packages.infra.telemetry.beat_metrics import BeatMetrics


class Host(Protocol):
    """What the loop asks of Celery's scheduler."""

    app: Celery

    @property
    def metrics(self) -> BeatMetrics:
        """What is counted of this beat."""
        ...

    @property
    def schedule(self) -> Mapping[Any, ScheduleEntry]:
        """The entries by name."""
        ...

    @property
    def counts_in_place(self) -> bool:
        """Whether a run may be noted on an entry of our own class itself; else `advance` is called for it."""
        ...

    def is_due(self, entry: ScheduleEntry) -> tuple[bool, float]:
        """Ask a polled entry."""
        ...

    def is_polled(self, entry: ScheduleEntry) -> bool:
        """Whether only `is_due` knows about the entry."""
        ...

    def publish(self, entry: ScheduleEntry) -> BaseException | None:
        """Publish, and return what was in the way."""
        ...

    def advance(self, name: Any) -> None:  # noqa: ANN401  # Celery takes anything as a name
        """Note on the entry that it ran."""
        ...

    def reconnect(self, after: BaseException) -> bool:
        """Open another connection after this error; whether the broker is there. Not tried if nobody answered."""
        ...

    def revoke(self, task_ids: tuple[str, ...]) -> None:
        """End these runs."""
        ...

    def utc_now(self) -> datetime:
        """The wall clock."""
        ...

    def monotonic_s(self) -> float:
        """The clock that nobody sets."""
        ...
