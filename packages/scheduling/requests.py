"""What an operator asks for, and how it becomes part of a job's state."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from packages.scheduling.decision import TRIGGER, Reason
from packages.scheduling.state import Backfill, JobState, OpenFire

_REQUESTS_REMEMBERED: Final = 50


class RequestError(ValueError):
    """An operator asks for what cannot be; the text says what."""


class TriggerRequest(NamedTuple):
    """An operator's wish for one run now. `forced`: also while an earlier one is not over."""

    id: str
    job: str
    requested_at: int
    forced: bool = False


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """An operator's wish for the nominals in [start, end] once more, one fire every `every_ms`.

    What is not past when it is taken over is left to the schedule.

    Raises:
        RequestError: the range is empty, or the pace is not above zero.
    """

    id: str
    job: str
    start: int
    end: int
    every_ms: int
    requested_at: int

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise RequestError(f"the backfill of {self.job} ends at {self.end}, before it starts at {self.start}")
        if self.every_ms <= 0:
            raise RequestError(f"the pace of the backfill of {self.job} is above 0 ms, not {self.every_ms}")


class ResetRequest(NamedTuple):
    """An operator's wish that the adaptive control forgets what it has learnt of `queue`; None: of everything."""

    id: str
    requested_at: int
    queue: str | None = None


JobRequest = TriggerRequest | BackfillRequest
Request = JobRequest | ResetRequest


def with_request(state: JobState, request: JobRequest, now: int) -> JobState:
    """The state of a job that has taken the request over; the same one if it had done so before."""
    if request.id in state.taken:
        return state
    taken = (*state.taken, request.id)[-_REQUESTS_REMEMBERED:]
    match request:
        case TriggerRequest():
            fire = OpenFire(
                # Of the request alone, whatever clock has dated it: whoever takes it over makes the same fire of it.
                nominal=request.requested_at,
                planned=request.requested_at,
                origin=f"{TRIGGER}{request.id}",
                retry_at=min(request.requested_at, now),
                reason=Reason.REQUESTED,
                since=now,
                forced=request.forced,
            )
            return state._replace(open=(*state.open, fire), taken=taken)
        case BackfillRequest():
            end = min(request.end, now)
            backfill = Backfill(
                id=request.id, cursor=request.start - 1, end=end, every_ms=request.every_ms, next_at=now
            )
            return state._replace(backfills=(*state.backfills, backfill), taken=taken)
