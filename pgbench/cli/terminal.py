"""Tables on the terminal, and on pipes, which have no width."""

import math

from rich.console import Console
from rich.table import Table


def console() -> Console:
    """A console; a pipe has no width, and tables there should not be cut at 80 columns."""
    found = Console(highlight=False, markup=False)
    return found if found.is_terminal else Console(highlight=False, markup=False, width=200)


def titled(title: str, *columns: str, lines: bool = False) -> Table:
    """A table whose columns fold what is too long."""
    table = Table(title=title, title_justify="left", show_lines=lines)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def number(value: float, digits: int = 3) -> str:
    """A number in few characters; an em dash for NaN."""
    return "—" if math.isnan(value) else f"{value:.{digits}g}"
