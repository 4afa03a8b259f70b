"""What must hold of the catalogue before anything starts; a broken one is a programming error, named exactly."""

from collections import Counter
from collections.abc import Sequence

from packages.catalogue.jobs import JOBS, JobDefinition
from packages.catalogue.queues import QUEUES
from packages.shared_settings.beat import BeatSettings


class CatalogueError(ValueError):
    """The catalogue contradicts itself. The text has a line for every contradiction."""


def check_catalogue(jobs: Sequence[JobDefinition] = JOBS) -> None:
    """Check names, queues and flags.

    Raises:
        CatalogueError: a name is given twice or has no area, a queue is unknown, or a flag is no boolean setting.
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
    if problems:
        raise CatalogueError("\n".join(problems))
