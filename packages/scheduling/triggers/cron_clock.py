"""What a cron does when the clocks change: which instants the local times of a zone stand for.

A change forward leaves out local times (a gap), one backward repeats some (a fold). Each period of one offset gives the
local times that count in it, so that a search for the next one is a search in local time within a period. Which local
times a cron names is not decided here.
"""

from bisect import bisect_right
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from packages.scheduling.instants import HOUR_MS
from packages.scheduling.zones import BLOCK_MS, LAST_BLOCK, periods_of_block

# From the manual of Debian's cron: "clock changes of more than 3 hours are considered to be corrections".
CORRECTION_MS: Final = 3 * HOUR_MS


class Gap(StrEnum):
    """What becomes of a local time that a change of the clocks leaves out.

    It is skipped; it moves to the first instant after the gap; or, as fixed-time jobs of Debian's cron, it moves when
    the gap is shorter than three hours, else it is skipped.
    """

    SKIP = "skip"
    SHIFT = "shift"
    DEBIAN = "debian"


class Fold(StrEnum):
    """Which instants a local time stands for that a change of the clocks repeats.

    The first, the last, both; or, as fixed-time jobs of Debian's cron, the first when less than three hours are
    repeated, else both.
    """

    FIRST = "first"
    LAST = "last"
    BOTH = "both"
    DEBIAN = "debian"


def as_debian(gap: Gap | None, fold: Fold | None, *, follows_clock: bool) -> tuple[Gap, Fold]:
    """The two policies, each as Debian's cron has it where it is None.

    A wildcard job follows the clock: what is left out is skipped, and what is repeated runs again.
    """
    return (
        gap or (Gap.SKIP if follows_clock else Gap.DEBIAN),
        fold or (Fold.BOTH if follows_clock else Fold.DEBIAN),
    )


class Span(NamedTuple):
    """From `start` (inclusive) to `end` (exclusive) local time is UTC plus `offset_ms`.

    The local times in [`first_local`, `end_local`) count. Those in [`gap_local`, `start + offset_ms`) were left out
    just before `start` and stand for it; there are none when the two are equal.
    """

    start: int
    end: int
    offset_ms: int
    first_local: int
    end_local: int
    gap_local: int


def spans_from(zone: str, gap: Gap, fold: Fold, at: int) -> Iterator[Span]:
    """The spans of the zone from the one that holds `at`, which is 0 or more, to the end of the engine's range."""
    for block in range(at // BLOCK_MS, LAST_BLOCK + 1):
        ends, spans = _spans(zone, gap, fold, block)
        yield from spans[bisect_right(ends, at) :]


@lru_cache(maxsize=4096)
def _spans(zone: str, gap: Gap, fold: Fold, block: int) -> tuple[tuple[int, ...], tuple[Span, ...]]:
    block_start, block_end = block * BLOCK_MS, (block + 1) * BLOCK_MS
    periods = periods_of_block(zone, block)
    spans = []
    for index, (start, end, offset) in enumerate(periods):
        forward_ms = offset - periods[index - 1].offset_ms if index else 0
        next_back_ms = offset - periods[index + 1].offset_ms if index + 1 < len(periods) else 0
        first_local, end_local, gap_local = start + offset, end + offset, start + offset
        if forward_ms < 0 and _drops_second(fold, -forward_ms):
            first_local -= forward_ms
        if next_back_ms > 0 and fold is Fold.LAST:
            end_local -= next_back_ms
        if forward_ms > 0 and _shifts(gap, forward_ms):
            gap_local -= forward_ms
        if start < block_start:
            start = gap_local = block_start  # noqa: PLW2901  # the span is what the block has of the period
            gap_local += offset
            first_local = max(first_local, start + offset)
        if end > block_end:
            end = block_end  # noqa: PLW2901  # as above
            end_local = min(end_local, end + offset)
        if start < end:
            spans.append(Span(start, end, offset, first_local, end_local, gap_local))
    return tuple(span.end for span in spans), tuple(spans)


def _drops_second(fold: Fold, length_ms: int) -> bool:
    return fold is Fold.FIRST or (fold is Fold.DEBIAN and length_ms < CORRECTION_MS)


def _shifts(gap: Gap, length_ms: int) -> bool:
    return gap is Gap.SHIFT or (gap is Gap.DEBIAN and length_ms < CORRECTION_MS)
