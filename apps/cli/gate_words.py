"""The gates as an operator knows them: their names, and what each holds back."""

from collections.abc import Mapping
from typing import Final

import typer

from packages.scheduling.decide import GATES
from packages.scheduling.gates import backlog, failing_target, overlap, pause, pin, slo, trading_hours, windows

HOLDS_BACK: Final[Mapping[str, str]] = {
    pause.NAME: "what is paused",
    pin.NAME: "what is out of turn by a pinned rate",
    trading_hours.NAME: "jobs of a market while it is closed",
    windows.NAME: "jobs outside their windows of time",
    overlap.NAME: "jobs of which an earlier run is not over",
    failing_target.NAME: "jobs whose task fails nearly always",
    backlog.NAME: "jobs of a queue that does not drain",
    slo.NAME: "sheddable jobs while an objective burns",
}


def gate_names() -> tuple[str, ...]:
    """The names of all gates, in the order in which their reasons are given."""
    return tuple(gate.NAME for gate in GATES)


def find_gate(given: str) -> str:
    """The gate that a person named.

    Raises:
        typer.BadParameter: there is none of this name.
    """
    if given not in gate_names():
        raise typer.BadParameter(f"there is no gate {given!r}. The gates are: {', '.join(gate_names())}")
    return given
