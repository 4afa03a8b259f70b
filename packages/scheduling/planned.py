"""When a nominal is to be published: nominal + jitter.

The jitter is capped below the gap to the following nominal, so that fires keep their order, and inside the job's window
and trading hours, so that it does not push a fire out of them. Never moves a fire to before its nominal.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import SCHEDULE, Opinion, Verdict
from packages.scheduling.gates import trading_hours, windows
from packages.scheduling.instants import NEVER_ENDS
from packages.scheduling.jitter import offset_ms, offsets_ms
from packages.scheduling.model import Job
from packages.scheduling.policies import GateMode
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Snapshot

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Markets = Mapping[str, SessionTable]
# The nominal behind a watermark, when it is planned, and the nominal behind it: None also while that is not known.
Upcoming = tuple[int, int, int | None]


def upcoming_of(job: Job, nominal: int, markets: Markets) -> Upcoming:
    """What there is to know of `nominal`, the one behind the watermark of `job`, to tell when it is due."""
    if not job.policies.jitter_ms:
        return nominal, nominal, None
    following = job.trigger.next_after(nominal)
    return nominal, planned_of(job, nominal, following, markets), following


def planned_of(job: Job, nominal: int, following: int | None, markets: Markets) -> int:
    """The planned instant of `nominal`; `following` is the nominal behind it, if there is one."""
    width = job.policies.jitter_ms
    if not width:
        return nominal
    ends = NEVER_ENDS if following is None else following
    if job.policies.shuts:
        ends = min(ends, _shuts_by(_opinions(job, nominal, markets)))
    return nominal + offset_ms(job.name, nominal, min(width, ends - nominal))


def planned_of_many(
    job: Job, nominals: "npt.NDArray[np.int64]", following: int | None, markets: Markets
) -> "npt.NDArray[np.int64]":
    """`planned_of` of many successive nominals at once; `following` is the nominal behind the last one."""
    import numpy as np

    width = job.policies.jitter_ms
    if not width:
        return nominals
    ends = np.append(nominals[1:], NEVER_ENDS if following is None else following)
    start = 0
    while job.policies.shuts and start < len(nominals):
        # What a gate says of one nominal it says of all up to the instant at which it changes its mind.
        opinions = _opinions(job, int(nominals[start]), markets)
        stop = int(np.searchsorted(nominals, _holds_until(opinions), side="left"))
        stop = max(stop, start + 1)
        ends[start:stop] = np.minimum(ends[start:stop], _shuts_by(opinions))
        start = stop
    return nominals + offsets_ms(job.name, nominals, np.minimum(width, ends - nominals))


def _shuts_by(opinions: tuple[Opinion, ...]) -> int:
    """When the window or session of a nominal ends; for ever if it lies in none, or needs none."""
    return NEVER_ENDS if any(o.verdict is not Verdict.FIRE for o in opinions) else _holds_until(opinions)


def _holds_until(opinions: tuple[Opinion, ...]) -> int:
    return min((opinion.holds_until for opinion in opinions), default=NEVER_ENDS)


def _opinions(job: Job, nominal: int, markets: Markets) -> tuple[Opinion, ...]:
    # No reading of markets in use: where a fire is planned must not depend on what was known at the time.
    snapshot = Snapshot(taken_at=nominal, markets=markets)
    candidate = Candidate(job=job, nominal=nominal, planned=nominal, origin=SCHEDULE, at=nominal)
    given = (gate(candidate, snapshot) for gate in (trading_hours.opinion, windows.opinion))
    return tuple(opinion for opinion in given if opinion is not None and opinion.mode is not GateMode.OFF)
