"""The opinions of the gates and the one decision that they make together.

Expected outcomes (skip, defer) are values, not errors. `Reason` is the whole list of reasons; each stands in
docs/decisions.md.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from packages.scheduling.instants import NEVER_ENDS
from packages.scheduling.policies import GateMode

# The origins of a fire: the trigger named it; it did so again after the clock was set back; an operator asked for it,
# once or for a past range. The last three are followed by a number or an id.
SCHEDULE: Final = "schedule"
CLOCK: Final = "clock:"
TRIGGER: Final = "trigger:"
BACKFILL: Final = "backfill:"

Fact = tuple[str, str | int]


class Verdict(StrEnum):
    """What becomes of a fire, from the strictest to the most permissive."""

    SKIP = "skip"
    DEFER = "defer"
    FIRE = "fire"


class Reason(StrEnum):
    """Why. Labels of metrics and words of the documentation; never free text."""

    ON_TIME = "on_time"
    CAUGHT_UP = "caught_up"
    REQUESTED = "requested"
    WAITED = "waited"
    STALE = "stale"
    MISSED = "missed"
    SUPERSEDED = "superseded"
    PAUSED = "paused"
    MARKET_OPEN = "market_open"
    MARKET_CLOSED = "market_closed"
    MARKET_UNKNOWN = "market_unknown"
    IN_WINDOW = "in_window"
    OUTSIDE_WINDOW = "outside_window"
    STILL_RUNNING = "still_running"
    PUBLISH_FAILED = "publish_failed"
    WITHDRAWN = "withdrawn"
    IN_TURN = "in_turn"
    THROTTLED = "throttled"
    NO_CONSUMER = "no_consumer"
    OBJECTIVE_BURNING = "objective_burning"
    TARGET_FAILING = "target_failing"
    PINNED = "pinned"
    COALESCED = "coalesced"

    # That of an enumeration is a function in Python, and reasons are looked up for every fire to a throttled queue.
    __hash__ = str.__hash__


_DEFER: Final = Verdict.DEFER
# Why a fire waits that is out of turn.
THROTTLED_BY: Final = frozenset(
    {Reason.THROTTLED, Reason.NO_CONSUMER, Reason.OBJECTIVE_BURNING, Reason.TARGET_FAILING, Reason.PINNED}
)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one gate says of a candidate.

    `until` (of a defer): when to ask again. `holds_until` (exclusive): as long as the snapshot is the same, the gate
    says the same of each fire of this job and origin that is decided between now and then. `mode` is what the job's own
    policy wants of the gate. `rate`: the fire takes its turn at this share of the job's fires, in millionths.
    """

    gate: str
    verdict: Verdict
    reason: Reason
    until: int | None = None
    holds_until: int = NEVER_ENDS
    facts: tuple[Fact, ...] = ()
    mode: GateMode = GateMode.ENFORCE
    rate: int | None = None

    def __post_init__(self) -> None:
        if (self.verdict is _DEFER) != (self.until is not None):
            raise ValueError(f"gate {self.gate}: an opinion has `until` exactly when it defers")


class Decision(NamedTuple):
    """The verdict on one fire (job, nominal, origin) at the instant `at`, with every opinion behind it.

    A skip with `count` above 1 stands for that many nominals, from `first_nominal` to `nominal`, that were settled
    together. `cancels` has the task ids of earlier runs to revoke. `arm` names the arm of an experiment.
    """

    job: str
    nominal: int
    planned: int
    origin: str
    at: int
    verdict: Verdict
    reason: Reason
    until: int | None = None
    opinions: tuple[Opinion, ...] = ()
    holds_until: int = NEVER_ENDS
    count: int = 1  # type: ignore[assignment]  # nobody asks how often a value is in it, which tuples can tell
    first_nominal: int | None = None
    cancels: tuple[str, ...] = ()
    arm: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether the fire is settled by it; a deferred one is decided again."""
        return self.verdict is not Verdict.DEFER
