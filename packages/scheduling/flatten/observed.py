"""How much of what a preview fires is really published, by the decisions that were recorded.

A preview knows no runs under way, no pauses and no markets that the workers trade on. What was missed because no beat
ran says nothing about what is to come, and is left out.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from packages.scheduling.decision import SCHEDULE, Decision, Reason, Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_PER_MILLE: Final = 1000
_OF_AN_ABSENT_BEAT: Final = frozenset({Reason.MISSED, Reason.SUPERSEDED, Reason.WITHDRAWN})


class Published(NamedTuple):
    """Of the recorded nominals of a job: how many were published, and how many a preview publishes."""

    published: int
    previewed: int

    @property
    def per_mille(self) -> int | None:
        """The former in thousandths of the latter; None if a preview publishes none."""
        return round(self.published * _PER_MILLE / self.previewed) if self.previewed else None


def published_of(decisions: Iterable[Decision], previewed: "npt.NDArray[np.int64]") -> Published:
    """Count the final decisions of one job on its schedule, whose nominals a preview fires at `previewed`, sorted."""
    published = expected = 0
    for decision in decisions:
        if decision.origin != SCHEDULE or not decision.is_final or decision.reason in _OF_AN_ABSENT_BEAT:
            continue
        first = decision.nominal if decision.first_nominal is None else decision.first_nominal
        expected += int(previewed.searchsorted(decision.nominal, "right") - previewed.searchsorted(first, "left"))
        published += decision.verdict is Verdict.FIRE
    return Published(published, expected)
