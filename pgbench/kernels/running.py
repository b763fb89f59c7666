"""From weights to gradients to running sums, one replicate after the other, in a fixed order.

A gradient is made row by row: of the weights w (A,) of a row, and the ``scale`` and ``share`` of a
policy whose parameters belong to states,

    h = scale ⊙ w,   ĝ = h - share Σ_a h_a .

Rows that a replicate did not visit are zero and are never touched, so the time goes with what was
visited and not with the size of the problem. Sums are taken of ĝ less its exact mean: whatever the
number of replicates, no digits are lost.
"""

from typing import NamedTuple

import numpy as np
from numba import uint64

from pgbench.kernels.jit import kernel, parallel_kernel
from pgbench.kernels.partition import spans

N_SCALARS = 6
N_DIRECTIONS = 8

WORTH_THREADS = 2**16
"""Below so many weights, threads cost more than they gain."""


class RunningSums(NamedTuple):
    """Sums over R replicates of E estimators' gradients (d,), in K contiguous blocks.

    Attributes
    ----------
    deviations, squares
        (E, d) float64, Σ (ĝ_r - E ĝ) and Σ (ĝ_r - E ĝ)², over the replicates that visited the row.
    visits
        (d,) int64, how many did.
    blocks
        (E, K, d) float64, Σ_{r∈b} ĝ_r.
    scalars
        (E, R, 6) float64, per replicate ‖ĝ_r - g‖², ‖ĝ_r - E ĝ‖², cos(ĝ_r, g), 1[ĝ_r·g > 0],
        environment steps, and ĝ_r·g.
    projections
        (E, R, 8) float64, of ĝ_r on given directions.
    """

    deviations: np.ndarray
    squares: np.ndarray
    visits: np.ndarray
    blocks: np.ndarray
    scalars: np.ndarray
    projections: np.ndarray


class Target(NamedTuple):
    """What gradients are compared with.

    truth (d,), expected (E, d) float64: g and the exact means E ĝ; their squared norms, a number
    and (E,); along (d, 8): directions.
    """

    truth: np.ndarray
    expected: np.ndarray
    truth_squared: float
    expected_squared: np.ndarray
    along: np.ndarray


def empty_sums(target: Target, replicates: int, n_blocks: int) -> RunningSums:
    """Sums over no replicates."""
    E, d = target.expected.shape
    return RunningSums(
        deviations=np.zeros((E, d)),
        squares=np.zeros((E, d)),
        visits=np.zeros(d, np.int64),
        blocks=np.zeros((E, n_blocks, d)),
        scalars=np.zeros((E, replicates, N_SCALARS)),
        projections=np.zeros((E, replicates, N_DIRECTIONS)),
    )


def mean_and_squares(sums: RunningSums, target: Target, e: int):
    """Mean and Σ (ĝ_r - mean)² of estimator e, each (d,)."""
    R = sums.scalars.shape[1]
    c, unvisited = target.expected[e], R - sums.visits
    shift = (sums.deviations[e] - unvisited * c) / R
    squares = sums.squares[e] + unvisited * c**2 - R * shift**2
    return c + shift, np.maximum(squares, 0.0)


def add_rows(sums, target, scale, share, visited, n_visited, weights, steps, first, offset) -> None:
    """Add replicates ``first``, ``first + 1``, ... from their weight rows.

    scale, share (n, k), with d = n·k; visited (m, rows) int32, n_visited, steps (m,) int64, weights
    (m, E, rows, k) float64 as ``finite.weigh`` makes them. Row ``visited - offset`` is the
    policy's own, and what lies outside [0, n) adds nothing. Estimators run in parallel where that
    pays, replicates one after the other, so the sums depend neither on threads nor on how calls are
    cut.
    """
    _count_visits(sums.visits, scale, visited, n_visited, offset)
    arrays = sums, target, scale, share, visited, n_visited, weights, steps, first, offset
    _add_span(spans(weights.shape[1], worth=weights.size > WORTH_THREADS), *arrays)


@parallel_kernel
def _add_span(
    sums, target, scale, share, visited, n_visited, weights, steps, first, offset, begin, end,
):  # fmt: skip
    for e in range(begin, end):
        _add(
            sums, target, scale, share, visited, n_visited, weights, steps, first, offset, e
        )  # fmt: skip


@kernel
def _count_visits(visits, scale, visited, n_visited, offset):
    n, k = scale.shape
    for i in range(n_visited.size):
        for j in range(n_visited[i]):
            s = visited[i, j] - offset
            if 0 <= s < n:
                for a in range(k):
                    visits[s * k + a] += 1


@kernel
def _add(sums, target, scale, share, visited, n_visited, weights, steps, first, offset, e):
    """``add_rows`` for estimator e."""
    n_blocks, replicates = sums.blocks.shape[1], sums.scalars.shape[1]
    n, k = scale.shape
    truth, along, expected = target.truth, target.along, target.expected[e]
    deviations, squares = sums.deviations[e], sums.squares[e]
    whole_truth, whole_expected = target.truth_squared, target.expected_squared[e]
    for i in range(n_visited.size):
        r = first + i
        block = sums.blocks[e, r * n_blocks // replicates]
        error = spread = product = norm = seen_truth = seen_expected = 0.0
        projection = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        n_own = 0
        for j in range(n_visited[i]):
            s = visited[i, j] - offset
            if not 0 <= s < n:
                continue
            n_own += 1
            row = weights[i, e, j]
            total = 0.0
            for a in range(k):
                total += scale[s, a] * row[a]
            for a in range(k):
                at = uint64(s * k + a)
                value = scale[s, a] * row[a] - share[s, a] * total
                g, c = truth[at], expected[at]
                deviation = value - c
                deviations[at] += deviation
                squares[at] += deviation * deviation
                block[at] += value
                error += (value - g) ** 2
                spread += deviation * deviation
                product += value * g
                norm += value * value
                seen_truth += g * g
                seen_expected += c * c
                projection = _add_multiple(projection, value, along[at])
        if n_own < n:
            error += max(whole_truth - seen_truth, 0.0)
            spread += max(whole_expected - seen_expected, 0.0)
        scalars = sums.scalars[e, r]
        scalars[0] = error
        scalars[1] = spread
        if norm > 0.0 and whole_truth > 0.0:
            scalars[2] = product / (np.sqrt(norm) * np.sqrt(whole_truth))
        scalars[3] = product > 0.0
        scalars[4] = steps[i]
        scalars[5] = product
        for q in range(N_DIRECTIONS):
            sums.projections[e, r, q] = projection[q]


@kernel
def _add_multiple(x, value, y):
    """x + value·y for eight numbers that stay in registers."""
    return (
        x[0] + value * y[0], x[1] + value * y[1], x[2] + value * y[2], x[3] + value * y[3],
        x[4] + value * y[4], x[5] + value * y[5], x[6] + value * y[6], x[7] + value * y[7],
    )  # fmt: skip
