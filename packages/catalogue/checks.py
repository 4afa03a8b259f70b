"""What must hold of the catalogue before anything starts; a broken one is a programming error, named exactly."""

from collections import Counter
from collections.abc import Sequence

from packages.catalogue.jobs import JOBS, JobDefinition
from packages.catalogue.queues import QUEUES
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.policies import PolicyOverrides


class CatalogueError(ValueError):
    """The catalogue contradicts itself. The text has a line for every contradiction."""


def check_catalogue(jobs: Sequence[JobDefinition] = JOBS) -> None:
    """Check names, queues, flags, and that each job has its field of policies and each such field its job.

    Raises:
        CatalogueError: a name is given twice or has no area, a queue is unknown, a flag is no boolean setting,
            or policies and jobs do not belong together.
    """
    queues = {queue.name for queue in QUEUES}
    problems = [
        f"job {name}: the name is given {n} times" for name, n in Counter(job.name for job in jobs).items() if n > 1
    ]
    for job in jobs:
        if "." not in job.name:
            problems.append(f"job {job.name}: a name is area.task")
        if job.queue not in queues:
            problems.append(f"job {job.name}: unknown queue {job.queue!r}; there are {', '.join(sorted(queues))}")
        field = BeatSettings.model_fields.get(job.flag)
        if field is None or field.annotation is not bool:
            problems.append(f"job {job.name}: its flag {job.flag!r} is no boolean field of BeatSettings")
    overridable = {name for name, info in BeatSettings.model_fields.items() if info.annotation is PolicyOverrides}
    fields = Counter(job.policy_field for job in {job.name: job for job in jobs}.values())
    problems += [
        f"job {job.name}: BeatSettings has no field {job.policy_field!r} for its policies"
        for job in jobs
        if job.policy_field not in overridable
    ]
    problems += [f"field {name} of BeatSettings: there is no such job" for name in sorted(overridable - set(fields))]
    problems += [f"field {name} of BeatSettings: {n} jobs share it" for name, n in fields.items() if n > 1]
    if problems:
        raise CatalogueError("\n".join(problems))
