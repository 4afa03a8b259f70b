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
        claimed = refused = 0
        fired: Counter[FireLabels] = Counter()
        late_ms: list[int] = []
        # Most fires have the labels of the one before, and are counted with it: a look into a counter costs more.
        labels: FireLabels | None = None
        alike = 0
        for (fire, _), (fate, _, at) in zip(commit.fires, settled, strict=True):
            if at is None:
                claimed += fate is _CLAIMED
                refused += fate is _REFUSED
                continue
            job, decision = fire.job, fire.decision
            late_ms.append(at - decision.planned)
            own = (decision.verdict, decision.reason, job.queue, job.criticality)
            if own != labels:
                if labels is not None:
                    fired[labels] += alike
                labels, alike = own, 0
            alike += 1
        if labels is not None:
            fired[labels] += alike
        accepted = len(late_ms)
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
