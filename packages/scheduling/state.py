"""What the engine remembers of a job between two ticks. Values; where they are kept is not decided here."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from packages.scheduling.decision import CLOCK, SCHEDULE, Reason

# Makes a named tuple at half the cost; two are made for every fire.
_new: Final = tuple.__new__


@dataclass(frozen=True, slots=True)
class OpenFire:
    """A fire that is not settled: deferred by a gate, pending after a failed publish, or asked for by an operator.

    It is looked at again at `retry_at`. `attempts` counts failed publishes. `reason` is why it is open. A `forced` one
    goes out whatever else still runs. `since` is from when on its wait counts, which may be from that of a fire it took
    up.
    """

    nominal: int
    planned: int
    origin: str
    retry_at: int
    reason: Reason
    since: int
    attempts: int = 0
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Backfill:
    """A past range (after `cursor`, to `end` inclusive) that is published again, one fire every `every_ms`.

    `credit`, in millionths, is that of its own turns while the job is throttled.
    """

    id: str
    cursor: int
    end: int
    every_ms: int
    next_at: int
    credit: int = 0


class JobState(NamedTuple):
    """Every nominal up to `watermark` is settled, but for the open fires.

    `trigger` is the description of the trigger that the watermark belongs to. `clock` counts how often the wall clock
    was set back under this job. `fired` counts the fires that were published. `taken` has the ids of the
    last requests of an operator that were taken over, so that one that is seen again is not done again. `credit`, in
    millionths, is there while the job is throttled.
    """

    watermark: int
    trigger: str = ""
    open: tuple[OpenFire, ...] = ()
    backfills: tuple[Backfill, ...] = ()
    clock: int = 0
    fired: int = 0
    taken: tuple[str, ...] = ()
    credit: int | None = None

    @property
    def origin(self) -> str:
        """The origin of this job's scheduled fires."""
        return f"{CLOCK}{self.clock}" if self.clock else SCHEDULE

    def settled_to(self, watermark: int) -> "JobState":
        """The same with another watermark."""
        return _new(JobState, (watermark, *self[1:]))

    def with_open(self, fires: tuple[OpenFire, ...]) -> "JobState":
        """The same with these fires open."""
        return _new(JobState, (*self[:2], fires, *self[3:]))

    def with_credit(self, credit: int | None) -> "JobState":
        """The same with another credit."""
        return _new(JobState, (*self[:7], credit))

    def with_a_fire(self) -> "JobState":
        """The same with one more fire published."""
        watermark, trigger, waiting, backfills, clock, fired, taken, credit = self
        return _new(JobState, (watermark, trigger, waiting, backfills, clock, fired + 1, taken, credit))
