"""Python's search for cycles of garbage, put off while there is something to publish, and while beat is imported.

It is started by how many objects were made, and a burst makes some for each fire that stay: then it looks through all
that beat has, again and again. A tick leaves hardly a cycle behind, so the search may wait until a burst is over. What
is imported stays, too, and as long as beat runs.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# A burst that does not end must not fill the memory: so many ticks in a row at most.
_MOST_TICKS: Final = 100


class PostponedCollection:
    """Between `begin` and `end` of a tick no search starts; nor up to the next tick, if that follows at once.

    Where somebody has turned it off altogether it stays off.
    """

    def __init__(self) -> None:
        self._ticks = 0

    def begin(self) -> None:
        """A tick begins."""
        if self._ticks or gc.isenabled():
            gc.disable()
            self._ticks += 1

    def end(self, *, more: bool) -> None:
        """It is over; `more`: the next one follows at once."""
        if self._ticks and not (more and self._ticks < _MOST_TICKS):
            self._ticks = 0
            gc.enable()


@contextmanager
def made_to_stay() -> Iterator[None]:
    """Around imports: no search meanwhile, and none later through what there is by then.

    Where somebody has turned it off altogether it stays off.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
