"""Jobs of which only `is_due` knows when they run: what stands for their trigger, when to ask them, and a claim.

The nominal is the instant at which the job was seen to be due. Nobody is asked here, and nothing kept.
"""

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

# A schedule that wants to be asked again at once is asked so much later, or the loop would spin on it.
LEAST_PAUSE_MS: Final = 10


@dataclass(frozen=True, slots=True)
class PolledTrigger:
    """Names the one instant at which the job was last seen to be due, if any: when the next one is nobody knows."""

    text: str
    seen_due_at: int | None = None
    repeats_when_set_back: ClassVar[bool] = False

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        return self.seen_due_at if self.seen_due_at is not None and self.seen_due_at > after else None

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        import numpy as np

        if self.seen_due_at is not None and start < self.seen_due_at <= end:
            yield np.array([self.seen_due_at], dtype=np.int64)

    def describe(self) -> str:
        """See `Trigger`; the same whatever was seen, since the schedule is the same."""
        return f"not predictable, asked by is_due: {self.text}"


class PollTimes:
    """When to ask each polled job next. Instants as the caller's clock counts them."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, name: object) -> bool:
        return name in self._at

    def ask(self, name: str, at: int) -> None:
        """Ask this job at `at`, and not when it was to be asked before."""
        self._at[name] = at
        heapq.heappush(self._heap, (at, name))

    def drop(self, name: str) -> None:
        """Never ask it again."""
        self._at.pop(name, None)

    def next_wake(self) -> int | None:
        """When the first one is to be asked."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: int) -> list[str]:
        """Those to be asked by `now`; each stays out until `ask` is called for it."""
        names: list[str] = []
        while (at := self.next_wake()) is not None and at <= now:
            name = heapq.heappop(self._heap)[1]
            self._at[name] = -1
            names.append(name)
        return names

    def ask_all(self, at: int) -> None:
        """Ask every one at `at`: after the clock was set back, what they said before means nothing."""
        self._heap = []
        for name in self._at:
            self.ask(name, at)
