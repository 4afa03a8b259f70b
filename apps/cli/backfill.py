"""`minsy backfill JOB`: the nominals of a past range once more, published by the running beat at a pace of its own."""

from datetime import timedelta
from typing import Annotated

import typer

from apps.cli.beat_settings import beat_settings
from apps.cli.control import present, use_control, warn_if_off
from apps.cli.errors import CommandError
from apps.cli.job_names import JobArgument, find_job
from apps.cli.moments import duration, duration_in_words, instant_in_words, moment_of
from apps.cli.output import AsJson, print_json
from packages.infra.control.request_ids import new_request_id
from packages.scheduling.instants import to_ms
from packages.scheduling.requests import BackfillRequest
from packages.scheduling.triggers.base import Trigger

MOST_FIRES = 100_000
PACE = timedelta(seconds=30)


def backfill(  # noqa: PLR0913  # the options of one command
    job: JobArgument,
    *,
    start: Annotated[int, typer.Option("--from", metavar="TIME", parser=moment_of, help="The start, inclusive.")],
    end: Annotated[int, typer.Option("--to", metavar="TIME", parser=moment_of, help="The end, exclusive; past.")],
    pace: Annotated[
        timedelta | None,
        typer.Option("--every", metavar="DURATION", parser=duration, help="One fire so often; 30s unless given."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have beat publish again what a job's schedule named in a past range, one fire after the other. Asks first.

    While the job is throttled it goes on at that share of the pace, or waits. A fire whose turn comes while the job is
    paused is recorded as skipped, and one outside its windows or during an earlier run waits or is skipped, as the
    schedule's own fires are.
    """
    definition = find_job(job)
    every = PACE if pace is None else pace
    now = present()
    if start >= end:
        raise typer.BadParameter("the range is empty: --from is not before --to")
    if end > now:
        raise typer.BadParameter(f"--to is in the future: it is {instant_in_words(now)}")
    fires = _count(definition.job(beat_settings()).trigger, start, end)
    if fires == 0:
        raise CommandError(f"the schedule of {definition.name} names no instant in that range")
    if fires > MOST_FIRES:
        raise CommandError(f"that is more than {MOST_FIRES} fires of {definition.name}; choose a shorter range")
    warn_if_off(definition)
    takes = duration_in_words((fires - 1) * every)
    if not yes:
        typer.confirm(f"Publish {fires} fires of {definition.name} over {takes}?", abort=True, err=True)
    asked = BackfillRequest(
        id=new_request_id(now),
        job=definition.name,
        start=start,
        end=end - 1,
        every_ms=to_ms(every),
        requested_at=now,
    )
    with use_control() as store:
        store.read(now)
        store.request(asked)
    if as_json:
        print_json(
            {"request": asked.id, "job": asked.job, "fires": fires, "seconds": (fires - 1) * asked.every_ms / 1000}
        )
    else:
        typer.echo(
            f"asked for {fires} fires of {asked.job} over {takes} (request {asked.id}); beat begins when it wakes, "
            "and takes longer while the job is throttled"
        )


def _count(trigger: Trigger, start: int, end: int) -> int:
    """How many nominals there are in [start, end); counting ends where there are too many."""
    count = 0
    for nominals in trigger.between(start - 1, end - 1):
        count += len(nominals)
        if count > MOST_FIRES:
            break
    return count
