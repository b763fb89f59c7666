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

from pgbench.kernels.jit import kernel, parallel_kernel, part
from pgbench.kernels.partition import spans
from pgbench.kernels.prefetch import prefetch
from pgbench.kernels.reals import lane, load, load_eight, store, zeros

N_SCALARS = 6
N_DIRECTIONS = 8

_AHEAD = 8
"""Rows ahead of the one that is added, which are asked for."""

_NEAR = 2**14
"""Parameters that stay in the nearer caches: to ask for them early gains nothing."""

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
    and (E,); along (≥ d, 8): directions.
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


N_FIELDS = 6
"""What is kept of a row side by side: scale, share, g, E ĝ, Σ (ĝ - E ĝ) and Σ (ĝ - E ĝ)²."""


def make_rows(sums: RunningSums, target: Target, scale, share):
    """All that a visit to a row reads and changes in one place, (E, n, 6, k) float64.

    scale, share (n, k), with d = n·k. Deviations and squares go on from those of ``sums``.
    """
    E, (n, k) = sums.deviations.shape[0], scale.shape
    rows = np.empty((E, n, N_FIELDS, k))
    fields = scale, share, target.truth, target.expected, sums.deviations, sums.squares
    for field, values in enumerate(fields):
        rows[:, :, field] = values.reshape(-1, n, k)
    return rows


def collect(rows, sums: RunningSums) -> None:
    """Write deviations and squares of rows to ``sums``."""
    sums.deviations[:] = rows[:, :, 4].reshape(sums.deviations.shape)
    sums.squares[:] = rows[:, :, 5].reshape(sums.squares.shape)


def add_rows(sums, target, rows, visited, n_visited, weights, steps, first, offset) -> None:
    """Add replicates ``first``, ``first + 1``, ... from their weight rows.

    rows (E, n, 6, k) as ``make_rows`` makes them, which take the place of the sums by row; visited
    (m, rows) int32, n_visited, steps (m,) int64, weights (m, E, rows, k) float64 as
    ``finite.weigh`` makes them. Row ``visited - offset`` is the policy's own, and what lies outside
    [0, n) adds nothing. Estimators run in parallel where that pays, replicates one after the other,
    so the sums depend neither on threads nor on how calls are cut.
    """
    _count_visits(sums.visits, *rows.shape[1::2], visited, n_visited, offset)
    arrays = sums, target, rows, visited, n_visited, weights, steps, first, offset
    _add_span(spans(weights.shape[1], worth=weights.size > WORTH_THREADS), *arrays)


@parallel_kernel
def _add_span(sums, target, rows, visited, n_visited, weights, steps, first, offset, begin, end):
    for e in range(begin, end):
        _add(
            sums, target, rows, visited, n_visited, weights, steps, first, offset, e
        )  # fmt: skip


@kernel
def _count_visits(visits, n, k, visited, n_visited, offset):
    for i in range(n_visited.size):
        for j in range(n_visited[i]):
            s = visited[i, j] - offset
            if 0 <= s < n:
                for a in range(k):
                    visits[s * k + a] += 1


@part
def _add(sums, target, rows, visited, n_visited, weights, steps, first, offset, e):
    """``add_rows`` for estimator e."""
    n_blocks, replicates = sums.blocks.shape[1], sums.scalars.shape[1]
    _, n, _, k = rows.shape
    _, n_estimators, n_rows, _ = weights.shape
    flat, own, along = weights.reshape(-1), rows[e].reshape(-1), target.along.reshape(-1)
    width = uint64(k)
    share, truth, expected = width, uint64(2) * width, uint64(3) * width
    deviations, squares = uint64(4) * width, uint64(5) * width
    whole_truth, whole_expected = target.truth_squared, target.expected_squared[e]
    far = n * k > _NEAR
    nothing = zeros(load(own, uint64(0), uint64(0)))
    nowhere = zeros(load_eight(along, uint64(0)))
    for i in range(n_visited.size):
        r = first + i
        block = sums.blocks[e, r * n_blocks // replicates]
        error = spread = product = norm = seen_truth = seen_expected = nothing
        projection = nowhere
        n_own = 0
        for j in range(n_visited[i]):
            s = visited[i, j] - offset
            if not 0 <= s < n:
                continue
            n_own += 1
            if far and j + _AHEAD < n_visited[i]:
                later = min(max(visited[i, j + _AHEAD] - offset, 0), n - 1)
                _ask_for(own, block, along, uint64(later * k))
            at, begin = uint64(((i * n_estimators + e) * n_rows + j) * k), uint64(s * N_FIELDS * k)
            scaled = load(own, begin, width) * load(flat, at, width)
            total = _fold(scaled)
            for a in range(4, k, 4):
                c, m = uint64(a), uint64(k - a)
                total += _fold(load(own, begin + c, m) * load(flat, at + c, m))
            for a in range(0, k, 4):
                c, m = uint64(a), uint64(k - a)
                of, p = begin + c, uint64(s * k + a)
                if a > 0:
                    scaled = load(own, of, m) * load(flat, at + c, m)
                value = scaled - load(own, of + share, m) * total
                g, mean = load(own, of + truth, m), load(own, of + expected, m)
                deviation, miss = value - mean, value - g
                square = deviation * deviation
                store(own, of + deviations, m, load(own, of + deviations, m) + deviation)
                store(own, of + squares, m, load(own, of + squares, m) + square)
                store(block, p, m, load(block, p, m) + value)
                error += miss * miss
                spread += square
                product += value * g
                norm += value * value
                seen_truth += g * g
                seen_expected += mean * mean
                projection = _project(projection, along, p, value)
        _note(
            sums, e, r, n_own < n, _fold(error), _fold(spread), _fold(product), _fold(norm),
            max(whole_truth - _fold(seen_truth), 0.0),
            max(whole_expected - _fold(seen_expected), 0.0), whole_truth, steps[i],
        )  # fmt: skip
        for q in range(N_DIRECTIONS):
            sums.projections[e, r, q] = lane(projection, uint64(q))


@part
def _ask_for(own, block, along, p):
    """Start to load what belongs to the four parameters from p on."""
    prefetch(block, p)
    for line in range(3):
        prefetch(own, p * uint64(N_FIELDS) + uint64(8 * line))
    for line in range(2):
        prefetch(along, p * uint64(N_DIRECTIONS) + uint64(16 * line))


@part
def _fold(vector):
    """The sum of four lanes, the first two first."""
    return (
        lane(vector, uint64(0)) + lane(vector, uint64(1))
        + lane(vector, uint64(2)) + lane(vector, uint64(3))
    )  # fmt: skip


@part
def _project(projection, along, p, value):
    """Add four values, of parameters from p on, times what directions have there."""
    for a in range(4):
        at = (p + uint64(a)) * uint64(N_DIRECTIONS)
        projection += load_eight(along, at) * lane(value, uint64(a))
    return projection


@part
def _note(
    sums, e, r, partly, error, spread, product, norm, unseen_truth, unseen_expected, whole_truth,
    steps,
):  # fmt: skip
    """Write the numbers of replicate r, of which rows that it did not visit are missing."""
    scalars = sums.scalars[e, r]
    scalars[0] = error + unseen_truth if partly else error
    scalars[1] = spread + unseen_expected if partly else spread
    if norm > 0.0 and whole_truth > 0.0:
        scalars[2] = product / (np.sqrt(norm) * np.sqrt(whole_truth))
    scalars[3] = product > 0.0
    scalars[4] = steps
    scalars[5] = product
