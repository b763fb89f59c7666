"""Running sums on a GPU: what ``kernels.running`` makes, in two kernels.

    add         a thread per replicate, estimator and row       sums by parameter
    compare     … replicate and estimator                       numbers by replicate

Many threads add to one number at once, and the order is anyone's guess. So numbers are not added
as floating point but as integers, exactly, which does not depend on the order: a number is cut at
multiples of 2⁴⁰, 1, 2⁻⁴⁰ and 2⁻⁸⁰ units into four pieces, each added to a 64-bit integer of its
own. (Kulisch & Miranker 1986; on GPUs: Collange, Defour, Graillat & Iakymchuk 2015)
"""

import math

import numpy as np
from numba import cuda, int64

from pgbench.kernels.cuda.jit import device_function, kernel
from pgbench.kernels.cuda.launch import empty, launch, upload, zeros
from pgbench.kernels.running import N_DIRECTIONS, N_SCALARS, RunningSums, Target

PIECES = 4
DIGITS = 40
"""Bits of a piece."""

MOST = 2**22
"""So many replicates fit: pieces are below 2⁴⁰ and sums below 2⁶³."""

_AGREEMENT = 1e-9
"""Two ways to add the same squares differ by no more than that, or digits were lost."""

_UNIT = 2.0**DIGITS
_LARGEST = 2.0 ** (2 * DIGITS - 1)


@device_function
def _deposit(sums, e, kind, at, value, overflow):
    """Add a value to ``sums[e, kind, at]``, or say that it is too large."""
    if not abs(value) < _LARGEST:
        overflow[e] = 1
        return
    rest = value / _UNIT
    for k in range(PIECES):
        piece = int64(rest)
        if piece != 0:
            cuda.atomic.add(sums, (e, kind, at, k), piece)
        rest = (rest - piece) * _UNIT


@device_function
def _total(scale, weights, e, s, j, i):
    """Σ_a h_a of a row, see ``kernels.running``."""
    total = 0.0
    for a in range(scale.shape[1]):
        total += scale[s, a] * weights[e, j * scale.shape[1] + a, i]
    return total


