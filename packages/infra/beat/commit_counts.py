"""What became of a commit as figures for the metrics."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from packages.infra.beat.publisher import Commit, Committed, Fate
from packages.infra.telemetry.beat_metrics import BeatMetrics, FireLabels
from packages.scheduling.decision import Decision
from packages.scheduling.engine import Engine

_CLAIMED: Final = Fate.CLAIMED
_REFUSED: Final = Fate.REFUSED


class CommitCounts:
    """Counts into the metrics of one beat."""

    def __init__(self, metrics: BeatMetrics, engine: Engine) -> None:
        self._metrics = metrics
        self._engine = engine

    def committed(self, commit: Commit, decisions: Sequence[Decision], done: Committed, *, seconds: float) -> None:
        """Count a commit that took so long; `decisions` are those of its tick that are not fires."""
        settled = done.settled
        accepted = claimed = refused = 0
        # By identity: an enumeration's hash costs more than all the rest.
        counts: dict[tuple[int, int, str], int] = {}
        labels: dict[tuple[int, int, str], FireLabels] = {}
        late_ms: list[int] = []
        for (fire, _), (fate, _, at) in zip(commit.fires, settled, strict=True):
            if at is None:
                claimed += fate is _CLAIMED
                refused += fate is _REFUSED
                continue
            accepted += 1
            job, decision = fire.job, fire.decision
            late_ms.append(at - decision.planned)
            key = (id(decision.reason), id(job.criticality), job.queue)
            if key in counts:
                counts[key] += 1
            else:
                counts[key] = 1
                labels[key] = (decision.verdict, decision.reason, job.queue, job.criticality)
        fired: Counter[FireLabels] = Counter({labels[key]: count for key, count in counts.items()})
        for decision in decisions:
            if decision.job in self._engine.names:
                job = self._engine.job(decision.job)
                fired[decision.verdict, decision.reason, job.queue, job.criticality] += decision.count
        self._metrics.decided(fired)
        self._metrics.late(late_ms)
        self._metrics.committed(
            seconds=seconds,
            accepted=accepted,
            claimed=claimed,
            refused=refused,
            failed=len(settled) - accepted - claimed - refused,
        )
