"""A bounded memory of what was used of late. Decides nothing."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps at least the `least` values that were used last, and at most twice as many.

    In two generations: when the young one is full it becomes the old one, whose rest is dropped. So nothing is done
    at a use but a look, and dropping costs nothing for each value.
    """

    def __init__(self, least: int) -> None:
        self._least = least
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def get(self, key: K) -> V | None:
        """The value of a key, if it is still there."""
        value = self._young.get(key)
        if value is None and self._old:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        if len(self._young) >= self._least:
            self._young, self._old = {}, self._young
        self._young[key] = value

    def drop(self, key: K) -> None:
        """Keep the value of a key no more."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Keep nothing."""
        self._young, self._old = {}, {}
