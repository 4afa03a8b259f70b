"""What an operator asks for, and how it becomes part of a job's state."""

from dataclasses import dataclass, replace
from typing import Final

from packages.scheduling.decision import TRIGGER, Reason
from packages.scheduling.state import Backfill, JobState, OpenFire

_REQUESTS_REMEMBERED: Final = 50


@dataclass(frozen=True, slots=True)
class TriggerRequest:
    """An operator's wish for one run now. `forced`: also while an earlier one is not over."""

    id: str
    job: str
    requested_at: int
    forced: bool = False


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """An operator's wish for the nominals in [start, end] once more, one fire every `every_ms`."""

    id: str
    job: str
    start: int
    end: int
    every_ms: int
    requested_at: int


def with_request(state: JobState, request: TriggerRequest | BackfillRequest, now: int) -> JobState:
    """The state of a job that has taken the request over; the same one if it had done so before."""
    if request.id in state.taken:
        return state
    taken = (*state.taken, request.id)[-_REQUESTS_REMEMBERED:]
    match request:
        case TriggerRequest():
            fire = OpenFire(
                nominal=request.requested_at,
                planned=request.requested_at,
                origin=f"{TRIGGER}{request.id}",
                retry_at=min(request.requested_at, now),
                reason=Reason.REQUESTED,
                since=now,
                forced=request.forced,
            )
            return replace(state, open=(*state.open, fire), taken=taken)
        case BackfillRequest():
            backfill = Backfill(
                id=request.id, cursor=request.start - 1, end=request.end, every_ms=request.every_ms, next_at=now
            )
            return replace(state, backfills=(*state.backfills, backfill), taken=taken)
