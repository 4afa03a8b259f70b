"""`minsy pause`, `resume` and `pauses`: what beat is to leave out for a while. It hears of it within a second."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from apps.cli.control import pause_as_json, pause_in_words, present, use_control
from apps.cli.job_names import find_job
from apps.cli.moments import duration, instant_in_words, moment_of
from apps.cli.output import AsJson, print_json, print_table
from packages.catalogue.queues import QUEUES
from packages.scheduling.instants import LAST_INSTANT, to_ms
from packages.scheduling.model import Criticality
from packages.scheduling.snapshot import Pause, PauseScope

Job = Annotated[str | None, typer.Argument(metavar="JOB", help="One job, by its name or the part behind the dot.")]
Queue = Annotated[str | None, typer.Option("--queue", help="Every job of this queue.")]
OfCriticality = Annotated[Criticality | None, typer.Option("--criticality", help="Every job of this criticality.")]


def pause(  # noqa: PLR0913  # the options of one command
    job: Job = None,
    *,
    queue: Queue = None,
    criticality: OfCriticality = None,
    everything: Annotated[bool, typer.Option("--all", help="Every job.")] = False,
    length: Annotated[
        timedelta | None, typer.Option("--for", metavar="DURATION", parser=duration, help="So long, such as 2h.")
    ] = None,
    until: Annotated[
        int | None, typer.Option("--until", metavar="TIME", parser=moment_of, help="Until this instant.")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Why; it is shown and recorded with every fire left out.")] = "",
    as_json: AsJson = False,
) -> None:
    """Leave out every fire of a job, a queue, a criticality or all, until resumed or the given end.

    Runs that are under way go on. It holds across restarts; pausing the same again replaces the earlier pause.
    """
    scope, target = _selected(job, queue, criticality, everything=everything)
    if length is not None and until is not None:
        raise typer.BadParameter("give --for or --until, not both")
    now = present()
    end = until if length is None else now + to_ms(length)
    if end is not None and not now < end <= LAST_INSTANT:
        raise typer.BadParameter(f"a pause cannot end at {instant_in_words(end)}: it is {instant_in_words(now)}")
    asked = Pause(scope=scope, target=target, since=now, until=end, note=note)
    with use_control() as store:
        # Read first: what stands in the way of writing is put aside by it.
        store.read(now)
        store.pause(asked)
    if as_json:
        print_json(pause_as_json(asked))
    else:
        until_when = "resumed" if end is None else instant_in_words(end)
        typer.echo(f"paused until {until_when}: {pause_in_words(scope, target)}")


def resume(
    job: Job = None,
    *,
    queue: Queue = None,
    criticality: OfCriticality = None,
    everything: Annotated[bool, typer.Option("--all", help="End the pause that was made with --all.")] = False,
    as_json: AsJson = False,
) -> None:
    """End a pause, named as it was made, and say what is still paused."""
    scope, target = _selected(job, queue, criticality, everything=everything)
    with use_control() as store:
        before = store.read(present()).pauses
        store.resume(scope, target)
        left = store.read(present()).pauses
    was_paused = any((paused.scope, paused.target) == (scope, target) for paused in before)
    if as_json:
        print_json({"resumed": was_paused, "still_paused": [pause_as_json(paused) for paused in left]})
        return
    what = pause_in_words(scope, target)
    typer.echo(f"resumed: {what}" if was_paused else f"there was no pause of: {what}")
    if left:
        typer.echo("still paused:")
        print_pauses(left)


def pauses(*, as_json: AsJson = False) -> None:
    """Show what is paused, since when, until when, and why."""
    with use_control() as store:
        held = store.read(present()).pauses
    if as_json:
        print_json([pause_as_json(paused) for paused in held])
    elif held:
        print_pauses(held)
    else:
        typer.echo("Nothing is paused.")


def print_pauses(held: Sequence[Pause]) -> None:
    """A line for each pause."""
    print_table(
        ["paused", "since", "until", "note"],
        (
            [
                pause_in_words(paused.scope, paused.target),
                instant_in_words(paused.since),
                "resumed" if paused.until is None else instant_in_words(paused.until),
                paused.note,
            ]
            for paused in held
        ),
        shortened="note",
    )


def _selected(
    job: str | None, queue: str | None, criticality: Criticality | None, *, everything: bool
) -> tuple[PauseScope, str]:
    given = [job is not None, queue is not None, criticality is not None, everything]
    if sum(given) != 1:
        raise typer.BadParameter("name one of: a job, --queue, --criticality, --all")
    if job is not None:
        return PauseScope.JOB, find_job(job).name
    if queue is not None:
        known = [definition.name for definition in QUEUES]
        if queue not in known:
            raise typer.BadParameter(f"there is no queue {queue!r}. The queues are: {', '.join(known)}")
        return PauseScope.QUEUE, queue
    if criticality is not None:
        return PauseScope.CRITICALITY, criticality.value
    return PauseScope.ALL, ""
