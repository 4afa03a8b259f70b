"""How commands take the name of a queue."""

import typer

from packages.catalogue.queues import QUEUES


def find_queue(given: str) -> str:
    """The queue that a person named.

    Raises:
        typer.BadParameter: there is none of this name.
    """
    known = [definition.name for definition in QUEUES]
    if given not in known:
        raise typer.BadParameter(f"there is no queue {given!r}. The queues are: {', '.join(known)}")
    return given