@kernel
def _add(
    expected, scale, share, offset, everywhere, visited, n_visited, weights,
    unit, first, replicates, n_blocks, sums, visits, overflow,
):  # fmt: skip
    """Add one row of one replicate's gradient; see ``DeviceSums`` for the arrays."""
    n, k = scale.shape
    at, i = divmod(cuda.grid(1), n_visited.size)
    e, j = divmod(at, weights.shape[1] // k)
    if e >= weights.shape[0] or j >= n_visited[i]:
        return
    s = (j if everywhere else int64(visited[j, i])) - offset
    if s < 0 or s >= n:
        return
    if e == 0:
        cuda.atomic.add(visits, s, 1)
    block = 2 + (first + i) * n_blocks // replicates
    total = _total(scale, weights, e, s, j, i)
    for a in range(k):
        p = s * k + a
        value = scale[s, a] * weights[e, j * k + a, i] - share[s, a] * total
        deviation = (value - expected[e, p]) * unit
        _deposit(sums, e, 0, p, deviation, overflow)
        _deposit(sums, e, 1, p, deviation * deviation, overflow)
        _deposit(sums, e, block, p, value * unit, overflow)


@kernel
def _compare(
    expected, scale, share, offset, everywhere, visited, n_visited, weights,
    truth, truth_squared, expected_squared, along, scalars, projections,
):  # fmt: skip
    """Compare one replicate's gradient with the truth, its mean and the directions."""
    e, i = divmod(cuda.grid(1), n_visited.size)
    if e >= weights.shape[0]:
        return
    n, k = scale.shape
    error = spread = product = norm = seen_truth = seen_expected = 0.0
    projection = cuda.local.array(N_DIRECTIONS, np.float64)
    for q in range(N_DIRECTIONS):
        projection[q] = 0.0
    n_own = 0
    for j in range(n_visited[i]):
        s = (j if everywhere else int64(visited[j, i])) - offset
        if s < 0 or s >= n:
            continue
        n_own += 1
        total = _total(scale, weights, e, s, j, i)
        for a in range(k):
            p = s * k + a
            value = scale[s, a] * weights[e, j * k + a, i] - share[s, a] * total
            g, c = truth[p], expected[e, p]
            error += (value - g) ** 2
            spread += (value - c) ** 2
            product += value * g
            norm += value * value
            seen_truth += g * g
            seen_expected += c * c
            for q in range(N_DIRECTIONS):
                projection[q] += value * along[p, q]
    if n_own < n:
        error += max(truth_squared - seen_truth, 0.0)
        spread += max(expected_squared[e] - seen_expected, 0.0)
    scalars[e, 0, i] = error
    scalars[e, 1, i] = spread
    scalars[e, 2, i] = 0.0
    if norm > 0.0 and truth_squared > 0.0:
        scalars[e, 2, i] = product / (math.sqrt(norm) * math.sqrt(truth_squared))
    scalars[e, 3, i] = 1.0 if product > 0.0 else 0.0
    scalars[e, 4, i] = product
    for q in range(N_DIRECTIONS):
        projections[e, q, i] = projection[q]


def totals_of(sums: np.ndarray) -> np.ndarray:
    """The numbers in units (E, 2 + K, d) that sums of pieces (E, 2 + K, d, 4) stand for."""
    pieces = np.moveaxis(sums, -1, 0).copy()
    for k in range(PIECES - 1, 0, -1):
        # To the nearest, so that what is left does not cancel what is carried.
        carry = (pieces[k] + (1 << (DIGITS - 1))) >> DIGITS
        pieces[k] -= carry << DIGITS
        pieces[k - 1] += carry
    totals = np.zeros(pieces.shape[1:])
    for k in range(PIECES - 1, -1, -1):
        totals += np.ldexp(pieces[k].astype(np.float64), DIGITS * (1 - k))
    return totals


def sums_bytes(n_estimators: int, n_blocks: int, d: int) -> int:
    """Memory of the sums of d parameters."""
    return 8 * PIECES * n_estimators * (2 + n_blocks) * d


class DeviceSums:
    """``RunningSums`` of rows whose parameters belong to states, made on the GPU.

    Parameters
    ----------
    running, target
        The arrays to fill, and what gradients are compared with.
    scale, share, offset
        As ``running.add_rows`` takes them.
    magnitude
        The largest number in the estimators' tables. Beside the exact gradients it says what a unit
        is: those may be all but zero, and estimates of them hardly smaller than the tables.

    Raises
    ------
    OverflowError
        For more than 2²² replicates.
    """

    def __init__(
        self, running: RunningSums, target: Target, scale, share, offset: int, magnitude: float
    ) -> None:
        E, K, d = running.blocks.shape
        self.replicates = running.scalars.shape[1]
        if self.replicates > MOST:
            raise OverflowError(f"replicates is {self.replicates}, must be at most {MOST} on a GPU")
        self.running, self.target = running, target
        largest = max(
            np.abs(target.truth).max(), np.abs(target.expected).max(), magnitude * 2.0**-32
        )
        self._power = math.frexp(largest)[1]
        self._unit = math.ldexp(1.0, -self._power)
        self._local = upload(target.expected), upload(scale), upload(share), offset
        self._exact = (
            upload(target.truth), float(target.truth_squared), upload(target.expected_squared),
            upload(target.along),
        )  # fmt: skip
        self._n_actions = scale.shape[1]
        self._sums = zeros((E, 2 + K, d, PIECES), np.int64)
        self._visits = zeros(scale.shape[0], np.int64)
        self._overflow = zeros(E, np.int64)
        self._added = 0

    def add(self, weighed, first: int) -> None:
        """Add the replicates of ``finite.Weighed``, the first of which is ``first``."""
        E, K, _ = self.running.blocks.shape
        m = weighed.n_visited.size
        self._added += m
        scalars, projections = empty((E, N_SCALARS - 1, m)), empty((E, N_DIRECTIONS, m))
        rows = (
            *self._local, weighed.everywhere, weighed.visited, weighed.n_visited, weighed.weights,
        )  # fmt: skip
        launch(
            _add, weighed.weights.size // self._n_actions, *rows, self._unit, first,
            self.replicates, K, self._sums, self._visits, self._overflow,
        )  # fmt: skip
        launch(_compare, E * m, *rows, *self._exact, scalars, projections)
        part = slice(first, first + m)
        found = scalars.copy_to_host().swapaxes(1, 2)
        self.running.scalars[:, part, :4] = found[..., :4]
        self.running.scalars[:, part, 4] = weighed.steps.copy_to_host()
        self.running.scalars[:, part, 5] = found[..., 4]
        self.running.projections[:, part] = projections.copy_to_host().swapaxes(1, 2)

    def collect(self) -> None:
        """Write the sums so far to ``running``.

        Raises
        ------
        OverflowError
            If gradients are not finite, or too large or small for the sums to be exact.
        """
        bad = self._overflow.copy_to_host() > 0
        totals = totals_of(self._sums.copy_to_host())
        running, power = self.running, self._power
        running.deviations[:] = np.ldexp(totals[:, 0], power)
        running.squares[:] = np.ldexp(totals[:, 1], 2 * power)
        running.blocks[:] = np.ldexp(totals[:, 2:], power)
        visits = self._visits.copy_to_host()
        running.visits[:] = np.repeat(visits, running.visits.size // visits.size)
        bad |= ~self._agrees()
        if bad.any():
            raise OverflowError(
                "gradients of an estimator are not finite, or differ too much in size to be added"
                " on a GPU"
            )

    def _agrees(self) -> np.ndarray:
        """Whether squares by parameter are in sum those by replicate, (E,) bool."""
        running, target = self.running, self.target
        whole = running.scalars[:, :, 1].sum(axis=1)
        unvisited = self._added - running.visits
        parts = running.squares.sum(axis=1) + (unvisited * target.expected**2).sum(axis=1)
        tolerance = _AGREEMENT * (whole + self._added * target.expected_squared)
        return np.abs(whole - parts) <= tolerance
