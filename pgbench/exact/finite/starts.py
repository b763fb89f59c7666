"""Means of table estimators on finite problems from each start."""

from dataclasses import replace

import numpy as np

from pgbench.exact.expectation import expectation
from pgbench.exact.finite.values import FiniteTruth
from pgbench.exact.starts import StartMeans, start_means
from pgbench.exact.table_moments import SUMS_LIMIT, Size, require_fitting
from pgbench.process.tables import Tables


@start_means.register
def finite_start_means(truth: FiniteTruth, tables: Tables, horizon: int | None) -> StartMeans:
    """The expectation on copies of the process that begin in one state."""
    process = tables.process
    starts = np.flatnonzero(process.mdp.mu0)
    numbers = starts.size * max(process.mdp.numbers, truth.gradient.size)
    # Sums over a long horizon settle; a hundred terms each way is what they mostly take.
    needed = Size(8.0 * starts.size * truth.gradient.size, 200.0 * numbers)
    require_fitting(needed, SUMS_LIMIT)

    def begun(state: int) -> Tables:
        return replace(tables, process=replace(process, mdp=process.mdp.starting(state)))

    means = [expectation(truth, begun(int(state)), horizon) for state in starts]
    return StartMeans(process.mdp.mu0[starts], np.stack(means))
