"""Tables of results for the screen."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scdual.cli._terminal import visible

_LONGEST = 500


def show_rows(title: str, rows: Mapping[str, Any]) -> None:
    """Print a table of names and values; very long values are cut."""
    table = Table(title=_plain(title), title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
        table.add_row(_plain(name), _plain(text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."))
    Console().print(table)


def _plain(text: str) -> str:
    return escape(visible(text))
