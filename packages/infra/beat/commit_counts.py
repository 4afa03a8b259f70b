"""What became of a commit as figures for the metrics."""

from collections.abc import Sequence
from typing import Final

from packages.infra.beat.accepted_fires import AcceptedFires
from packages.infra.beat.publisher import Fate, Settled
from packages.infra.telemetry.beat_metrics import BeatMetrics
from packages.scheduling.decision import Decision
from packages.scheduling.engine import Engine

_CLAIMED: Final = Fate.CLAIMED
_REFUSED: Final = Fate.REFUSED


class CommitCounts:
    """Counts into the metrics of one beat."""

    def __init__(self, metrics: BeatMetrics, engine: Engine) -> None:
        self._metrics = metrics
        self._engine = engine

    def committed(
        self, accepted: AcceptedFires, settled: Sequence[Settled], decisions: Sequence[Decision], *, seconds: float
    ) -> None:
        """Count a commit that took so long; `decisions` are those of its tick that are not fires."""
        claimed = refused = 0
        if len(accepted) < len(settled):
            claimed = sum(each.fate is _CLAIMED for each in settled)
            refused = sum(each.fate is _REFUSED for each in settled)
        fired = accepted.fired
        for decision in decisions:
            if decision.job in self._engine.names:
                job = self._engine.job(decision.job)
                fired[decision.verdict, decision.reason, job.queue, job.criticality] += decision.count
        self._metrics.decided(fired)
        self._metrics.late(accepted.late_ms)
        self._metrics.committed(
            seconds=seconds,
            accepted=len(accepted),
            claimed=claimed,
            refused=refused,
            failed=len(settled) - len(accepted) - claimed - refused,
        )
