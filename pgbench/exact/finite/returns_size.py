"""What returns to the states of a tabular policy take, known before they are followed.

How many steps it takes until little is left is seen on a few columns; how far groups spread where
walks do not mix, on a few groups. Constants are measured: of 64 columns of a garnet, of a gridworld
and of a corridor.
"""

import os

import numpy as np
from scipy import sparse

from pgbench.arrays import IndexArray
from pgbench.exact.finite.dominant import TRIED
from pgbench.exact.finite.linear import frontiers
from pgbench.exact.finite.paths import Paths
from pgbench.exact.finite.recursion import Recursion
from pgbench.exact.finite.revisits import GROUP, is_large, known_returns
from pgbench.exact.table_moments import LIMIT, Size
from pgbench.process.tables import Tables

PER_PRODUCT, PER_ROW = 0.8, 4.0
"""Operations of a multiplication of the compiled step, and of a row of one moment."""

SOLVING, PER_WIDTH = 35.0, 25.0
"""Operations of a solution with sparse factors per state, and per state and doubling of the width
of the graph."""

_FEWEST = 8
"""Steps of all entries that no large graph that mixes makes do with."""

_LOOKED_AT = 8
"""Groups that are looked at."""


def returns_size(tables: Tables, horizon: int | None) -> Size:
    """Memory and operations of ``products_of_weights`` but for the adjoint and the sources."""
    n, A = tables.process.pi.shape
    S = np.arange(n)[tables.process.scored].size
    F, blocks = orders(tables)
    entries = int(tables.process.mdp.transitions.nnz)
    own = tables.kappa[~tables.process.mdp.terminal]
    constant = bool((own == own.flat[0]).all()) if own.size else True
    walks = blocks if constant else blocks * (F + 2) / 3
    threads = min(os.cpu_count() or 1, -(-S // GROUP))
    columns = 8.0 * n * GROUP * threads * (F if constant else blocks)
    if not is_large(n, horizon):
        return _small(n, S, A, horizon, F, blocks, walks, entries, columns, constant)
    kept = 2 * 8.0 * blocks * S * A  # per step; those of two estimators are remembered
    held = 4 * columns + 8 * 4 * n * A * F**2
    if _FEWEST * PER_PRODUCT * entries * S > LIMIT.operations and horizon != 1:
        # Not worth a look; thirty steps are what graphs take that mix.
        return Size(held + 30 * kept, 30 * walks * PER_PRODUCT * entries * S)
    recursion = Recursion(tables)
    if horizon is None and recursion.has_factors:
        begun = np.flatnonzero(recursion.mu0)
        width = max(states.size for states in frontiers(_moves(recursion), begun))
        each = n * (SOLVING + PER_WIDTH * np.log2(width)) + 6 * entries
        return Size(2 * held + kept, blocks * S * each)
    paths = known_returns(tables).paths(recursion)
    steps = None if horizon is None else horizon - 1
    until = paths.steps_until_little(steps)
    if horizon is None and (not paths.settles or until == TRIED):
        # Factors of full matrices, and about three passes with them for every column.
        operations = F * n**3 / 3 + 3 * blocks * n**2 * S
        return Size(8.0 * n**2 * (F + 4) + 2 * held + kept, operations)
    rows = float(S) * until * n
    if not paths.dominant.known:
        rows, share = _spread(recursion, until)
        S = int(share * S)
        kept *= share
    products = rows * (walks * _moves(recursion).nnz / n * PER_PRODUCT + PER_ROW * F)
    summed = S * A**2 * blocks * (until * (steps - until / 2) + F * steps) if steps else 0.0
    return Size(held + until * kept, products + summed)


def sample_size(tables: Tables, horizon: int | None, states: int) -> Size:
    """The same of the returns to some states alone; infinite where they take factors of all.

    Without limit returns are followed until little is left, or solved for with sparse factors.
    """
    n, A = tables.process.pi.shape
    F, blocks = orders(tables)
    recursion = Recursion(tables)
    paths = Paths(recursion)
    until = float(paths.steps_until_little(None if horizon is None else horizon - 1))
    held = 8.0 * (n * min(states, 2 * GROUP) * 4 * blocks + 4 * n * A * F**2)
    held += 16.0 * (horizon or 1) * F * states * A
    if horizon is None and is_large(n, None) and not recursion.has_factors:
        until = until if paths.settles and until < TRIED else np.inf
    walks = blocks if recursion.decay is not None else blocks * (F + 2) / 3
    return Size(held, states * until * (walks * _moves(recursion).nnz * PER_PRODUCT + n * F))


def orders(tables: Tables) -> tuple[int, float]:
    """Number of moments of the recursion, and of the blocks of its lower triangle."""
    return (3, 6.0) if tables.total else (2, 3.0)


def _small(
    n: int, S: int, A: int, horizon: int | None, F: int, blocks: float, walks: float,
    entries: int, columns: float, constant: bool,
) -> Size:  # fmt: skip
    if horizon is None:
        # Dense factors, and about three passes with them for every column.
        memory = 8 * n**2 * (F + 4) + 8 * n * S * (2 * blocks + F + 6)
        return Size(memory, F * n**3 / 3 + 3 * blocks * n**2 * S)
    followed = min(S, GROUP * (os.cpu_count() or 1))
    memory = 8 * n * followed * (2 * (F if constant else blocks) + F + 6)
    memory += 2 * 8 * horizon * blocks * S * A  # the paths of two estimators are remembered
    return Size(memory, S * (horizon * entries * walks + A**2 * horizon**2 / 2 * blocks))


def _spread(recursion: Recursion, steps: int) -> tuple[float, float]:
    """Rows of all columns together where little is never left, those on ways there and back.

    And which share of the states can be reached.
    """
    moves, scored = _moves(recursion), recursion.scored
    back = moves.T.tocsr()
    reached = _distances(moves, np.flatnonzero(recursion.mu0), steps)
    begins = np.arange(0, scored.size, GROUP)
    looked_at = begins[:: max(1, begins.size // _LOOKED_AT)]
    rows = 0.0
    for begin in looked_at:
        ends = scored[begin : begin + GROUP]
        last = max(
            0, steps - int(reached[ends].min())
        )  # that many steps are left after the first visit
        to, since = _distances(back, ends, last), _distances(moves, ends, last)
        times = np.minimum(last - 2, last - 1 - since) - np.maximum(to - 1, 0) + 1
        rows += ends.size * float(np.maximum(times, 0).sum())
    share = float((reached[scored] <= steps).mean())
    return rows * begins.size / looked_at.size, share


def _distances(moves: sparse.csr_array, start: IndexArray, most: int) -> IndexArray:
    """Fewest steps (n,) from any of these states; more than ``most`` where none so few lead."""
    far = np.full(moves.shape[0], 2 * most + 2)
    for steps, states in zip(range(most + 1), frontiers(moves, start), strict=False):
        far[states] = steps
    return far


def _moves(recursion: Recursion) -> sparse.csr_array:
    """Where a step may lead, empty where none is followed."""
    return recursion.step.get((0, 0), sparse.csr_array((recursion.n, recursion.n)))
