"""The sessions of one market as sorted instants, searched by bisection. Open is inclusive, close exclusive.

Pure: what the dates are is told from outside (`packages.infra.calendars` compiles them).
"""

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import InitVar, dataclass, field
from hashlib import blake2b
from itertools import chain, islice
from operator import eq, ge, gt
from typing import Final

from packages.scheduling.instants import DAY_MS

# Margins so wide that they join sessions for longer than this are not followed further.
MOST_JOINED: Final = 100
# A block of time is 2 ** 31 ms, nearly 25 days.
_BLOCK_BITS: Final = 31
_ARRAYS: Final = ("period_opens", "period_closes", "first_period", "labels")


class SessionError(ValueError):
    """The sessions of a market contradict each other; the text names the market and the place."""


@dataclass(frozen=True, slots=True, eq=False)
class SessionTable:
    """A market's open periods. All arrays are of type `q`, sorted, in instants, but for `first_period` and `labels`.

    A session consists of one or more periods with breaks between them: session i is the periods from
    `first_period[i]` up to the first of session i + 1. Periods do not overlap; one may begin where the one before
    ends (`24/7`). `labels[i]` is the session's own date as days since 1970-01-01, strictly increasing: a session that
    opens the evening before has the date of its close. What is known reaches from `known_from` (inclusive) to
    `known_until` (exclusive).

    The arrays are never written to. Two tables are equal, and hash alike, when market and content are the same:
    `digest` stands for the content and is the same in every process.

    Raises:
        SessionError: the arrays are not of one market as described.
    """

    market: str
    period_opens: "array[int]"
    period_closes: "array[int]"
    first_period: "array[int]"
    labels: "array[int]"
    known_from: int
    known_until: int
    digest: str = field(init=False)
    # Where open and closed take turns, an open first. Periods that touch have no edge between them, so that a market
    # that never closes is not walked period by period.
    _edges: "array[int]" = field(init=False, repr=False)
    # What was checked when it was written is not checked when it is read: that is most of what reading takes.
    is_checked: InitVar[bool] = False
    # The edges of each block of time that was asked about, from an open on: short and in Python's own integers, which
    # makes `is_open` four times as fast. It only ever holds what follows from the arrays.
    _blocks: dict[int, tuple[int, ...]] = field(init=False, repr=False)

    def __post_init__(self, is_checked: bool) -> None:
        if not is_checked:
            _check(self)
        content = blake2b(digest_size=8)
        for name in _ARRAYS:
            values: array[int] = getattr(self, name)
            content.update(len(values).to_bytes(8, "little") + values.tobytes())
        content.update(f"{self.market} {self.known_from} {self.known_until}".encode())
        object.__setattr__(self, "digest", content.hexdigest())
        object.__setattr__(self, "_edges", _edges_of(self.period_opens, self.period_closes))
        object.__setattr__(self, "_blocks", {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SessionTable) and (self.market, self.digest) == (other.market, other.digest)

    def __hash__(self) -> int:
        return hash((self.market, self.digest))

    def __repr__(self) -> str:
        return f"SessionTable({self.market!r}, {len(self.labels)} sessions, digest {self.digest})"

    def covers(self, at: int) -> bool:
        """Whether the calendar knows about the instant."""
        return self.known_from <= at < self.known_until

    def is_open(self, at: int) -> bool:
        """Whether the market trades at the instant; False where nothing is known."""
        block = self._blocks.get(at >> _BLOCK_BITS)
        if block is None:
            block = self._read_block(at >> _BLOCK_BITS)
        return bisect_right(block, at) & 1 == 1

    def next_open(self, after: int) -> int | None:
        """The first instant later than `after` at which trading begins, breaks ending included; None if unknown."""
        edge = bisect_right(self._edges, after)
        return self._edge(edge + edge % 2)

    def next_close(self, after: int) -> int | None:
        """The first instant later than `after` at which trading ends, breaks beginning included; None if unknown."""
        edge = bisect_right(self._edges, after)
        return self._edge(edge + 1 - edge % 2)

    def next_change(self, at: int) -> int | None:
        """When the state at `at`, open or closed, ends; None if the calendar knows of no end."""
        return self._edge(bisect_right(self._edges, at))

    def open_until(self, at: int, *, before_ms: int = 0, after_ms: int = 0) -> int | None:
        """When the open time around `at` ends, None while closed. Each open time is widened by the margins, 0 or more.

        What the margins make touch counts as one open time, as far as `MOST_JOINED` of them.
        """
        edges = self._edges
        close = (bisect_right(edges, at + before_ms) - 1) // 2 * 2 + 1
        if close < 0 or at >= edges[close] + after_ms:
            return None
        joined = min(close + 2 * MOST_JOINED, len(edges) - 1)
        while close < joined and edges[close + 1] - before_ms <= edges[close] + after_ms:
            close += 2
        return edges[close] + after_ms

    def session_at(self, at: int) -> int | None:
        """The index of the session whose time from its open to its close, breaks included, has `at` in it."""
        session = self.last_session_opened(at)
        return session if session >= 0 and at < self.session_close(session) else None

    def last_session_opened(self, at: int) -> int:
        """The index of the last session that has opened by `at`; -1 if none has."""
        return bisect_right(self.first_period, bisect_right(self.period_opens, at) - 1) - 1

    def session_open(self, session: int) -> int:
        """When the session of this index opens."""
        return self.period_opens[self.first_period[session]]

    def session_close(self, session: int) -> int:
        """When the session of this index closes."""
        return self.period_closes[self.end_period(session) - 1]

    def end_period(self, session: int) -> int:
        """The index of the first period that no longer belongs to the session."""
        after = session + 1
        return self.first_period[after] if after < len(self.first_period) else len(self.period_opens)

    def session_of_day(self, day: int) -> int | None:
        """The index of the session of a date, in days since 1970-01-01; None if the market does not trade on it."""
        session = bisect_left(self.labels, day)
        return session if session < len(self.labels) and self.labels[session] == day else None

    def days_left(self, at: int) -> int:
        """How many whole days the calendar still knows about; 0 past its end."""
        return max(0, (self.known_until - at) // DAY_MS)

    def _read_block(self, number: int) -> tuple[int, ...]:
        low, high = (bisect_left(self._edges, block << _BLOCK_BITS) for block in (number, number + 1))
        block = self._blocks[number] = tuple(self._edges[low - low % 2 : high])
        return block

    def _edge(self, index: int) -> int | None:
        return self._edges[index] if index < len(self._edges) else None


def _check(table: SessionTable) -> None:
    opens, closes = table.period_opens, table.period_closes

    def refuse(problem: str) -> None:
        raise SessionError(f"calendar of {table.market}: {problem}")

    if any(getattr(table, name).typecode != "q" for name in _ARRAYS):
        refuse("all arrays are of type q")
    if len(opens) != len(closes) or len(table.first_period) != len(table.labels):
        refuse("every period has an open and a close, every session a first period and a date")
    if not opens or table.first_period[:1] != array("q", [0]):
        refuse("there is at least one period, and the first session begins with it")
    if table.first_period[-1] >= len(opens) or any(map(ge, table.first_period, islice(table.first_period, 1, None))):
        refuse("every session has a period of its own, in order")
    if any(map(ge, opens, closes)) or any(map(gt, closes, islice(opens, 1, None))):
        refuse("periods are sorted, do not overlap, and open before they close")
    if any(map(ge, table.labels, islice(table.labels, 1, None))):
        refuse("the dates of sessions are strictly increasing")
    if table.known_from > opens[0] or closes[-1] > table.known_until:
        refuse("what is known has every session in it")


def _edges_of(opens: "array[int]", closes: "array[int]") -> "array[int]":
    edges = array("q", bytes(2 * opens.itemsize * len(opens)))
    edges[::2], edges[1::2] = opens, closes
    if not any(map(eq, closes, islice(opens, 1, None))):
        return edges
    apart = (pair for pair in zip(edges[1:-1:2], edges[2::2], strict=True) if pair[0] != pair[1])
    return array("q", [edges[0], *chain.from_iterable(apart), edges[-1]])
