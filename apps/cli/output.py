"""How commands print data: a table for people, JSON with `--json`. Colours on a terminal only; rich sees to that."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# Wide enough for any line of ours, so that off a terminal none is broken.
_UNBOUNDED_COLUMNS = 4096
# On a terminal that is narrower than this a command leaves out what matters less.
WIDE_COLUMNS = 120
_GAP = "  "
_LEAST_SHORTENED = 8
_STYLES: Mapping[str, str] = {
    **dict.fromkeys(("running", "answers", "done", "SUCCESS", "approved", "filled", "succeeded"), "green"),
    **dict.fromkeys(("stopped", "never", "off", "expired", "cancelled"), "dim"),
    **dict.fromkeys(("dead", "FAILURE", "failed", "rejected"), "red"),
    **dict.fromkeys(("pending", "queued", "RETRY"), "yellow"),
}


def print_json(data: Any) -> None:  # noqa: ANN401  # whatever JSON can say
    """Print `data` as indented JSON: instants as RFC 3339, what JSON does not know as its text."""
    sys.stdout.write(json.dumps(data, indent=2, default=_plain) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, shortened: str | None = None) -> None:
    """Print rows under `columns`. Off a terminal the lines are as wide as they need to be, for `grep` and `cut`.

    On a terminal cells that do not fit go on below; only those of the column `shortened` end with an ellipsis instead,
    and as long as there is room that column alone gives way.
    """
    console = _console()
    cells = [[_cell(cell) for cell in row] for row in rows]
    kept = [position for position, column in enumerate(columns) if column != shortened]
    widths = [max([cell_len(columns[at]), *(row[at].cell_len for row in cells)]) for at in kept]
    # Too narrow even so: then all of them go on below, rather than any being cut.
    has_room = sum(widths) + len(_GAP) * len(kept) + _LEAST_SHORTENED <= console.width
    table = Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0))
    table.header_style = "bold"
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=shortened is not None and has_room and column != shortened)
    for row in cells:
        for at in set(range(len(columns))) - set(kept):
            row[at].no_wrap, row[at].overflow = True, "ellipsis"
        table.add_row(*row)
    console.print(table)


def coloured(state: str) -> Text:
    """A state for a table, in the colour that it has on a terminal."""
    return Text(state, _STYLES.get(state, ""))


def is_terminal() -> bool:
    """Whether standard output is a terminal, with a person before it."""
    return _console().is_terminal


def is_wide() -> bool:
    """Whether there is room for every column: off a terminal always."""
    return _console().width >= WIDE_COLUMNS


def _console() -> Console:
    console = Console(soft_wrap=not sys.stdout.isatty())
    if not console.is_terminal:
        console.width = _UNBOUNDED_COLUMNS
    return console


def _cell(cell: object) -> Text:
    # As Text, so that brackets in a value are not taken for markup.
    return cell if isinstance(cell, Text) else Text("" if cell is None else str(cell))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
