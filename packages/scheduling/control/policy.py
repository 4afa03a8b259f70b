"""The thresholds of the adaptive control as frozen values, checked when built. Durations are in whole milliseconds.

Shares (rates, ratios) are in millionths, so that a state that was written and read again is the same to the last bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from packages.scheduling.control.objective import Objective
from packages.scheduling.control.shares import ONE
from packages.scheduling.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode, PolicyError

# The first to be throttled first.
SHEDDING_ORDER: Final = (Criticality.SHEDDABLE, Criticality.SHEDDABLE_PLUS, Criticality.CRITICAL)
LEAST_RATES: Final[Mapping[Criticality, int]] = MappingProxyType(
    {Criticality.SHEDDABLE: 0, Criticality.SHEDDABLE_PLUS: 50_000, Criticality.CRITICAL: ONE}
)
_MOST_DOUBLED: Final = 10


def _is_share(value: int) -> bool:
    return 0 <= value <= ONE


@dataclass(frozen=True, slots=True)
class BacklogPolicy:
    """When a queue counts as overloaded, and how its rates answer.

    `target_ms`: the wait that may stand in a queue, unless `targets_ms` has one for it; `target_messages`: the length,
    where nothing else is known. `standing_ms`: for how long the wait must never have been below it (CoDel's INTERVAL);
    `again_ms` where a throttle has just begun, or the wait is `grave` targets. An overloaded rate is cut so that the
    queue is down to its target after `drained_ms`, by `most_decrease` at most; where it has neither just begun nor is
    grave, after some times as long, by `decrease` at most. While the wait is at most the share `calm` of the target,
    `increase` is added to a rate in each control interval, and twice as much after each `standing_ms` of it, doubled
    `most_doubled` times at most. `least_rates`: how far each criticality may be throttled; critical_plus never is.

    Sources: Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012; Chiu and Jain, Computer Networks
    and ISDN Systems 17(1), 1989.
    """

    mode: GateMode = GateMode.ENFORCE
    target_ms: int = 5 * SECOND_MS
    targets_ms: Mapping[str, int] = field(default_factory=dict)
    target_messages: int = 100
    standing_ms: int = MINUTE_MS
    again_ms: int = 30 * SECOND_MS
    drained_ms: int = MINUTE_MS
    calm: int = 100_000
    decrease: int = 40_000
    most_decrease: int = 900_000
    grave: int = 4
    increase: int = 2_000
    most_doubled: int = 3
    least_rates: Mapping[Criticality, int] = field(default_factory=lambda: LEAST_RATES)

    def __post_init__(self) -> None:
        for queue, target_ms in {"every queue": self.target_ms, **self.targets_ms}.items():
            if not 0 < target_ms < self.standing_ms:
                raise PolicyError(
                    f"the target of {queue}, {target_ms} ms, is not between 0 and the interval, {self.standing_ms} ms"
                )
        if self.target_messages < 1:
            raise PolicyError(f"at least one message may stand in a queue, not {self.target_messages}")
        if not 0 < self.again_ms <= self.standing_ms or self.drained_ms <= 0:
            raise PolicyError("a throttled queue is looked at again within the interval, and drains in more than 0 ms")
        if not (0 < self.decrease <= self.most_decrease < ONE and 0 < self.increase <= ONE):
            raise PolicyError("a rate is decreased and increased by shares between 0 and 1, by `decrease` the least")
        if not 0 <= self.calm <= ONE or self.grave < 1 or not 0 <= self.most_doubled <= _MOST_DOUBLED:
            raise PolicyError(f"calm is a share, grave at least one target, and 0 to {_MOST_DOUBLED} times is doubled")
        if set(self.least_rates) != set(SHEDDING_ORDER) or not all(map(_is_share, self.least_rates.values())):
            raise PolicyError("least rates are shares from 0 to 1, of sheddable, sheddable_plus and critical")
        if self.least_rates[Criticality.CRITICAL] == 0:
            raise PolicyError("the least rate of critical work must be above 0: it may be slowed, never stopped")

    def target_of(self, queue: str) -> int:
        """The wait that may stand in a queue, in ms."""
        return self.targets_ms.get(queue, self.target_ms)

    def least_of(self, criticality: Criticality, *, by_length: bool) -> int:
        """The least rate of a criticality; by length alone no less than what the deepest cut leaves.

        Where that shows no effect it may be that somebody else fills the queue, and that it is emptied fast enough.
        """
        least = self.least_rates[criticality]
        return max(least, ONE - self.most_decrease) if by_length else least

    def calm_ms_of(self, queue: str) -> int:
        """The wait in a queue up to which its rates rise, in ms."""
        return self.target_of(queue) * self.calm // ONE


@dataclass(frozen=True, slots=True)
class SloPolicy:
    """When an objective burns.

    `dwell_ms`: a level is left for the one below after so long without cause. `least_events`: in both windows.
    `burns`: the burn rates that call for the levels 1, 2 and 3, in millionths, the lowest first.

    Source of the rates: Google SRE Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
    """

    mode: GateMode = GateMode.ENFORCE
    objectives: tuple[Objective, ...] = ()
    dwell_ms: int = 10 * MINUTE_MS
    least_events: int = 20
    burns: tuple[int, int, int] = (ONE, 6 * ONE, 14_400_000)

    def __post_init__(self) -> None:
        if self.dwell_ms <= 0 or self.least_events <= 0:
            raise PolicyError("the dwell and the least number of events must be above zero")
        if not 0 < self.burns[0] <= self.burns[1] <= self.burns[2]:
            raise PolicyError("the burn rates of the levels are above zero, and none is below that of the level before")


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """A task of which less than `succeeding` goes well is shed, up to `most_shed`, once it has `least_runs`.

    Source: Google SRE book, chapter 21, "Client-Side Throttling"; Envoy's admission control.
    """

    mode: GateMode = GateMode.ENFORCE
    succeeding: int = 500_000
    most_shed: int = 800_000
    least_runs: int = 10

    def __post_init__(self) -> None:
        if not (0 < self.succeeding <= ONE and 0 < self.most_shed < ONE):
            raise PolicyError("what should succeed and what may be shed are shares between 0 and 1")
        if self.least_runs <= 0:
            raise PolicyError("the least number of runs must be above zero")


@dataclass(frozen=True, slots=True)
class ControlPolicy:
    """All of them. `interval_ms`: rates and levels change once in it. A reading older than `stale_ms` is absent.

    The intervals are counted from the epoch: beat may wake late for one, and there are as many as the setting says.
    """

    interval_ms: int = 10 * SECOND_MS
    stale_ms: int = 30 * SECOND_MS
    backlog: BacklogPolicy = field(default_factory=BacklogPolicy)
    slo: SloPolicy = field(default_factory=SloPolicy)
    target: TargetPolicy = field(default_factory=TargetPolicy)

    def interval_end(self, instant: int) -> int:
        """The end, not in it, of the control interval that an instant is in."""
        return (instant // self.interval_ms + 1) * self.interval_ms

    def __post_init__(self) -> None:
        if not 0 < self.interval_ms <= self.backlog.standing_ms:
            raise PolicyError(
                f"the control interval, {self.interval_ms} ms, is not between 0 and the interval of a standing queue, "
                f"{self.backlog.standing_ms} ms"
            )
        if not self.interval_ms <= self.stale_ms <= HOUR_MS:
            raise PolicyError("a reading is stale after the control interval at the earliest, and within an hour")
