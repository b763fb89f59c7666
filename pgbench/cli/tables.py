"""Tables of numbers: as wide as a terminal, and as CSV, JSON, Markdown or LaTeX."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table as RichTable

from pgbench.cli.terminal import console

Row = Mapping[str, Any]
"""Labels, numbers and words of a row by name."""


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes
    ----------
    title
        What it is called where people read it.
    names
        The numbers of a row that it shows, in files a column each; the first is the one shown.
    text
        How a row's numbers are written where people read them; by default the first, three digits.
    rank
        Columns of a high rank give way first where there is no room.
    """

    title: str
    names: tuple[str, ...]
    rank: int
    text: Callable[[Row], str] | None = None

    def of(self, row: Row) -> str:
        """What stands in the row."""
        return self.text(row) if self.text else number(float(row[self.names[0]]))


@dataclass(frozen=True)
class Table:
    """Rows below each other, those of a setting together.

    Attributes
    ----------
    title
        What holds for all of it.
    setting, labels
        Names in rows: what rows that belong together share, and what tells those apart.
    columns
        In the order in which they stand.
    more
        Names in rows that files have besides: what else is known of what the labels stand for.
    """

    title: str
    setting: tuple[str, ...]
    labels: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: Sequence[Row]
    more: tuple[str, ...] = ()

    @property
    def groups(self) -> dict[str, list[Row]]:
        """The rows of every setting by its name."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(" × ".join(str(row[name]) for name in self.setting), []).append(row)
        return found


def number(value: float, digits: int = 3) -> str:
    """A number in few characters; an em dash for NaN."""
    return "—" if math.isnan(value) else f"{value:.{digits}g}"


def rounded(name: str, digits: int = 2) -> Callable[[Row], str]:
    """Writes a number with so many digits."""
    return lambda row: number(float(row[name]), digits)


def p_value(name: str) -> Callable[[Row], str]:
    """Writes a p-value; far tails are not told apart, for no test is exact there."""

    def text(row: Row) -> str:
        return "<1e-16" if float(row[name]) < 1e-16 else number(float(row[name]), 2)

    return text


def with_interval(name: str, digits: int = 2) -> Callable[[Row], str]:
    """Writes a value with the ends of its interval behind it, where there is one.

    What lies outside, such as a norm that is negative once noise is taken off, is the nearer end.
    """

    def text(row: Row) -> str:
        low, high = (float(row[f"{name}_{end}"]) for end in ("low", "high"))
        if math.isnan(low):
            return number(float(row[name]), digits)
        value = min(max(float(row[name]), low), high)
        return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"

    return text


def with_error(name: str) -> Callable[[Row], str]:
    """Writes a value with its standard error behind it."""
    return lambda row: f"{number(float(row[name]))} ± {number(float(row[f'{name}_se']), 2)}"


LEAST_LABEL = 12
"""Characters that labels are not folded below."""


def print_table(table: Table) -> None:
    """Print a table on the terminal, without the columns that it has no room for.

    Numbers are never cut: labels are folded, and what is left out is named.
    """
    out = console()
    out.print(table.title)
    if not table.rows:
        out.print("nothing was measured")
        return
    widths = {column: _width(column, table.rows) for column in table.columns}
    shown = _fitting(table, widths, out.width)
    alike = [name for name in table.labels[1:] if len({str(row[name]) for row in table.rows}) == 1]
    for name in alike:
        out.print(f"{_spaced(name)}: {table.rows[0][name]}")
    labels = [name for name in table.labels if name not in alike]
    for setting, rows in table.groups.items():
        out.print(f"\n{setting}")
        printed = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for name in labels:
            printed.add_column(_spaced(name), overflow="fold", min_width=LEAST_LABEL)
        for column in shown:
            least = widths[column]
            printed.add_column(column.title, justify="right", no_wrap=True, min_width=least)
        for row in rows:
            cells = (column.of(row) for column in shown)
            printed.add_row(*(str(row[name]) for name in labels), *cells)
        out.print(printed)
    left_out = [column.title for column in table.columns if column not in shown]
    if left_out:
        out.print(f"\nno room for: {', '.join(left_out)}; a wider terminal or --format shows them")


def _fitting(table: Table, widths: Mapping[Column, int], room: int) -> list[Column]:
    """The columns that there is room for beside labels, those of least rank first."""
    longest = (max(len(str(row[name])) for row in table.rows) for name in table.labels)
    least = sum(min(length, 2 * LEAST_LABEL) for length in longest)
    gaps = 2 * (len(table.labels) - 1)
    taken, shown = least + gaps, []
    for column in sorted(table.columns, key=lambda own: own.rank):
        taken += widths[column] + 2
        if taken > room:
            break
        shown.append(column)
    return [column for column in table.columns if column in shown]


def _width(column: Column, rows: Sequence[Row]) -> int:
    """Characters that a column takes."""
    return max(len(column.title), *(len(column.of(row)) for row in rows))


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def as_csv(table: Table) -> str:
    """The rows with all digits, a header, and a column per number."""
    names = _names(table)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in table.rows:
        values = (row[name] for name in names)
        writer.writerow("" if _unknown(value) else value for value in values)
    return text.getvalue()


def as_json(table: Table) -> str:
    """A list of objects, a row each; null for what is not known."""
    names = _names(table)
    rows = [
        {name: None if _unknown(row[name]) else row[name] for name in names} for row in table.rows
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def as_markdown(table: Table) -> str:
    """A Markdown table as people read it."""
    titles = [*map(_spaced, (*table.setting, *table.labels)), *(c.title for c in table.columns)]
    n_labels = len(table.setting) + len(table.labels)
    lines = [titles, ["---"] * n_labels + ["--:"] * len(table.columns)]
    lines += [[cell.replace("|", "\\|") for cell in cells] for cells in _cells(table)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def as_latex(table: Table) -> str:
    """A LaTeX tabular as people read it; needs the package booktabs."""
    titles = [*map(_spaced, (*table.setting, *table.labels)), *(c.title for c in table.columns)]
    n_labels = len(table.setting) + len(table.labels)
    lines = [rf"\begin{{tabular}}{{{'l' * n_labels}{'r' * len(table.columns)}}}", r"\toprule"]
    lines += [_latex_row(titles), r"\midrule", *map(_latex_row, _cells(table))]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


WRITERS: Mapping[str, Callable[[Table], str]] = {
    "csv": as_csv,
    "json": as_json,
    "latex": as_latex,
    "markdown": as_markdown,
}
"""What a table is written as, by name."""


def show(table: Table, form: str | None) -> None:
    """Print a table, in one of the formats or for the terminal."""
    if form is None:
        print_table(table)
    else:
        print(WRITERS[form](table), end="")


def _names(table: Table) -> list[str]:
    numbers = (name for column in table.columns for name in column.names)
    return [*table.setting, *table.labels, *table.more, *numbers]


def _cells(table: Table) -> Iterator[list[str]]:
    """The cells of every row as people read them."""
    labels = (*table.setting, *table.labels)
    for row in table.rows:
        yield [*(str(row[name]) for name in labels), *(column.of(row) for column in table.columns)]


def _unknown(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "‖": r"$\|$",
    "∇": r"$\nabla$",
    "²": r"$^2$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "—": "---",
    "θ": r"$\theta$",
    "γ": r"$\gamma$",
    "λ": r"$\lambda$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "*": r"$^*$",
}
"""How characters are written in LaTeX."""

_POWER = re.compile(r"(-?\d+(?:\.\d+)?)e([-+]\d+)")


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex, cells)) + r" \\"


def _latex(cell: str) -> str:
    """Text as LaTeX; 1e-05 is a power of ten."""
    parts = _POWER.split(cell)
    written = []
    for place in range(0, len(parts), 3):
        written.append("".join(LATEX.get(character, character) for character in parts[place]))
        if place + 1 < len(parts):
            written.append(rf"${parts[place + 1]} \cdot 10^{{{int(parts[place + 2])}}}$")
    return "".join(written).replace("$$", "")
