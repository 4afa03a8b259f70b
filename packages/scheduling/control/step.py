"""One control interval of all controllers: from what was known and what the probes say now, what is to hold next."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from packages.scheduling.control.backlog import step_queues
from packages.scheduling.control.burn import step_levels
from packages.scheduling.control.controllers import Controllers, LevelControl, QueueControl, TargetControl
from packages.scheduling.control.failing import step_targets
from packages.scheduling.control.groups import Present
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.gates import backlog, failing_target, slo
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.throttle import is_pinned

# A task, and the queue and criticality of jobs that run it.
TaskKind = tuple[str, str, Criticality]


class Step(Protocol):
    """How the controllers of one interval follow from those of the last one. Pure.

    Of the tasks it is told only those that `of_held_tasks` leaves.
    """

    def __call__(
        self, controllers: Controllers, snapshot: Snapshot, policy: ControlPolicy, present: Present, now: int
    ) -> Controllers:
        """`present`: which criticalities have jobs, by queue."""
        ...


def step(
    controllers: Controllers, snapshot: Snapshot, policy: ControlPolicy, present: Present, now: int
) -> Controllers:
    """The controllers of the interval that begins at `now`. For a gate that is off all is forgotten.

    But of the queues it is told also then how long messages wait.
    """
    modes = modes_of(policy, snapshot.gate_modes)
    levels: Mapping[str, LevelControl] = {}
    if modes[slo.NAME] is not GateMode.OFF:
        levels = step_levels(controllers.levels, snapshot.objectives, policy.slo, now, stale_ms=policy.stale_ms)
    targets: Mapping[str, TargetControl] = {}
    if modes[failing_target.NAME] is not GateMode.OFF:
        targets = step_targets(
            controllers.targets,
            snapshot.tasks,
            policy.target,
            now,
            stale_ms=policy.stale_ms,
            is_obeyed=modes[failing_target.NAME] is GateMode.ENFORCE,
        )
    queues = step_queues(
        controllers.queues,
        snapshot.queues,
        policy.backlog,
        _left_to_find(present, snapshot, now),
        now,
        stale_ms=policy.stale_ms,
        is_obeyed=modes[backlog.NAME] is GateMode.ENFORCE,
    )
    if modes[backlog.NAME] is GateMode.OFF:
        # Nothing answers to a rate that does not hold: it would be cut to nothing, and hold at once when it may again.
        queues = {name: QueueControl(each.wait_ms, each.basis, each.messages) for name, each in queues.items()}
    is_observed = modes[backlog.NAME] is GateMode.OBSERVE and any(each.rates for each in queues.values())
    after = controllers._replace(stepped_at=now, queues=queues, levels=levels, targets=targets, observed=is_observed)
    # What was taken up counts as long as it is throttled.
    kept = {kind: count for kind, count in controllers.coalesced.items() if _is_throttled(after, *kind)}
    return after._replace(coalesced=kept)


def _left_to_find(present: Present, snapshot: Snapshot, now: int) -> Present:
    """The criticalities whose rates the control finds: not those that an operator has pinned.

    What a queue does then says nothing about what was found for them, and nobody makes room by what does not hold.
    """
    if not snapshot.pins:
        return present
    return {
        queue: [each for each in criticalities if not is_pinned(queue, each, snapshot, now)]
        for queue, criticalities in present.items()
    }


def of_held_tasks(
    controllers: Controllers, snapshot: Snapshot, kinds: Iterable[TaskKind], now: int
) -> tuple[Controllers, Snapshot]:
    """Both without the tasks whose rate would hold no fire, and so would be that of nothing.

    `kinds`: those of which there are jobs that are not exempt. A task that also has jobs that are left alone keeps its
    rate for the others, and runs of all of them tell how it fares.
    """
    if not (controllers.targets or snapshot.tasks):
        return controllers, snapshot
    held = {
        task
        for task, queue, criticality in kinds
        if failing_target.may_hold(criticality) and not is_pinned(queue, criticality, snapshot, now)
    }
    targets = {task: target for task, target in controllers.targets.items() if task in held}
    tasks = {task: reading for task, reading in snapshot.tasks.items() if task in held}
    return controllers._replace(targets=targets), snapshot._replace(tasks=tasks)


def _is_throttled(controllers: Controllers, queue: str, criticality: Criticality) -> bool:
    """Whether fires of this kind may be passed over. Of tasks that fail nobody knows here to which queues they go."""
    control = controllers.queues.get(queue)
    if control is not None and (control.unserved or criticality in control.rates):
        return True
    if controllers.targets and failing_target.may_hold(criticality):
        return True
    return any(slo.rate_of(level, queue, criticality) < ONE for level in controllers.levels.values())


def as_held(controllers: Controllers, modes: Mapping[str, GateMode]) -> Controllers:
    """The same, but without rates that nothing has answered to, where they are to hold now.

    Levels, failing tasks and queues that nobody serves are found in what has happened, whoever holds anything back.
    """
    if not controllers.observed or modes[backlog.NAME] is not GateMode.ENFORCE:
        return controllers
    queues = {
        name: each._replace(rates={}, fits={}, calm_since=None, since=each.since if each.unserved else None)
        for name, each in controllers.queues.items()
    }
    return controllers._replace(queues=queues, observed=False)


def modes_of(policy: ControlPolicy, said: Mapping[str, GateMode]) -> dict[str, GateMode]:
    """What the objections of the control's gates do, by gate: the policy's own, under what an operator has `said`."""
    own = {
        backlog.NAME: policy.backlog.mode,
        slo.NAME: policy.slo.mode,
        failing_target.NAME: policy.target.mode,
    }
    return {gate: said.get(gate, mode) for gate, mode in own.items()}


def is_due(controllers: Controllers, policy: ControlPolicy, now: int) -> bool:
    """Whether `now` is in another interval than the last step; a clock that is set back leads to another one, too."""
    return controllers.stepped_at is None or policy.interval_end(controllers.stepped_at) != policy.interval_end(now)


def without_queue(controllers: Controllers, queue: str) -> Controllers:
    """The same with nothing known of one queue."""
    return controllers._replace(
        queues={name: each for name, each in controllers.queues.items() if name != queue},
        coalesced={key: count for key, count in controllers.coalesced.items() if key[0] != queue},
    )
