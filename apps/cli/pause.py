"""`minsy pause`, `resume` and `pauses`: what beat is to leave out for a while. It hears of it within a second."""

from collections.abc import Sequence
from typing import Annotated

import typer

from apps.cli.control import pause_as_json, pause_in_words, present, use_control
from apps.cli.job_names import find_job
from apps.cli.lasting import For, Until, end_in_words, end_of
from apps.cli.moments import instant_in_words
from apps.cli.output import AsJson, print_json, print_table
from apps.cli.queue_names import find_queue
from apps.cli.taking_back import Kind, take_back
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
    length: For = None,
    until: Until = None,
    note: Annotated[str, typer.Option("--note", help="Why; it is shown and recorded with every fire left out.")] = "",
    as_json: AsJson = False,
) -> None:
    """Leave out every fire of a job, a queue, a criticality or all, until resumed or the given end.

    Runs that are under way go on. It holds across restarts; pausing the same again replaces the earlier pause.
    """
    scope, target = _selected(job, queue, criticality, everything=everything)
    now = present()
    end = end_of("a pause", now, length, until)
    asked = Pause(scope=scope, target=target, since=now, until=end, note=note)
    with use_control() as store:
        # Read first: what stands in the way of writing is put aside by it.
        store.read(now)
        store.pause(asked)
    if as_json:
        print_json(pause_as_json(asked))
    else:
        typer.echo(f"paused until {end_in_words(end, 'resumed')}: {pause_in_words(scope, target)}")


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
    take_back(
        Kind("pause", "paused", "resumed", "resumed", lambda said: said.pauses, pause_as_json, print_pauses),
        pause_in_words(scope, target),
        lambda paused: (paused.scope, paused.target) == (scope, target),
        lambda store: store.resume(scope, target),
        as_json=as_json,
    )


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
                end_in_words(paused.until, "resumed"),
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
        return PauseScope.QUEUE, find_queue(queue)
    if criticality is not None:
        return PauseScope.CRITICALITY, criticality.value
    return PauseScope.ALL, ""
