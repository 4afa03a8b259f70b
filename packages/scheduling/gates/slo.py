"""Makes room while an objective burns its error budget.

Level 1 halves `sheddable`, 2 stops it and halves `sheddable_plus`, 3 leaves `critical` and above.

Source of the levels: Google SRE Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from packages.scheduling.candidate import Candidate
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import Opinion, Reason
from packages.scheduling.model import Criticality
from packages.scheduling.policies import Policies
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.throttle import is_left_alone, opinion_at

if TYPE_CHECKING:
    from packages.scheduling.control.controllers import LevelControl

NAME: Final = "slo"
# By level; what is not named goes on as usual.
_RATES: Final[tuple[Mapping[Criticality, int], ...]] = (
    {},
    {Criticality.SHEDDABLE: ONE // 2},
    {Criticality.SHEDDABLE: 0, Criticality.SHEDDABLE_PLUS: ONE // 2},
    {Criticality.SHEDDABLE: 0, Criticality.SHEDDABLE_PLUS: 0},
)


def may_speak(policies: Policies, snapshot: Snapshot) -> bool:  # noqa: ARG001  # of any job
    """Whether any objective burns."""
    return bool(snapshot.controllers.levels)


def opinion(candidate: Candidate, snapshot: Snapshot) -> Opinion | None:
    """A fire in turn or a defer by the highest level that concerns the job's queue."""
    job, at = candidate.job, candidate.at
    worst: tuple[int, str, LevelControl] | None = None
    for name, level in snapshot.controllers.levels.items():
        concerns = level.sheds is None or job.queue in level.sheds
        if concerns and level.level and (worst is None or level.level > worst[0]):
            worst = level.level, name, level
    if worst is None or is_left_alone(job, snapshot, at):
        return None
    rate = rate_of(worst[2], job.queue, job.criticality)
    facts = (("objective", worst[1]), ("level", worst[0]), ("since", worst[2].since))
    return opinion_at(rate, NAME, candidate, Reason.OBJECTIVE_BURNING, facts)


def rate_of(level: "LevelControl", queue: str, criticality: Criticality) -> int:
    """What share of such fires a level lets through, in millionths."""
    if level.sheds is not None and queue not in level.sheds:
        return ONE
    return _RATES[level.level].get(criticality, ONE)
