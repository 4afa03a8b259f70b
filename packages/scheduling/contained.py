"""A tick's plan without the jobs that raise: one broken policy must not stop the others. Decides nothing itself."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from packages.scheduling.candidate import Candidate
from packages.scheduling.plan import TickPlan, plan_tick
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.state import JobState


class Contained(NamedTuple):
    """What `plan_tick` gives of the sound jobs, and what each of the others has raised."""

    plan: TickPlan
    states: dict[str, JobState]
    broken: Mapping[str, Exception]


def plan_contained(states: Mapping[str, JobState], snapshot: Snapshot, candidates: Sequence[Candidate]) -> Contained:
    """`plan_tick`; where that raises, of those candidates whose job does not. The states are of all jobs."""
    try:
        return Contained(*plan_tick(states, snapshot, candidates), {})
    except Exception:  # noqa: BLE001  # the loop boundary; who it was is found out one by one
        broken: dict[str, Exception] = {}
        by_job: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            by_job.setdefault(candidate.job.name, []).append(candidate)
        for name, own in by_job.items():
            try:
                plan_tick(states, snapshot, own)
            except Exception as error:  # noqa: BLE001  # as above
                broken[name] = error
        sound = [candidate for name, own in by_job.items() if name not in broken for candidate in own]
        return Contained(*plan_tick(states, snapshot, sound), broken)
