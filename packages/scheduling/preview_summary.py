"""What a preview comes to: fires and skips by job and by queue, the fullest second and minute, fires per hour.

Counted from the columns; nothing is decided here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from packages.scheduling.policies import GateMode
from packages.scheduling.preview_columns import Preview

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_VERDICTS = tuple(Verdict)
_REASONS = tuple(Reason)


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of decisions. `waiting` fires are not settled when the preview ends.

    `skips` is by reason. `would_be_held` counts the fires that go out only because a gate does not enforce.
    """

    fires: int
    skips: Mapping[Reason, int]
    waiting: int
    would_be_held: int

    @property
    def skipped(self) -> int:
        """All skips."""
        return sum(self.skips.values())

    @property
    def share_skipped(self) -> float:
        """The part of what was settled that is skipped, 0 to 1; 0 when nothing was."""
        settled = self.fires + self.skipped
        return self.skipped / settled if settled else 0.0


@dataclass(frozen=True, slots=True)
class JobSummary:
    """One job. The instants are those of its first and its last publish; None without one."""

    job: str
    queue: str
    tally: Tally
    first_fire: int | None
    last_fire: int | None


@dataclass(frozen=True, slots=True)
class QueueSummary:
    """One queue: how many jobs publish to it, and the fullest minute of it."""

    queue: str
    jobs: int
    tally: Tally
    peak_minute: "Peak | None"


@dataclass(frozen=True, slots=True)
class Peak:
    """The stretch with the most fires, the first one of several: from `start`, a full second or minute in UTC."""

    start: int
    fires: int


@dataclass(frozen=True, slots=True)
class Summary:
    """`fires_per_hour` begins with the full UTC hour `first_hour`, which has the start of the preview in it."""

    tally: Tally
    jobs: tuple[JobSummary, ...]
    queues: tuple[QueueSummary, ...]
    peak_second: Peak | None
    peak_minute: Peak | None
    first_hour: int
    fires_per_hour: tuple[int, ...]


def summary_of(preview: Preview) -> Summary:
    """Count the rows of a preview. The jobs are in its order, the queues in that of the alphabet."""
    import numpy as np

    counts = _counts_by_job(preview)
    fires = _is_fire(preview.kinds)[preview.kind] if len(preview) else np.zeros(0, dtype=bool)
    fired_at, fired_by = preview.at[fires], preview.job[fires]
    order = np.argsort(fired_by, kind="stable")
    bounds = np.searchsorted(fired_by[order], np.arange(len(preview.jobs) + 1))
    jobs: list[JobSummary] = []
    for index, job in enumerate(preview.jobs):
        own = fired_at[order[bounds[index] : bounds[index + 1]]]
        first, last = (int(own[0]), int(own[-1])) if len(own) else (None, None)
        jobs.append(JobSummary(job.name, job.queue, _tally(counts[index]), first, last))
    queue_of = {name: at for at, name in enumerate(sorted({job.queue for job in preview.jobs}))}
    queue = np.array([queue_of[job.queue] for job in preview.jobs], dtype=np.int64)[fired_by]
    queues = [
        QueueSummary(
            queue=name,
            jobs=len(members),
            tally=_tally(counts[members].sum(axis=0)),
            peak_minute=_peak(fired_at[queue == queue_of[name]], MINUTE_MS),
        )
        for name, members in _members(preview).items()
    ]
    first_hour = preview.start // HOUR_MS * HOUR_MS
    hours = max(0, -(-(preview.end - first_hour) // HOUR_MS))
    return Summary(
        tally=_tally(counts.sum(axis=0)),
        jobs=tuple(jobs),
        queues=tuple(queues),
        peak_second=_peak(fired_at, SECOND_MS),
        peak_minute=_peak(fired_at, MINUTE_MS),
        first_hour=first_hour,
        fires_per_hour=tuple(np.bincount((fired_at - first_hour) // HOUR_MS, minlength=hours).tolist()),
    )


def _members(preview: Preview) -> dict[str, list[int]]:
    by_queue = sorted((job.queue, index) for index, job in enumerate(preview.jobs))
    return {queue: [index for _, index in pairs] for queue, pairs in groupby(by_queue, key=lambda pair: pair[0])}


def _is_fire(kinds: Sequence[Decision]) -> "npt.NDArray[np.bool_]":
    import numpy as np

    return np.array([kind.verdict is Verdict.FIRE for kind in kinds], dtype=bool)


def would_be_held(decision: Decision) -> bool:
    """Whether a fire goes out only because the gates that object to it observe."""
    return decision.verdict is Verdict.FIRE and any(
        opinion.mode is GateMode.OBSERVE and opinion.verdict is not Verdict.FIRE for opinion in decision.opinions
    )


def _counts_by_job(preview: Preview) -> "npt.NDArray[np.int64]":
    """A line for each job, with a column for each (verdict, reason), and a last one for `would_be_held`."""
    import numpy as np

    width = len(_VERDICTS) * len(_REASONS)
    counts = np.zeros((len(preview.jobs), width + 1), dtype=np.int64)
    if not len(preview):
        return counts
    code = np.array([_code(kind) for kind in preview.kinds], dtype=np.int64)[preview.kind]
    weight = np.array([kind.count for kind in preview.kinds], dtype=np.int64)[preview.kind]
    held = np.array([would_be_held(kind) for kind in preview.kinds], dtype=bool)[preview.kind]
    np.add.at(counts, (preview.job, code), weight)
    np.add.at(counts, (preview.job[held], width), weight[held])
    return counts


def _code(decision: Decision) -> int:
    return _VERDICTS.index(decision.verdict) * len(_REASONS) + _REASONS.index(decision.reason)


def _tally(counts: "npt.NDArray[np.int64]") -> Tally:
    by_verdict = counts[:-1].reshape(len(_VERDICTS), len(_REASONS))
    skips = by_verdict[_VERDICTS.index(Verdict.SKIP)].tolist()
    return Tally(
        fires=int(by_verdict[_VERDICTS.index(Verdict.FIRE)].sum()),
        skips={reason: count for reason, count in zip(_REASONS, skips, strict=True) if count},
        waiting=int(by_verdict[_VERDICTS.index(Verdict.DEFER)].sum()),
        would_be_held=int(counts[-1]),
    )


def _peak(instants: "npt.NDArray[np.int64]", length_ms: int) -> Peak | None:
    import numpy as np

    if not len(instants):
        return None
    stretches, counts = np.unique(instants // length_ms, return_counts=True)
    fullest = int(np.argmax(counts))
    return Peak(int(stretches[fullest]) * length_ms, int(counts[fullest]))
