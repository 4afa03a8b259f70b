"""What the adaptive control does, for the metrics: rates, waits, levels, tasks that fail, and who owes a fire."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from packages.infra.telemetry.beat_metrics import MOST_QUEUES, ControlFacts
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import Reason
from packages.scheduling.engine import Engine
from packages.scheduling.gates.backlog import hangs_on_nominal
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.throttles import Throttle, throttles, throttles_of

# Asking one takes about 10 us.
MOST_ASKED: Final = 500
_MS_PER_S: Final = float(SECOND_MS)


def control_facts(engine: Engine, snapshot: Snapshot, now: int) -> ControlFacts:
    """As of the last tick, under whose `snapshot` the gates were asked. Of very many only the first ones are told.

    A queue and criticality has a rate if there are jobs of it, or a pin: as `minsy status` tells it, that of the job of
    which least goes out, whoever is exempt. All of them have the same, but for critical jobs that nobody serves, which
    are asked one by one: at most `MOST_ASKED` in all, the same number of each such queue, those that the engine has had
    for longest. Where there are more, one of the others may have a lower rate than what is told. To find them the names
    of all jobs are gone through; where every queue with critical jobs is served, none.
    """
    controllers, present = engine.controllers, engine.kinds
    queues = sorted({queue for queue, _ in (*present, *snapshot.pins)})[:MOST_QUEUES]
    waits = {queue: controllers.queues[queue].wait_ms for queue in queues if queue in controllers.queues}
    return ControlFacts(
        rates=_rates(engine, queues, snapshot, now),
        waits_s={queue: wait_ms / _MS_PER_S for queue, wait_ms in waits.items() if wait_ms is not None},
        levels={name: controllers.levels[name].level for name in sorted(controllers.levels)[:MOST_QUEUES]},
        owed=_owed(engine.debt),
        targets={task: controllers.targets[task].rate / ONE for task in sorted(controllers.targets)[:MOST_QUEUES]},
    )


def _rates(
    engine: Engine, queues: Collection[str], snapshot: Snapshot, now: int
) -> dict[tuple[str, Criticality], float]:
    present = engine.kinds
    pinned = {queue for queue, _ in snapshot.pins}
    kinds = [(queue, each) for queue in queues for each in Criticality if (queue, each) in present or queue in pinned]
    # An exemption is of one job, and a rate of all.
    snapshot = snapshot._replace(exempt={})
    rates = {kind: 1.0 for kind in kinds if kind in present}
    for each in (*throttles(snapshot, kinds, now), *_by_job(engine, queues, snapshot, now)):
        kind = each.queue, each.criticality
        if not each.observed and (kind in present or each.reason is Reason.PINNED):
            rates[kind] = min(rates.get(kind, 1.0), each.rate / ONE)
    return rates


def _by_job(engine: Engine, queues: Collection[str], snapshot: Snapshot, now: int) -> Iterator[Throttle]:
    for job in _told_apart(engine, queues, snapshot):
        try:
            yield from throttles_of(snapshot, [job], now)
        except Exception:  # noqa: BLE001, S112  # its trigger is broken; the engine reports it, and puts it aside
            continue


def _told_apart(engine: Engine, queues: Collection[str], snapshot: Snapshot) -> Iterator[Job]:
    """The jobs whose rates are their own, up to the bound."""
    known = snapshot.controllers.queues
    unserved = [
        queue
        for queue in queues
        if queue in known and known[queue].unserved and (queue, Criticality.CRITICAL) in engine.kinds
    ]
    if not unserved:
        return
    left = dict.fromkeys(unserved, MOST_ASKED // len(unserved))
    for job in map(engine.job, engine.names):
        if job.queue in left and hangs_on_nominal(job, snapshot):
            yield job
            left[job.queue] -= 1
            if not left[job.queue]:
                del left[job.queue]
            if not left:
                return


def _owed(debt: Mapping[tuple[str, Criticality], int]) -> dict[tuple[str, Criticality], int]:
    return {kind: debt[kind] for kind in sorted(debt)[: MOST_QUEUES * len(Criticality)]}
