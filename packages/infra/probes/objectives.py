"""What the workers' counters say of the objectives: how many events there were in each window, and how many were bad.

    measure       an event                                   bad
    success       a run that ended                           one that failed
    start_delay   a run that began, a message that expired   one that began too late; each message that expired
    run_time      a run that ended                           one that took too long

A message that expired has begun too late, and no run of it has failed: it does not count for success. One that was
revoked cannot be told from it. A delay is known of beat's own messages only, and of their first try.

A fire that was deliberately not published is in no count: shedding makes nothing late and nothing fail, or the control
would punish itself. What suffers is freshness, which is no measure here: `minsy status` tells the debt. Nor is what
waits still in any count: a queue that stands is the matter of the backlog gate.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from packages.infra.queue.work_counts import WorkCount
from packages.scheduling.control.burn import WINDOWS_MS
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.readings import ObjectiveReading, WindowCount


def objective_readings(
    objectives: Iterable[Objective], counts_of: Callable[[int], Sequence[WorkCount] | None]
) -> Mapping[str, ObjectiveReading]:
    """What is known of each objective that is not external, by its name.

    `counts_of` tells what ended in the last so many milliseconds, and is asked once for each window. None is not known:
    that window is left out, and an objective of which no window is known, too.
    """
    counted = [objective for objective in objectives if objective.measure is not Measure.EXTERNAL]
    if not counted:
        return {}
    counts = [(window_ms, work) for window_ms in WINDOWS_MS if (work := counts_of(window_ms)) is not None]
    if not counts:
        return {}
    return {
        objective.name: tuple(_window_count(objective, window_ms, work) for window_ms, work in counts)
        for objective in counted
    }


def _window_count(objective: Objective, window_ms: int, counts: Iterable[WorkCount]) -> WindowCount:
    bad = total = 0
    for work in counts:
        if objective.task in {None, work.task} and objective.queue in {None, work.queue}:
            of_work = _events(objective, work)
            bad, total = bad + of_work[0], total + of_work[1]
    return WindowCount(window_ms, bad, total)


def _events(objective: Objective, work: WorkCount) -> tuple[int, int]:
    """The bad ones, and all of them."""
    if objective.within_ms is None:
        return work.failed, work.ok + work.failed
    never_begun = work.expired if objective.measure is Measure.START_DELAY else 0
    times = work.wait if objective.measure is Measure.START_DELAY else work.run
    late = sum(runs for bound_ms, runs in times.items() if bound_ms > objective.within_ms)
    return late + never_begun, sum(times.values()) + never_begun
