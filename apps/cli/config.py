"""`minsy config`: every effective value of a service, and the layer that gave it."""

from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from apps.cli.beat_settings import beat_settings
from apps.cli.output import AsJson, print_json, print_table
from packages.shared_settings.effective import EffectiveValue, effective_values


class Service(StrEnum):
    """The services that have settings."""

    BEAT = "beat"
    WORKER_CPU = "worker_cpu"
    WORKER_IO = "worker_io"


def config(
    *,
    service: Annotated[Service, typer.Option(help="Whose settings.")] = Service.BEAT,
    allowed: Annotated[bool, typer.Option("--allowed", help="Show what each variable may be, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print every setting of a service: its value, and where it came from. Secrets are masked.

    Settings of beat that contradict each other are shown, and then said; the exit code is 2.
    """
    values = effective_values(service)
    if as_json:
        print_json([asdict(value) for value in values])
    else:
        _print(values, allowed=allowed)
    if service is Service.BEAT:
        beat_settings()


def _print(values: Sequence[EffectiveValue], *, allowed: bool) -> None:
    columns = ["variable", "value", "source", *(["allowed"] if allowed else [])]
    rows = (
        [v.variable, v.value if v.value is not None else "(not set)", v.source, *([v.allowed] if allowed else [])]
        for v in values
    )
    print_table(columns, rows)
