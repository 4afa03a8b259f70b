"""A share of the fires as a person types it and reads it. Within, it is in millionths."""

import re
from decimal import Decimal

import typer

from packages.scheduling.control.shares import ONE, in_three_figures

_RATE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,8})?|\.[0-9]{1,8})\s*(%?)")


def rate_of(text: str) -> int:
    """The millionths of a text such as `0.25` or `25%`.

    Raises:
        typer.BadParameter: it is none, or is not from 0 to 1, or is finer than millionths.
    """
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no rate; write it like 0.25 or 25%")
    rate = Decimal(found[1]) * (ONE // 100 if found[2] else ONE)
    if rate > ONE:
        meant = f"; for {found[1]} of a hundred write {found[1]}%" if not found[2] and rate <= 100 * ONE else ""
        raise typer.BadParameter(f"{text!r} is not from 0 to 1, nor from 0% to 100%{meant}")
    if rate != int(rate):
        raise typer.BadParameter(f"{text!r} is finer than a millionth")
    return int(rate)


def rate_in_words(rate: int) -> str:
    """Millionths in per cent, in three figures, as in the facts of a decision: `25%`, `78.4%`, `0.0001%`."""
    rate = in_three_figures(rate)
    return f"{rate // 10_000}{f'.{rate % 10_000:04}'.rstrip('0').rstrip('.')}%"
