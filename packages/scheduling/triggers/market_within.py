"""Every so much open time within the sessions of one market."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT, SECOND_MS
from packages.scheduling.sessions import SessionTable
from packages.scheduling.triggers.base import CHUNK, TriggerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

# Beat does not wake more often, and a session never holds more of them than fit two chunks.
SHORTEST_MS: Final = SECOND_MS


@dataclass(frozen=True, slots=True)
class WithinOneMarket:
    """See `WithinSession`, which this is for one market.

    Raises:
        TriggerError: `every_ms` is below a second.
    """

    table: SessionTable
    every_ms: int
    at_open: bool
    at_close: bool
    repeats_when_set_back: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.every_ms < SHORTEST_MS:
            raise TriggerError(f"within a session, every {SHORTEST_MS} ms is the most often, not {self.every_ms}")

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        after = max(after, FIRST_INSTANT - 1)
        longest = _longest_open_ms(self.table)
        if self.every_ms >= longest and not (self.at_open or self.at_close):
            return None
        first = max(self.table.last_session_opened(after), 0)
        found = (self._in_session(session, after) for session in range(first, len(self.table.labels)))
        nominal = next((nominal for nominal in found if nominal is not None), None)
        return nominal if nominal is not None and nominal <= LAST_INSTANT else None

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        import numpy as np

        start, end = max(start, FIRST_INSTANT - 1), min(end, LAST_INSTANT)
        low, high = max(self.table.last_session_opened(start), 0), self.table.last_session_opened(end) + 1
        if start >= end or low >= high:
            return
        opens, open_before, bounds = _open_time(self.table)
        begins, ends = open_before[bounds[low:high]], open_before[bounds[low + 1 : high + 1]]
        # Each session has so many multiples inside, and one more instant for its close.
        skipped = 0 if self.at_open else 1
        multiples = np.maximum(-(-(ends - begins) // self.every_ms) - skipped, 0)
        closes = np.frombuffer(self.table.period_closes, dtype=np.int64)[bounds[low + 1 : high + 1] - 1]
        counts = multiples + self._own_closes(low, high)
        last = np.cumsum(counts)
        for first in range(0, int(last[-1]), CHUNK):
            slots = np.arange(first, min(first + CHUNK, int(last[-1])))
            session = np.searchsorted(last, slots, side="right")
            within = slots - (last[session] - counts[session])
            open_time = begins[session] + (within + skipped) * self.every_ms
            period = np.minimum(np.searchsorted(open_before, open_time, side="right") - 1, len(opens) - 1)
            regular = opens[period] + open_time - open_before[period]
            nominals = np.where(within < multiples[session], regular, closes[session])
            nominals = nominals[(nominals > start) & (nominals <= end)]
            if len(nominals):
                yield nominals

    def describe(self) -> str:
        """See `Trigger`; the market trigger around it speaks for it."""
        return f"every {self.every_ms} ms within {self.table.market}"

    def _in_session(self, session: int, after: int) -> int | None:
        open_time = 0
        lowest = 0 if self.at_open else self.every_ms
        for period in range(self.table.first_period[session], self.table.end_period(session)):
            opens, closes = self.table.period_opens[period], self.table.period_closes[period]
            least = max(open_time, lowest, open_time + after + 1 - opens)
            multiple = -(-least // self.every_ms) * self.every_ms
            if multiple < open_time + closes - opens:
                return opens + multiple - open_time
            open_time += closes - opens
        closes = self.table.session_close(session)
        return closes if self.at_close and closes > after else None

    def _own_closes(self, low: int, high: int) -> "npt.NDArray[np.int64]":
        """1 for each session whose close is named and is not at the same time the named open of the next one."""
        import numpy as np

        if not self.at_close:
            return np.zeros(high - low, dtype=np.int64)
        own = np.ones(high - low, dtype=np.int64)
        if self.at_open:
            opens, _, bounds = _open_time(self.table)
            closes = np.frombuffer(self.table.period_closes, dtype=np.int64)[bounds[1:-1] - 1]
            touches = np.append(closes == opens[bounds[1:-1]], values=False)
            own -= touches[low:high]
        return own


class _OpenTime(NamedTuple):
    """The opens of the periods; the open time before each, and in all; each session's first period, and their count."""

    opens: "npt.NDArray[np.int64]"
    before: "npt.NDArray[np.int64]"
    bounds: "npt.NDArray[np.int64]"


@lru_cache(maxsize=256)
def _open_time(table: SessionTable) -> _OpenTime:
    import numpy as np

    opens = np.frombuffer(table.period_opens, dtype=np.int64)
    closes = np.frombuffer(table.period_closes, dtype=np.int64)
    before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(closes - opens)])
    bounds = np.append(np.frombuffer(table.first_period, dtype=np.int64), len(opens))
    return _OpenTime(opens, before, bounds)


@lru_cache(maxsize=256)
def _longest_open_ms(table: SessionTable) -> int:
    periods = zip(table.period_opens, table.period_closes, strict=True)
    lengths = [closes - opens for opens, closes in periods]
    firsts = table.first_period
    return max(sum(lengths[firsts[s] : table.end_period(s)]) for s in range(len(firsts)))
