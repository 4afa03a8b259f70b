"""`minsy control`: the operator's hand above the gates and the adaptive control. Beat hears of it within a second.

One group rather than commands beside `pause`: what it changes is seldom touched, and belongs together.
"""

from enum import StrEnum
from typing import Annotated

import typer

from apps.cli.control import present, use_control
from apps.cli.control_words import (
    AUTO,
    control_as_json,
    exemption_as_json,
    pin_as_json,
    pinned_in_words,
    print_control,
    print_exemptions,
    print_pins,
)
from apps.cli.gate_words import find_gate
from apps.cli.job_names import JobArgument, find_job
from apps.cli.lasting import For, Until, end_in_words, end_of
from apps.cli.output import AsJson, print_json
from apps.cli.pinned_jobs import held_by, why_none_in_words
from apps.cli.queue_names import find_queue
from apps.cli.rates import rate_in_words, rate_of
from apps.cli.taking_back import Kind, take_back
from packages.infra.control.request_ids import new_request_id
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode
from packages.scheduling.requests import ResetRequest
from packages.scheduling.snapshot import Exemption, Pin

app = typer.Typer(no_args_is_help=True, help="Overrule the gates and the adaptive control: modes, rates, exempt jobs.")


class Word(StrEnum):
    """What an operator may say of a gate."""

    OFF = GateMode.OFF.value
    OBSERVE = GateMode.OBSERVE.value
    ENFORCE = GateMode.ENFORCE.value
    AUTO = AUTO


_SAID = {
    Word.OFF: "is off for every job",
    Word.OBSERVE: "observes for every job: what it would hold back is recorded, and goes out",
    Word.ENFORCE: "enforces for every job",
    Word.AUTO: "goes by the settings and each job's policies",
}

_PINS = Kind("pin", "pinned", "unpinned", "unpinned", lambda said: said.pins, pin_as_json, print_pins)
_EXEMPTIONS = Kind(
    "exemption",
    "exempt",
    "no more exempt",
    "taken_back",
    lambda said: said.exemptions,
    exemption_as_json,
    print_exemptions,
)

Rate = Annotated[int, typer.Argument(metavar="RATE", parser=rate_of, help="0 to 1, or 0% to 100%.")]
Queue = Annotated[str, typer.Option("--queue", help="The queue.")]
OfCriticality = Annotated[
    Criticality | None,
    typer.Option("--criticality", help="Its fires of this criticality; unless given all but critical_plus."),
]
Note = Annotated[str, typer.Option("--note", help="Why; it is shown here, and with the decisions that hang on it.")]


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """Show every gate with the word on it, the pinned rates, and the exempt jobs.

    What the control does by itself: `minsy status`. Why a job runs or does not: `minsy explain JOB`.
    """
    with use_control() as store:
        control = store.read(present())
    if as_json:
        print_json(control_as_json(control))
    else:
        print_control(control)


@app.command()
def gate(
    name: Annotated[str, typer.Argument(metavar="GATE", help="A gate, by its name in `minsy control list`.")],
    word: Annotated[Word, typer.Argument(metavar="WORD", help="off, observe, enforce or auto.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Say what a gate may do, for every job, above settings and policies.

    off: it holds nothing back, and nothing is recorded of it.

    observe: it decides, and what it would have held back is recorded, and goes out.

    enforce: it holds back, also for jobs whose policies or settings have it off or observing.

    auto: the word is taken back; settings and policies decide again.
    """
    find_gate(name)
    mode = None if word is Word.AUTO else GateMode(word.value)
    with use_control() as store:
        # Read first: what stands in the way of writing is put aside by it.
        store.read(present())
        store.set_gate_mode(name, mode)
    if as_json:
        print_json({"gate": name, "word": mode})
    else:
        typer.echo(f"the gate {name} {_SAID[word]}")


@app.command()
def pin(  # noqa: PLR0913  # the options of one command
    rate: Rate,
    *,
    queue: Queue,
    criticality: OfCriticality = None,
    length: For = None,
    until: Until = None,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Let this share of a queue's fires out in turn, whatever the adaptive control thinks.

    1 is all of them: nothing is throttled then, not even by an objective that burns. At 0 none is in turn, but critical
    work goes out all the same when it has waited as long as it may; to stop it use `minsy pause`.

    Without --criticality it holds all work but critical_plus, which must be named. A pin of one criticality goes before
    that of the whole queue, and an exemption before any pin: no pin holds an exempt job. The answer says so if there is
    no job that the pin would hold.

    Pins have a gate of their own, `pin`, which no setting turns off; `minsy control gate pin observe` suspends them
    all. Pinning the same again replaces the earlier pin.
    """
    now = present()
    asked = Pin(
        queue=find_queue(queue),
        criticality=criticality,
        rate=rate,
        since=now,
        until=end_of("a pin", now, length, until),
        note=note,
    )
    with use_control() as store:
        store.read(now)
        store.pin(asked)
    held = held_by(asked)
    if as_json:
        print_json({**pin_as_json(asked), "holds": held})
    else:
        typer.echo(
            f"pinned at {rate_in_words(rate)} until {end_in_words(asked.until, 'unpinned')}: "
            f"{pinned_in_words(queue, criticality)}"
        )
        if not held:
            typer.echo(why_none_in_words(asked))


@app.command()
def unpin(*, queue: Queue, criticality: OfCriticality = None, as_json: AsJson = False) -> None:
    """Take a pin back, named as it was made, and say what is still pinned."""
    find_queue(queue)
    take_back(
        _PINS,
        pinned_in_words(queue, criticality),
        lambda pinned: (pinned.queue, pinned.criticality) == (queue, criticality),
        lambda store: store.unpin(queue, criticality),
        as_json=as_json,
    )


@app.command()
def exempt(
    job: JobArgument, *, length: For = None, until: Until = None, note: Note = "", as_json: AsJson = False
) -> None:
    """Leave a job alone: neither a pin nor the adaptive control holds a fire of it back.

    Pauses, trading hours, windows and runs that are not over hold it as before.
    """
    now = present()
    asked = Exemption(job=find_job(job).name, since=now, until=end_of("an exemption", now, length, until), note=note)
    with use_control() as store:
        store.read(now)
        store.exempt(asked)
    if as_json:
        print_json(exemption_as_json(asked))
    else:
        typer.echo(f"exempt until {end_in_words(asked.until, 'taken back')}: job {asked.job}")


@app.command()
def unexempt(job: JobArgument, *, as_json: AsJson = False) -> None:
    """Take an exemption back, and say which jobs are still exempt."""
    name = find_job(job).name
    take_back(
        _EXEMPTIONS,
        f"job {name}",
        lambda exemption: exemption.job == name,
        lambda store: store.unexempt(name),
        as_json=as_json,
    )


@app.command()
def reset(
    *,
    queue: Annotated[
        str | None, typer.Option("--queue", help="The rates of this queue; everything unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have the adaptive control forget what it has learnt and begin anew: nothing is throttled then.

    Where the cause is still there, it throttles again. Words on gates, pins and exemptions stay.
    """
    now = present()
    asked = ResetRequest(id=new_request_id(now), requested_at=now, queue=None if queue is None else find_queue(queue))
    with use_control() as store:
        store.read(now)
        store.request(asked)
    if as_json:
        print_json({"request": asked.id, "queue": asked.queue})
    else:
        what = "everything" if queue is None else f"queue {queue}"
        typer.echo(f"asked for the control of {what} to begin anew (request {asked.id}); beat does it when it wakes")
