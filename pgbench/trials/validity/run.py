"""All cases, repeated in several processes."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from pgbench.kernels.blas import single_threaded_blas
from pgbench.trials.validity.cells import StudyCell
from pgbench.trials.validity.page import LEGEND, cells_table, rate_row, rates_table, row
from pgbench.trials.validity.repeat import rates, repeat
from pgbench.trials.validity.true_values import study


def cell_rows(cell: StudyCell, replicates: Sequence[int], repetitions: int) -> dict[int, list[str]]:
    """Lines of the table of cells by number of replicates, a line per estimator."""
    begin = time.perf_counter()
    with single_threaded_blas():
        known = study(cell)
        rows = {R: [row(own) for own in repeat(known, R, repetitions)] for R in replicates}
    _say(cell, begin)
    return rows


def fit_rows(cell: StudyCell, replicates: Sequence[int], repetitions: int) -> dict[int, list[str]]:
    """Lines of the table of rates, by number of replicates."""
    begin = time.perf_counter()
    with single_threaded_blas():
        rows = {
            R: [rate_row(label, R, share) for label, share in rates(cell, R, repetitions)]
            for R in replicates
        }
    _say(cell, begin)
    return rows


def _say(cell: StudyCell, begin: float) -> None:
    seconds = time.perf_counter() - begin
    print(f"{cell.setting}, n = {cell.batch_size}: {seconds:.0f} s", file=sys.stderr, flush=True)


class Part(NamedTuple):
    """Repetitions of a case, as somebody else can make them."""

    rows: Callable[[StudyCell, Sequence[int], int], dict[int, list[str]]]
    cell: StudyCell
    replicates: Sequence[int]
    repetitions: int

    def __str__(self) -> str:
        return f"{self.cell.setting}, n = {self.cell.batch_size}"


def rows_of(part: Part) -> dict[int, list[str]]:
    """Lines of the tables by number of replicates."""
    return part.rows(part.cell, part.replicates, part.repetitions)


def tables(
    groups: Mapping[str, Sequence[StudyCell]],
    fits: Sequence[StudyCell],
    replicates: Sequence[int],
    repetitions: int,
    mapping: Callable[..., Iterable[Any]] = map,
) -> str:
    """The whole page; ``mapping`` makes the cases, the rates, which take longest, first."""
    given = tuple(replicates), repetitions
    parts = [Part(fit_rows, cell, *given) for cell in fits]
    parts += [Part(cell_rows, cell, *given) for cells in groups.values() for cell in cells]
    found = iter(list(mapping(rows_of, parts)))
    fitted = list(islice(found, len(fits)))
    lines = {title: list(islice(found, len(cells))) for title, cells in groups.items()}
    page = [LEGEND]
    for R in replicates:
        page.append(f"## R = {R}, {repetitions} repetitions")
        for title, cells in lines.items():
            page.append(cells_table(title, [line for cell in cells for line in cell[R]]))
    page.append(rates_table([line for R in replicates for fit in fitted for line in fit[R]]))
    return "\n\n".join(page)
