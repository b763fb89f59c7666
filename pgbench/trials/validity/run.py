"""All cases, repeated in several processes."""

import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future

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


def tables(
    groups: Mapping[str, Sequence[StudyCell]],
    fits: Sequence[StudyCell],
    replicates: Sequence[int],
    repetitions: int,
    executor: Executor,
) -> str:
    """The whole page; cases are handed to the executor, the rates, which take longest, first."""
    given = tuple(replicates), repetitions
    fitted = [executor.submit(fit_rows, cell, *given) for cell in fits]
    found: dict[str, list[Future[dict[int, list[str]]]]] = {
        title: [executor.submit(cell_rows, cell, *given) for cell in cells]
        for title, cells in groups.items()
    }
    parts = [LEGEND]
    for R in replicates:
        parts.append(f"## R = {R}, {repetitions} repetitions")
        for title, cells in found.items():
            parts.append(cells_table(title, [line for cell in cells for line in cell.result()[R]]))
    parts.append(
        rates_table([line for R in replicates for fit in fitted for line in fit.result()[R]])
    )
    return "\n\n".join(parts)
