"""What a run of each job takes, for `minsy plan`: as somebody says, else as was measured, else a second."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final

import typer

from apps.cli.preview_jobs import Selected, chosen
from packages.scheduling.instants import SECOND_MS

DEFAULT_MS: Final = SECOND_MS
_LONGEST_S: Final = 86_400
_PER_MILLE: Final = 1000


@dataclass(frozen=True)
class Measured:
    """What was measured of a job: how long a run takes in ms, and how that is known."""

    run_ms: float
    known_from: str


@dataclass(frozen=True)
class Work:
    """What a run of a job is taken for: `run_ms`, how that is known, and the share of its fires that is published.

    `published` is in thousandths of what a preview publishes; None: all of it.
    """

    run_ms: int
    known_from: str
    published: int | None = None

    @property
    def weighed_ms(self) -> int:
        """The work of one previewed fire, at least a millisecond if any is published at all."""
        if self.published is None:
            return self.run_ms
        return -(-self.run_ms * self.published // _PER_MILLE)


def given_seconds(assignments: Iterable[str], selected: Selected) -> dict[str, float]:
    """`JOB=30` texts as seconds by job name; a job may be named as for a preview, and the last one counts.

    Raises:
        typer.BadParameter: one has another form, names no job, or gives no number above 0 up to a day.
    """
    seconds: dict[str, float] = {}
    for assignment in assignments:
        pattern, sign, text = assignment.partition("=")
        if not sign:
            raise typer.BadParameter(f"--seconds {assignment}: write it like JOB=30")
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not (isfinite(value) and 0 < value <= _LONGEST_S):
            raise typer.BadParameter(f"--seconds {assignment}: a run takes above 0 and at most {_LONGEST_S} seconds")
        seconds |= {job.name: value for job in chosen(selected, names=[pattern], queues=()).jobs}
    return seconds


def work_of(
    selected: Selected, *, given: Mapping[str, float], measured: Mapping[str, Measured], published: Mapping[str, int]
) -> dict[str, Work]:
    """By job name. What was published counts for all jobs that it is known of."""
    work: dict[str, Work] = {}
    for job in selected.jobs:
        if job.name in given:
            run_ms, known_from = given[job.name] * SECOND_MS, "given"
        elif (found := measured.get(job.name)) is not None:
            run_ms, known_from = found.run_ms, found.known_from
        else:
            run_ms, known_from = DEFAULT_MS, "default"
        work[job.name] = Work(max(1, round(run_ms)), known_from, published.get(job.name))
    return work
