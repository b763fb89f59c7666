"""The fundamental matrix (I - M)⁻¹ of an absorbing chain, entry by entry.

(Kemeny & Snell 1960, Chapter 3.) M = γP_π is not negative, and what a row lacks to 1, its slack,
is known without subtraction: it is 1 - γ and γ times the probability that the episode ends. Small
and narrow systems are eliminated (``elimination``), so that solutions with b ≥ 0 have
all their digits in every entry; large systems that mix are iterated, with errors that are small
beside the largest entry.

Every solution has a bound on its error that is proven, whatever it came from: where y ≥ 0 and
(I - M) y ≥ |b - (I - M) x| and what rounding adds to that, the error of x is at most y in every
entry, for (I - M)⁻¹ ≥ 0 (Berman & Plemmons 1994, Chapter 6). Here (I - M) x is added up as
w_i x_i + Σ_j M_ij (x_i - x_j), which keeps its digits where x hardly varies.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from scipy import sparse

from pgbench.arrays import FloatArray, IndexArray
from pgbench.exact.finite.elimination import DenseFactors, Factors, Singular, SparseFactors
from pgbench.exact.finite.linear import (
    DENSE_LIMIT,
    DIVERGES,
    RELATIVE_TOLERANCE,
    Resolvent,
    frontiers,
)
from pgbench.problems.problem import Diverges, SolveError
from pgbench.rounding import UNIT

SMALL = 400
"""Systems of up to so many states are eliminated at once; it takes less time than to find out
whether another way is shorter."""

_TINY = float(np.finfo(np.float64).tiny)


class Fundamental:
    """(I - M)⁻¹ = Σ_t Mᵗ of a sparse M (n, n) that is not negative.

    Parameters
    ----------
    M
        Its diagonal is not read but taken to be what the rest of a row leaves.
    slack
        (n,) float64, w_i = 1 - Σ_j M_ij ≥ 0 to full relative accuracy.
    defect
        Bound on the relative error of all entries of M and of the slack, as data.
    dense
        Whether there will be many right-hand sides; see ``Resolvent``.
    """

    def __init__(
        self, M: sparse.csr_array, slack: FloatArray, defect: float, dense: bool = False
    ) -> None:
        self.system = Resolvent(M, dense)
        self.slack = slack
        self.defect = defect

    @property
    def _size(self) -> int:
        return self.slack.size

    @cached_property
    def eliminated(self) -> bool:
        """Whether factors are made at once."""
        return self._size <= SMALL or self.system.narrow

    def columns(self, b: FloatArray) -> FloatArray:
        """x (n, c) with (I - M) x = b of many columns, without a bound on its error."""
        return self._factors.solve(b, False) if self.eliminated else self.system.columns(b)

    def solve(
        self,
        b: FloatArray,
        transposed: bool = False,
        magnitude: FloatArray | None = None,
        guess: Callable[[], FloatArray | None] = lambda: None,
    ) -> tuple[FloatArray, float]:
        """x with (I - M) x = b, or (I - Mᵀ) x = b, and a bound on its error.

        Parameters
        ----------
        b
            (n,) or (n, c) float64.
        magnitude
            Like b, the sum of the sizes of the terms that b was added up from, if not |b|.
        guess
            Asked for a solution where none is made by factors at once; of one column only.

        Returns
        -------
        The solution, and a bound on max |x - x*| for the plain and on Σ |x - x*| for the transposed
        system, the largest over the columns.

        Raises
        ------
        SolveError
            If the bound exceeds 1e-8 times the size of the solution for ``magnitude``.
        Diverges
            If some state is never left.
        """
        if self.eliminated:
            return self._by_factors(b, transposed, magnitude)
        found = guess()
        if found is None and self._size <= DENSE_LIMIT:
            return self._by_factors(b, transposed, magnitude)
        x, bound = self.system.solve(b, transposed, found)
        if x is not found and b.ndim == 1:
            x = self._plausible(b, x, transposed)
        # What the data's error makes of the equations, those of their right-hand sides included.
        wrong = np.abs(x) + (np.abs(b) if magnitude is None else magnitude)
        sizes = wrong.sum(axis=0) if transposed else wrong.max(axis=0, initial=0.0)
        data = self.defect * float(np.max(sizes, initial=0.0)) * self.system.inverse_norm
        return x, bound + data

    def error(
        self,
        b: FloatArray,
        x: FloatArray,
        transposed: bool = False,
        magnitude: FloatArray | None = None,
        defect: float | None = None,
    ) -> FloatArray:
        """Bound on the error of every entry of x (n,), whatever x came from.

        ``magnitude`` is as for ``solve``; ``defect`` replaces the relative error of the data, that
        of b included.
        """
        defect = self.defect if defect is None else defect
        size = np.abs(b) if magnitude is None else magnitude
        bounds = [self._compared(b, x, transposed, size, defect)]
        if "_factors" in self.__dict__:
            own, whole = self._solutions(b, transposed, size)
            bounds.append(self._expected(whole, defect) + np.abs(x - own))
        return np.minimum.reduce(bounds)

    def _by_factors(
        self, b: FloatArray, transposed: bool, magnitude: FloatArray | None
    ) -> tuple[FloatArray, float]:
        size = np.abs(b) if magnitude is None else magnitude
        x, whole = self._solutions(b, transposed, size)
        if not x.size:
            return x, 0.0
        if b.ndim == 1:
            return x, self._bound(b, x, size, whole, transposed)
        norm = np.sum if transposed else np.max
        bounds, largest = norm(self._expected(whole, self.defect), axis=0), norm(whole, axis=0)
        for k in np.flatnonzero(~(bounds <= RELATIVE_TOLERANCE * largest)):
            column = b[:, k], np.ascontiguousarray(x[:, k]), size[:, k], whole[:, k]
            bounds[k] = self._bound(*column, transposed)
        return x, float(bounds.max())

    def _bound(
        self, b: FloatArray, x: FloatArray, size: FloatArray, whole: FloatArray, transposed: bool
    ) -> float:
        """Bound on the error of the factors' x (n,) for b, from ``whole``, their x for ``size``."""
        norm = np.sum if transposed else np.max
        bound = float(norm(self._expected(whole, self.defect)))
        bound = min(bound, self._normwise(b, x, transposed, size, self.defect))
        largest = float(norm(whole))
        allowed = max(RELATIVE_TOLERANCE * largest, _TINY / UNIT)
        if not bound <= allowed:
            bound = float(norm(self._compared(b, x, transposed, size, self.defect)))
        if not bound <= allowed:
            raise SolveError(
                f"the solution of {x.size} linear equations has relative error up to"
                f" {bound / largest:.1e}, more than {RELATIVE_TOLERANCE:g};"
                " is the discount too close to 1?"
            )
        return bound

    @cached_property
    def _factors(self) -> Factors:
        kind = DenseFactors if self._size <= DENSE_LIMIT and not self._sparse else SparseFactors
        try:
            return kind(self.system.powers, self.slack)
        except Singular as error:
            raise Diverges(DIVERGES) from error

    @property
    def _sparse(self) -> bool:
        return self._size > SMALL and self.system.narrow

    def _solutions(
        self, b: FloatArray, transposed: bool, magnitude: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """The solutions for b and for its magnitude, which is where rounding errors come from."""
        if np.array_equal(magnitude, np.abs(b)) and (b.min(initial=0) >= 0 or b.max() <= 0):
            x = self._factors.solve(b, transposed)
            return x, np.abs(x)
        both = self._factors.solve(np.column_stack([b, magnitude]), transposed)
        first, second = np.hsplit(both, 2)
        return np.ascontiguousarray(first).reshape(b.shape), second.reshape(b.shape)

    def _expected(self, whole: FloatArray, defect: float) -> FloatArray:
        """What the factors' own rounding and that of the data can do, from x for |b|."""
        relative = self._factors.relative_error + (2 * self._size + 1) * defect
        if not relative < 0.1:
            return np.full(whole.shape, np.inf)
        # The floor is what underflow can add.
        return whole * (relative / (1 - relative)) + _TINY * (1 + whole.max(initial=0.0))

    def _normwise(
        self, b: FloatArray, x: FloatArray, transposed: bool, magnitude: FloatArray, defect: float
    ) -> float:
        """Bound on max |x - x*|, or on Σ |x - x*| of the transposed system, from the slack alone.

        (I - M) c1 = c w, and Σ_i w_i |e_i| ≤ Σ |residual|; infinite where some slack is 0.
        """
        least = float(self.slack.min(initial=1.0))
        if least <= 0:
            return np.inf
        wrong = self._wrong(b, x, transposed, magnitude, defect)
        bound = wrong.sum() / least if transposed else (wrong / self.slack).max(initial=0.0)
        return float(bound) * (1 + 1e-6) / (1 - defect)

    def _compared(
        self, b: FloatArray, x: FloatArray, transposed: bool, magnitude: FloatArray, defect: float
    ) -> FloatArray:
        """y ≥ |x - x*| entry by entry; infinite where no y could be shown to be one."""
        wrong = self._wrong(b, x, transposed, magnitude, defect)
        found = [self._scaled(np.abs(x), wrong, transposed, defect)]
        if self.eliminated or "_factors" in self.__dict__:
            y = self._factors.solve(wrong, transposed)
            found.append(self._scaled(y, wrong, transposed, defect))
        found.append(np.full(x.shape, self._normwise(b, x, transposed, magnitude, defect)))
        return np.minimum.reduce(found)

    def _scaled(
        self, y: FloatArray, wrong: FloatArray, transposed: bool, defect: float
    ) -> FloatArray:
        """c y with the least c such that (I - M) c y ≥ ``wrong``; infinite if there is none."""
        value, size = self._product(y, transposed)
        value -= (self._units[transposed] + defect) * size
        if not (value > 0).all():
            return np.full(y.shape, np.inf)
        return y * (float((wrong / value).max(initial=0.0)) * (1 + 1e-6))

    def _wrong(
        self, b: FloatArray, x: FloatArray, transposed: bool, magnitude: FloatArray, defect: float
    ) -> FloatArray:
        """|b - (I - M) x| (n,), and what rounding and the data's error can hide of it."""
        value, size = self._product(x, transposed)
        relative = self._units[transposed] + defect
        return np.abs(b - value) + relative * (magnitude + size) + _TINY

    def _product(self, x: FloatArray, transposed: bool) -> tuple[FloatArray, FloatArray]:
        """(I - M) x (n,), or with Mᵀ, and the same with every term's absolute value."""
        rows, columns, data = self._entries
        if transposed:
            own, came = self._leaving * x, data * x[rows]
            size = 2 * np.abs(own) + self._summed(columns, np.abs(came))
            return own - self._summed(columns, came), size
        kept, fallen = self.slack * x, data * (x[rows] - x[columns])
        size = np.abs(kept) + self._summed(rows, np.abs(fallen))
        return kept + self._summed(rows, fallen), size

    def _summed(self, places: IndexArray, terms: FloatArray) -> FloatArray:
        """Terms added up at their places (n,)."""
        return np.asarray(np.bincount(places, terms, self._size), np.float64)

    @cached_property
    def _entries(self) -> tuple[IndexArray, IndexArray, FloatArray]:
        """Rows, columns and values of M off the diagonal."""
        M = self.system.powers
        rows = np.repeat(np.arange(self._size), np.diff(M.indptr))
        apart = rows != M.indices
        return rows[apart], M.indices[apart].astype(np.intp), M.data[apart]

    @cached_property
    def _leaving(self) -> FloatArray:
        """The diagonal of I - M (n,): the slack and all that lies off the diagonal of M."""
        rows, _, data = self._entries
        return self.slack + self._summed(rows, data)

    @cached_property
    def _units(self) -> tuple[float, float]:
        """Relative rounding error of ``_product`` beside its terms, plain and transposed."""
        rows, columns, _ = self._entries
        long, high = (int(np.bincount(x, minlength=1).max()) for x in (rows, columns))
        return (long + 8) * UNIT, (long + high + 8) * UNIT

    def _plausible(self, b: FloatArray, x: FloatArray, transposed: bool) -> FloatArray:
        """x without what cannot be: another sign than b's, or anything where b does not reach."""
        M = self.system.powers
        reached = frontiers(M if transposed else M.T.tocsr(), np.flatnonzero(b))
        possible = np.zeros(x.size, bool)
        possible[np.concatenate(list(reached))] = True
        if b.min(initial=0.0) >= 0:
            x = np.maximum(x, 0.0)
        elif b.max(initial=0.0) <= 0:
            x = np.minimum(x, 0.0)
        return np.where(possible, x, 0.0)
