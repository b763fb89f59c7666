"""Tables on the terminal, and on pipes, which have no width."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pgbench.cli.streams import spelt


class _Spelling(Console):
    """A console on which columns are as wide as what is written in them."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(spelt(text, self.encoding), **options)


NARROWEST = 80
"""Columns below which a table would show no words: a narrower terminal wraps its lines."""


def console() -> Console:
    """A console; a pipe has no width, and tables there should not be cut at 80 columns."""
    found = _Spelling(highlight=False, markup=False)
    width = max(found.width, NARROWEST) if found.is_terminal else 200
    return _Spelling(highlight=False, markup=False, width=width)


def titled(title: str, *columns: str, lines: bool = False) -> Table:
    """A table whose columns fold what is too long."""
    table = Table(title=title, title_justify="left", show_lines=lines)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
