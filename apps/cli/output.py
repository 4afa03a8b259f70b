"""How commands print data: a table for people, JSON with `--json`. Colours on a terminal only; rich sees to that."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(data: Any) -> None:  # noqa: ANN401  # whatever JSON can say
    """Print `data` as indented JSON; what JSON does not know is printed as its text."""
    sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print rows under `columns`. Not on a terminal the lines are as wide as they need to be, for `grep` and `cut`."""
    console = Console(soft_wrap=not sys.stdout.isatty())
    if not console.is_terminal:
        console.width = 4096
    table = Table(
        title=title, title_justify="left", box=None if not console.is_terminal else Table().box, pad_edge=False
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # As Text, so that brackets in a value are not taken for markup.
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console.print(table)
