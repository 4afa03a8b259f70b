"""What the adaptive control remembers from one control interval to the next, and what the gates read. Values only."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from packages.scheduling.model import Criticality

_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


class WaitBasis(StrEnum):
    """How a queue's wait is known: it is empty, the oldest message says, by length and pace, or it stands still.

    Or it is not known, and the queue is judged by its length alone.
    """

    EMPTY = "empty"
    OLDEST = "oldest"
    ESTIMATE = "estimate"
    STUCK = "stuck"
    LENGTH = "length"


class Unheard(NamedTuple):
    """A queue that no worker that lives says it serves, as it was read last.

    `ready`: messages that wait, None if that is not known; `oldest_at`: when the oldest of them was published, if it
    says. `taken_at`: when it was last seen that somebody takes messages all the same, or that after it none waited.
    `told_at`: when it was last told that no worker says so.
    """

    ready: int | None = None
    oldest_at: int | None = None
    taken_at: int | None = None
    told_at: int | None = None


class QueueControl(NamedTuple):
    """One queue. `rates`: what share of the fires of a criticality is let through, in millionths; a missing one is all.

    `wait_ms` None: not known, or, when `basis` is `stuck`, without end. `messages`: how many wait. `above_since`: since
    when the wait, or the length, has never been at the target; `looked_at`, with `looked_messages`: when it was last
    looked at for a cut. `calm_since`: since when the rates have been rising. `fits`: the rates that the queue can take,
    of those that were cut. `since`: since when it is throttled. `unserved_since`: since when nobody consumes it, and
    messages wait; None: somebody does, as far as is known. `group`: the queues that share its workers, with itself;
    empty where nobody says. `unheard`: what is known of it while no worker says that it serves it. `told_at`: when a
    reading last told how long messages wait. `by_length`: it told only how many.
    """

    wait_ms: int | None = None
    basis: WaitBasis | None = None
    messages: int | None = None
    above_since: int | None = None
    looked_at: int | None = None
    looked_messages: int | None = None
    calm_since: int | None = None
    fits: Mapping[Criticality, int] = _NOTHING
    rates: Mapping[Criticality, int] = _NOTHING
    since: int | None = None
    unserved_since: int | None = None
    group: frozenset[str] = frozenset()
    unheard: Unheard | None = None
    told_at: int | None = None
    by_length: bool = False

    @property
    def unserved(self) -> bool:
        """Whether nobody consumes it."""
        return self.unserved_since is not None


class LevelControl(NamedTuple):
    """One objective: its level, 0 to 3, since when, and since when nothing has called for it any more."""

    level: int
    since: int
    calm_since: int | None = None
    sheds: frozenset[str] | None = None


class TargetControl(NamedTuple):
    """One task that fails: what share of its fires is let through, in millionths, and since when it is throttled."""

    rate: int
    since: int


class Controllers(NamedTuple):
    """The whole state. A queue, objective or task that is not there is left alone.

    `coalesced`: fires that a later one has taken up, by (queue, criticality), since such fires are throttled; a failing
    task may concern any queue. `observed`: their gate observes, so that nothing has answered to the queues' rates.
    """

    stepped_at: int | None = None
    queues: Mapping[str, QueueControl] = _NOTHING
    levels: Mapping[str, LevelControl] = _NOTHING
    targets: Mapping[str, TargetControl] = _NOTHING
    coalesced: Mapping[tuple[str, Criticality], int] = _NOTHING
    observed: bool = False

    @property
    def throttles(self) -> bool:
        """Whether any fire of any job may be passed over."""
        return (
            bool(self.targets)
            or any(each.level for each in self.levels.values())
            or any(each.rates or each.unserved for each in self.queues.values())
        )

    @property
    def is_calm(self) -> bool:
        """Whether nothing is lost with it: nothing throttled, no wait above its target, no worker that is missed."""
        return not self.throttles and all(
            each.above_since is None and each.unheard is None for each in self.queues.values()
        )


NEUTRAL: Final = Controllers()
