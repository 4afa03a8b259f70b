"""What the adaptive control does, for the metrics and for `minsy status`: rates, waits, levels, and who owes a fire."""

from collections.abc import Mapping
from typing import Final

from packages.infra.telemetry.beat_metrics import MOST_QUEUES, ControlFacts
from packages.scheduling.control.shares import ONE
from packages.scheduling.engine import Engine
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.throttles import throttles

_MS_PER_S: Final = float(SECOND_MS)


def control_facts(engine: Engine, snapshot: Snapshot, now: int) -> ControlFacts:
    """As of the last tick, under whose `snapshot` the gates were asked. Of very many queues only the first ones."""
    controllers = engine.controllers
    queues = sorted({*controllers.queues, *(queue for queue, _ in snapshot.pins)})[:MOST_QUEUES]
    kinds = [(queue, criticality) for queue in queues for criticality in Criticality]
    held = {
        (each.queue, each.criticality): each.rate / ONE for each in throttles(snapshot, kinds, now) if not each.observed
    }
    waits = {queue: control.wait_ms for queue, control in controllers.queues.items() if queue in queues}
    return ControlFacts(
        rates={kind: held.get(kind, 1.0) for kind in kinds},
        waits_s={queue: wait_ms / _MS_PER_S for queue, wait_ms in waits.items() if wait_ms is not None},
        levels={name: controllers.levels[name].level for name in sorted(controllers.levels)[:MOST_QUEUES]},
        owed=_owed(engine.debt),
    )


def _owed(debt: Mapping[tuple[str, Criticality], int]) -> dict[tuple[str, Criticality], int]:
    return {kind: debt[kind] for kind in sorted(debt)[: MOST_QUEUES * len(Criticality)]}
