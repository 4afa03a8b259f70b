"""The states that the store does not have yet: they go there with one of the next commits. Decides nothing."""

from collections.abc import Iterable, Mapping
from typing import Self

from packages.scheduling.engine import Engine
from packages.scheduling.state import JobState


class Unsaved:
    """States by job, as far as a dictionary goes; those of a whole schedule as a list of names (see `owe`)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._states: dict[str, JobState] = {}
        self._names: list[str] = []

    def __len__(self) -> int:
        """How many are left; a job of which the store has nothing may count twice."""
        return len(self._states) + len(self._names)

    def __setitem__(self, name: str, state: JobState) -> None:
        self._states[name] = state

    def __ior__(self, states: Mapping[str, JobState]) -> Self:
        self._states |= states
        return self

    def update(self, states: Mapping[str, JobState]) -> None:
        """See dict."""
        self._states |= states

    def pop(self, name: str, default: None = None) -> JobState | None:
        """See dict. What the store has nothing of is told once more, with the state that it has then."""
        return self._states.pop(name, default)

    def popitem(self) -> tuple[str, JobState]:
        """See dict."""
        if self._states:
            return self._states.popitem()
        name = self._names.pop()
        return name, self._engine.state(name)

    def owe(self, names: Iterable[str]) -> None:
        """The store has nothing of these jobs, and all others: the state of each is the engine's when it is asked for.

        They may be a whole schedule, and a dictionary of it takes several times as much as a list.
        """
        self._names = list(names)

    def leaves(self) -> None:
        """A job is about to leave the engine: from now on that need not have the states."""
        if self._names:
            self._states |= {name: self._engine.state(name) for name in self._names}
            self._names = []
