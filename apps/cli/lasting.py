"""The options of what an operator says for a while: until when it holds, and why. And how its end is told."""

from datetime import timedelta
from typing import Annotated

import typer

from apps.cli.moments import duration, instant_in_words, moment_of
from packages.scheduling.instants import LAST_INSTANT, to_ms

For = Annotated[
    timedelta | None, typer.Option("--for", metavar="DURATION", parser=duration, help="So long, such as 2h.")
]
Until = Annotated[int | None, typer.Option("--until", metavar="TIME", parser=moment_of, help="Until this instant.")]


def end_of(what: str, now: int, length: timedelta | None, until: int | None) -> int | None:
    """The instant at which `what` ends, out of its two options; None: when it is taken back.

    Raises:
        typer.BadParameter: both are given, or the instant is not ahead.
    """
    if length is not None and until is not None:
        raise typer.BadParameter("give --for or --until, not both")
    end = until if length is None else now + to_ms(length)
    if end is not None and not now < end <= LAST_INSTANT:
        raise typer.BadParameter(f"{what} cannot end at {instant_in_words(end)}: it is {instant_in_words(now)}")
    return end


def end_in_words(end: int | None, otherwise: str) -> str:
    """An end for a person; `otherwise` for what ends when that is done."""
    return otherwise if end is None else instant_in_words(end)
