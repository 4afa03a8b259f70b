"""Taking back what an operator has said, named as it was said: whether it held, and what is left of its kind."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import typer

from apps.cli.control import present, use_control
from apps.cli.output import print_json
from packages.infra.control.control import Control, ControlStore

T = TypeVar("T")


class Kind(NamedTuple, Generic[T]):
    """A kind of word: its `noun`; what it makes something (`held`), and when it is taken back (`ended`).

    `key`: what JSON calls it that there was one.
    """

    noun: str
    held: str
    ended: str
    key: str
    of: Callable[[Control], Sequence[T]]
    as_json: Callable[[T], dict[str, Any]]
    show: Callable[[Sequence[T]], None]


def take_back(
    kind: Kind[T], what: str, is_it: Callable[[T], bool], take: Callable[[ControlStore], bool], *, as_json: bool
) -> None:
    """Have `take` take it back, and tell. `what`: the one that is meant, in words."""
    with use_control() as store:
        # One that has ended may be there still: it is taken away, and held nothing.
        before = kind.of(store.read(present()))
        take(store)
        left = kind.of(store.read(present()))
    was_held = any(map(is_it, before))
    if as_json:
        print_json({kind.key: was_held, f"still_{kind.held}": [kind.as_json(each) for each in left]})
        return
    typer.echo(f"{kind.ended}: {what}" if was_held else f"there was no {kind.noun} of: {what}")
    if left:
        typer.echo(f"still {kind.held}:")
        kind.show(left)
