"""A service level objective: what it is about, how much of it must go well, and whose fires are shed while it burns."""

from dataclasses import dataclass
from enum import StrEnum

from packages.scheduling.control.shares import ONE
from packages.scheduling.policies import PolicyError


class Measure(StrEnum):
    """What an event is judged by: that a run succeeds, that it begins soon after publishing, that it is short.

    `external`: somebody else judges, and is asked by a query.
    """

    SUCCESS = "success"
    START_DELAY = "start_delay"
    RUN_TIME = "run_time"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class Objective:
    """`goal`: the share of events that must go well, in millionths, below all of them.

    It is about `task`, or `queue`, or what `bad_query` and `total_query` count (PromQL, each with `$window` in it).
    `within_ms`: how long a good start delay or run time is at most. `sheds`: the queues whose fires make room while it
    burns; None: every queue.
    """

    name: str
    measure: Measure
    goal: int
    task: str | None = None
    queue: str | None = None
    within_ms: int | None = None
    bad_query: str | None = None
    total_query: str | None = None
    sheds: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.goal < ONE:
            raise PolicyError(f"objective {self.name}: the goal is a share above 0 and below 1, not {self.goal / ONE}")
        if self.measure is Measure.EXTERNAL:
            if self.bad_query is None or self.total_query is None or self.task or self.queue:
                raise PolicyError(f"objective {self.name}: an external one has both queries, and no task and no queue")
        elif (self.task is None) == (self.queue is None) or self.bad_query or self.total_query:
            raise PolicyError(f"objective {self.name}: it is about one task or one queue, and has no query")
        has_limit = self.measure in {Measure.START_DELAY, Measure.RUN_TIME}
        if has_limit != (self.within_ms is not None) or (self.within_ms is not None and self.within_ms <= 0):
            raise PolicyError(
                f"objective {self.name}: within is above 0 for a start delay or a run time, and only then"
            )
