"""How commands take the name of a job: whole, or the part behind the dot where that says which one."""

from typing import Annotated

import typer

from packages.catalogue.jobs import JOBS, JobDefinition

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="A job by its name, or the part behind the dot.")]


def find_job(given: str) -> JobDefinition:
    """The job of the catalogue that a person named.

    Raises:
        typer.BadParameter: there is none, or there are several.
    """
    matches = [job for job in JOBS if given in {job.name, job.name.partition(".")[2]}]
    if len(matches) != 1:
        listed = "\n  ".join(job.name for job in JOBS)
        raise typer.BadParameter(f"there is no job {given!r}. The jobs are:\n  {listed}")
    return matches[0]
