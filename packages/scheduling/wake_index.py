"""An index of what is to be looked at when, the earliest first, and of equal instants the one first put there.

Many wake at the same instant, so the instants are ordered and not the items: an item that moves costs one entry in the
list of its instant, whatever else is there. Decides nothing.
"""

import heapq
from typing import Final, Generic, Protocol, TypeVar

# With so many more entries than items the index is cleared of those that are old.
_OLD_ENTRIES: Final = 1_000


class Waking(Protocol):
    """What can be indexed: compared by identity, with a place for the index to note when it wakes; None at first."""

    wake: int | None


T = TypeVar("T", bound=Waking)


class WakeIndex(Generic[T]):
    """Items by when they wake. Nobody else sets their `wake`."""

    def __init__(self) -> None:
        # An entry is old if its item wakes at another instant by now. Those of one instant stand in one list.
        self._at: dict[int, list[T]] = {}
        self._instants: list[int] = []
        self._entries = 0
        self._items = 0

    def __len__(self) -> int:
        """How many entries there are, old ones included."""
        return self._entries

    def put(self, item: T, wake: int | None) -> None:
        """Have `item` wake at `wake`, and not when it was to wake before; None: never."""
        before = item.wake
        if before == wake:
            return
        item.wake = wake
        self._items += (before is None) - (wake is None)
        if wake is None:
            return
        at = self._at.get(wake)
        if at is None:
            self._at[wake] = [item]
            heapq.heappush(self._instants, wake)
        else:
            at.append(item)
        self._entries += 1
        if self._entries > 2 * self._items + _OLD_ENTRIES:
            self._clear()

    def next_wake(self) -> int | None:
        """The earliest instant at which an item wakes; None if none does."""
        while self._instants:
            wake = self._instants[0]
            entries = self._at[wake]
            for old, item in enumerate(entries):
                if item.wake == wake:
                    self._entries -= old
                    del entries[:old]
                    return wake
            self._entries -= len(entries)
            self._drop_first()
        return None

    def between(self, after: int, until: int) -> list[T]:
        """The items that wake behind `after` and by `until`, in no order; they stay."""
        found: list[T] = []
        # The instants are a heap: those below one that is too late are too late.
        places = [0]
        while places:
            place = places.pop()
            if place < len(self._instants) and (wake := self._instants[place]) <= until:
                places += (2 * place + 1, 2 * place + 2)
                if wake > after:
                    found += [item for item in self._at[wake] if item.wake == wake]
        return found

    def take(self, now: int, limit: int) -> list[T]:
        """Take out at most `limit` of the items that wake by `now`, in their order; they do not wake any more."""
        taken: list[T] = []
        instants = self._instants
        while instants and (wake := instants[0]) <= now and (room := limit - len(taken)) > 0:
            entries = self._at[wake]
            if len(entries) <= room:
                self._drop_first()
            else:
                entries, self._at[wake] = entries[:room], entries[room:]
            self._entries -= len(entries)
            for item in entries:
                if item.wake == wake:
                    item.wake = None
                    taken.append(item)
        self._items -= len(taken)
        return taken

    def _drop_first(self) -> None:
        del self._at[heapq.heappop(self._instants)]

    def _clear(self) -> None:
        current = {
            wake: list(dict.fromkeys(e for e in entries if e.wake == wake)) for wake, entries in self._at.items()
        }
        self._at = {wake: entries for wake, entries in current.items() if entries}
        self._instants = sorted(self._at)
        self._entries = sum(map(len, self._at.values()))
