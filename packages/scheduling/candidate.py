"""A fire that is due and not decided."""

from typing import Final, NamedTuple

from packages.scheduling.decision import BACKFILL, TRIGGER, Reason
from packages.scheduling.model import Job

# A beat that wakes this late is still on time: the fire is then decided as of its planned instant, so that when exactly
# beat woke changes no decision, and a preview sees the same.
ON_TIME_MS: Final = 1_000


class Candidate(NamedTuple):
    """One fire, to be decided as of the instant `at`.

    `waited` is why it was open until now, None for a new one. `attempts` counts failed publishes. `forced`: whatever
    else still runs. `since` is from when on its wait counts, which may be from that of a fire it took up; None for its
    own instant.
    `ahead` counts the fires of the same job that this tick has planned already. `credit` is the job's, if it has one,
    or that of the backfill which has named it.
    """

    job: Job
    nominal: int
    planned: int
    origin: str
    at: int
    waited: Reason | None = None
    attempts: int = 0
    forced: bool = False
    since: int | None = None
    ahead: int = 0
    credit: int | None = None

    @property
    def deadline(self) -> int:
        """When it ends if it still waits."""
        waits_since = self.planned if self.since is None else self.since
        return waits_since + self.job.policies.stale_after_ms

    @property
    def is_asked_for(self) -> bool:
        """Whether an operator asked for this very fire."""
        return self.origin.startswith(TRIGGER)

    @property
    def is_backfill(self) -> bool:
        """Whether it stands for a past nominal that is published again."""
        return self.origin.startswith(BACKFILL)


def decided_at(planned: int, now: int) -> int:
    """As of when a fire that is looked at `now` is decided."""
    return planned if planned <= now <= planned + ON_TIME_MS else now
