"""What an operator has said above the adaptive control and the gates, for a person and as JSON."""

from collections.abc import Sequence
from typing import Any

import typer

from apps.cli.gate_words import HOLDS_BACK, gate_names
from apps.cli.lasting import end_in_words
from apps.cli.moments import instant_in_words
from apps.cli.output import print_table
from apps.cli.rates import rate_in_words
from packages.infra.control.control import Control
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.control.shares import ONE
from packages.scheduling.instants import to_datetime
from packages.scheduling.model import Criticality
from packages.scheduling.requests import ResetRequest
from packages.scheduling.snapshot import Exemption, Pin

AUTO = "auto"


def pinned_in_words(queue: str, criticality: Criticality | None) -> str:
    """What a pin holds: `queue maintenance`, or `queue maintenance, sheddable`."""
    return f"queue {queue}" if criticality is None else f"queue {queue}, {criticality.value}"


def control_as_json(control: Control) -> dict[str, Any]:
    """Gates by name with the word on each, null for none; pins, exemptions, and resets that beat has not heard of."""
    return {
        "gates": {gate: control.gate_modes.get(gate) for gate in _gates(control)},
        "pins": [pin_as_json(pin) for pin in control.pins],
        "exemptions": [exemption_as_json(exemption) for exemption in control.exemptions],
        "resets_waiting": [{"request": reset.id, "queue": reset.queue} for reset in _resets(control)],
    }


def pin_as_json(pin: Pin) -> dict[str, Any]:
    """A pin with its rate from 0 to 1, and its instants as RFC 3339."""
    return {**pin._asdict(), "rate": pin.rate / ONE, "since": _instant(pin.since), "until": _instant(pin.until)}


def exemption_as_json(exemption: Exemption) -> dict[str, Any]:
    """An exemption with its instants as RFC 3339."""
    return {**exemption._asdict(), "since": _instant(exemption.since), "until": _instant(exemption.until)}


def print_control(control: Control) -> None:
    """All of it: every gate; pins and exemptions where there are any."""
    rows = (
        [gate, control.gate_modes.get(gate, AUTO), HOLDS_BACK.get(gate, "not known to this version")]
        for gate in _gates(control)
    )
    print_table(["gate", "word", "holds back"], rows)
    typer.echo()
    if control.pins:
        print_pins(control.pins)
    else:
        typer.echo("No rate is pinned.")
    typer.echo()
    if control.exemptions:
        print_exemptions(control.exemptions)
    else:
        typer.echo("No job is exempt.")
    for reset in _resets(control):
        typer.echo(f"\nA reset of {_reset_in_words(reset.queue)} waits for beat (request {reset.id}).")


def print_pins(pins: Sequence[Pin]) -> None:
    """A line for each pin."""
    print_table(
        ["pinned", "rate", "since", "until", "note"],
        (
            [pinned_in_words(pin.queue, pin.criticality), rate_in_words(pin.rate), *_span(pin, "unpinned"), pin.note]
            for pin in pins
        ),
        shortened="note",
    )


def print_exemptions(exemptions: Sequence[Exemption]) -> None:
    """A line for each exemption."""
    print_table(
        ["exempt", "since", "until", "note"],
        ([f"job {each.job}", *_span(each, "taken back"), each.note] for each in exemptions),
        shortened="note",
    )


def _gates(control: Control) -> tuple[str, ...]:
    """All gates there are, and those of which another version has spoken."""
    known = gate_names()
    return (*known, *sorted(control.gate_modes.keys() - set(known)))


def _resets(control: Control) -> list[ResetRequest]:
    return [request for request in control.requests if isinstance(request, ResetRequest)]


def _reset_in_words(queue: str | None) -> str:
    return "everything" if queue is None else f"queue {queue}"


def _span(said: Pin | Exemption, otherwise: str) -> tuple[str, str]:
    return instant_in_words(said.since), end_in_words(said.until, otherwise)


def _instant(instant: int | None) -> str | None:
    return None if instant is None else rfc3339(to_datetime(instant))
