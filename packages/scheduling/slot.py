"""One job as the engine keeps it: its state, and when something of it is due next. Decides nothing."""

from dataclasses import dataclass
from functools import lru_cache

from packages.scheduling.instants import NEVER_ENDS
from packages.scheduling.model import Job
from packages.scheduling.planned import Markets, upcoming_of
from packages.scheduling.state import JobState


@lru_cache(maxsize=1_000)
def _shared(instant: int) -> int:
    """The same number, as one object for all jobs that are taken in together and come due together."""
    return instant


@dataclass(slots=True, eq=False)
class Slot:
    """A job, its state, and what comes behind the watermark, so that nobody is asked twice for it.

    `planned` is never reached if there is nothing to come, or if the trigger could not tell. There are as many slots as
    jobs, so they are flat.
    """

    job: Job
    state: JobState
    nominal: int = NEVER_ENDS
    planned: int = NEVER_ENDS
    following: int | None = None
    # The index's own.
    wake: int | None = None

    def look_ahead(self, markets: Markets) -> int | None:
        """Find out what comes next; returns when to look at it."""
        nominal = self.job.trigger.next_after(self.state.watermark)
        return self.look_from(nominal if nominal is None else _shared(nominal), markets)

    def look_from(self, nominal: int | None, markets: Markets) -> int | None:
        """`look_ahead` when the nominal behind the watermark is known."""
        if nominal is None:
            self.forget()
        else:
            self.nominal, self.planned, self.following = upcoming_of(self.job, nominal, markets)
        return earliest(self.state, self.planned)

    def forget(self) -> None:
        """Know of nothing to come."""
        self.nominal = self.planned = NEVER_ENDS
        self.following = None


def wake_of(job: Job, state: JobState, markets: Markets) -> int | None:
    """When something of `job` is due next; None if nothing ever is."""
    return Slot(job, state).look_ahead(markets)


def earliest(state: JobState, planned: int) -> int | None:
    """When something is due of a job in this state whose next nominal is planned then, or never: at `NEVER_ENDS`."""
    if state.open or state.backfills:
        waits = (*(fire.retry_at for fire in state.open), *(backfill.next_at for backfill in state.backfills))
        planned = min(planned, *waits)
    return planned if planned < NEVER_ENDS else None
