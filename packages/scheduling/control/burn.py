"""The levels of the objectives, once a control interval: how fast each burns its budget of errors, in two windows.

    burn rate of a window = (bad / total) / (1 - goal)

    level 3: 14.4 in 1 h and 5 min      level 2: 6 in 6 h and 30 min      level 1: 1 in 3 d and 6 h

The windows are those; the rates may be set.

The longer window says that enough has been burnt to matter, the shorter one that it is burning still. A level is taken
at once, and left for the one below when nothing has called for it for the whole of `dwell_ms`.

Source: Google SRE Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts". It decides nothing about a single fire.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from packages.scheduling.control.controllers import LevelControl
from packages.scheduling.control.objective import Objective
from packages.scheduling.control.policy import SloPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS
from packages.scheduling.readings import ObjectiveReading, WindowCount
from packages.scheduling.snapshot import Reading


class _Pair(NamedTuple):
    """The windows in which a burn rate calls for `level`."""

    level: int
    long_ms: int
    short_ms: int


class _Found(NamedTuple):
    """`level`: the highest one that is called for. `is_calm`: it is known that none from the present one on is."""

    level: int
    is_calm: bool


_PAIRS: Final = (
    _Pair(level=3, long_ms=HOUR_MS, short_ms=5 * MINUTE_MS),
    _Pair(level=2, long_ms=6 * HOUR_MS, short_ms=30 * MINUTE_MS),
    _Pair(level=1, long_ms=3 * DAY_MS, short_ms=6 * HOUR_MS),
)
# What a reading of an objective is to tell of, the shortest first.
WINDOWS_MS: Final = tuple(sorted({window for pair in _PAIRS for window in (pair.long_ms, pair.short_ms)}))

# The longer window of the highest level: nothing that was seen before says anything of now.
UNSEEN_MS: Final = HOUR_MS

_NOTHING: Final = _Found(level=0, is_calm=False)


def step_levels(
    levels: Mapping[str, LevelControl],
    readings: Mapping[str, Reading[ObjectiveReading]],
    policy: SloPolicy,
    now: int,
    *,
    stale_ms: int,
) -> dict[str, LevelControl]:
    """The next level of every objective that is declared; one at level 0 is not there.

    A reading that is absent or stale, or that lacks what would call for the present level or a higher one, changes
    nothing for `UNSEEN_MS`. After that it counts as one in which nothing calls for the level, which is left after
    `dwell_ms`: what cannot be seen must not hold others back for ever. That time is since the stale reading was taken;
    where there is none, or one from the future, since the level began. A window with fewer than `least_events` is no
    such case: it is known, and calls for nothing.
    """
    after: dict[str, LevelControl] = {}
    for objective in policy.objectives:
        before = _clamped(levels.get(objective.name, LevelControl(level=0, since=now)), now)
        reading = readings.get(objective.name)
        if reading is not None and reading.taken_at > now + stale_ms:
            # From before the clock was set back.
            reading = None
        fresh = reading.value if reading is not None and reading.age_ms(now) <= stale_ms else None
        found = _NOTHING if fresh is None else _found(objective, fresh, before.level, policy)
        if not found.is_calm and found.level < before.level:
            seen_at = before.since if reading is None or fresh is not None else reading.taken_at
            found = found._replace(is_calm=now - seen_at >= UNSEEN_MS)
        control = _next(before, found, policy.dwell_ms, now)
        if control.level:
            after[objective.name] = control._replace(sheds=objective.sheds)
    return after


def _clamped(control: LevelControl, now: int) -> LevelControl:
    """The same with nothing in the future: the clock may have been set back."""
    if control.since <= now and (control.calm_since is None or control.calm_since <= now):
        return control
    calm_since = None if control.calm_since is None else min(control.calm_since, now)
    return control._replace(since=min(control.since, now), calm_since=calm_since)


def _found(objective: Objective, reading: ObjectiveReading, present: int, policy: SloPolicy) -> _Found:
    counts = {count.window_ms: count for count in reading}
    level, is_calm = 0, True
    for pair in _PAIRS:
        windows = (counts.get(window) for window in (pair.long_ms, pair.short_ms))
        rate = policy.burns[pair.level - 1]
        burns = {
            None if count is None else _burns(count, objective.goal, rate, policy.least_events) for count in windows
        }
        if burns == {True}:
            level = max(level, pair.level)
        elif False not in burns and pair.level >= present:
            is_calm = False
    return _Found(level, is_calm and level < present)


def _burns(count: WindowCount, goal: int, rate: int, least_events: int) -> bool:
    """Whether bad / total >= rate * (1 - goal), in whole numbers."""
    return count.total >= least_events and ONE * ONE * count.bad >= rate * (ONE - goal) * count.total


def _next(before: LevelControl, found: _Found, dwell_ms: int, now: int) -> LevelControl:
    if found.level > before.level:
        return LevelControl(found.level, since=now)
    if found.level == before.level:
        return before._replace(calm_since=None)
    if not found.is_calm:
        return before
    calm_since = now if before.calm_since is None else before.calm_since
    if now - calm_since < dwell_ms:
        return before._replace(calm_since=calm_since)
    below = before.level - 1
    return LevelControl(below, since=now, calm_since=None if found.level == below else now)
