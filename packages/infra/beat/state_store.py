"""Where the states of the jobs and of the adaptive control are kept between two beats; in the process if nowhere else.

Never decides what a state means. `packages.infra.beat.redis_state` keeps them in the broker's Redis.
"""

from collections.abc import Collection, Container, Mapping
from typing import Final, Protocol

from packages.infra.beat.stored_controllers import controllers_of
from packages.scheduling.control.controllers import Controllers
from packages.scheduling.instants import HOUR_MS
from packages.scheduling.state import JobState

ABSENT_FOR_MS: Final = HOUR_MS


class StoreAwayError(Exception):
    """The store cannot be reached; nothing is known of whether a write was done."""


class StateStore(Protocol):
    """The state and the anchor of each job by its name, and the control's. Each method may raise `StoreAwayError`."""

    def load(self, names: Collection[str]) -> dict[str, JobState]:
        """The states of those of `names` that have one."""
        ...

    def save(self, changes: Mapping[str, JobState]) -> None:
        """Keep these, whatever was there, in one round trip."""
        ...

    def forget(self, names: Collection[str]) -> None:
        """Drop states and anchors, so that a job that comes back later starts afresh."""
        ...

    def forget_absent(self, names: Container[str], now: int) -> None:
        """`forget` every job that was none of `names` at each call of the last `ABSENT_FOR_MS`.

        A shorter absence may be that of a job that only some replicas know, while a new version is rolled out.
        """
        ...

    def anchors(self, proposed: Mapping[str, int]) -> dict[str, int]:
        """The anchors of these jobs: the instant that was the first to be proposed for each, by whomever."""
        ...

    def load_controllers(self) -> Controllers | None:
        """The state of the adaptive control; None if none is kept, or none that can be read."""
        ...

    def save_controllers(self, text: str) -> None:
        """Keep this one, as `controllers_text` wrote it, whatever was there."""
        ...


class MemoryStateStore:
    """Kept in the process: one replica only, and nothing is known after a restart."""

    def __init__(self) -> None:
        self._states: dict[str, JobState] = {}
        self._anchors: dict[str, int] = {}
        self._controllers: Controllers | None = None

    def load(self, names: Collection[str]) -> dict[str, JobState]:
        """See `StateStore`."""
        return {name: self._states[name] for name in names if name in self._states}

    def save(self, changes: Mapping[str, JobState]) -> None:
        """See `StateStore`."""
        self._states |= changes

    def forget(self, names: Collection[str]) -> None:
        """See `StateStore`."""
        for name in names:
            self._states.pop(name, None)
            self._anchors.pop(name, None)

    def forget_absent(self, names: Container[str], now: int) -> None:  # noqa: ARG002  # of the protocol
        """See `StateStore`; nobody else knows other jobs, so they go at once."""
        self.forget([name for name in (*self._states, *self._anchors) if name not in names])

    def anchors(self, proposed: Mapping[str, int]) -> dict[str, int]:
        """See `StateStore`."""
        return {name: self._anchors.setdefault(name, anchor) for name, anchor in proposed.items()}

    def load_controllers(self) -> Controllers | None:
        """See `StateStore`."""
        return self._controllers

    def save_controllers(self, text: str) -> None:
        """See `StateStore`."""
        self._controllers = controllers_of(text)
