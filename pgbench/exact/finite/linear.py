"""Solutions of (I - M) x = b with a proven error bound, for M of any sign.

Where M is not negative and its rows are known to lack something to 1, as those of γP, solutions
are more accurate in ``pgbench.exact.finite.fundamental``.

Dense LU for small problems; beyond, BiCGSTAB, and a sparse LU where that does not converge. The
residual of every solution is computed, with its own rounding error, and turned into a bound with
‖(I - M)⁻¹‖_∞ ≤ ‖(I - |M|)⁻¹‖_∞. That is at most 1/(1-r) where every row of |M| sums to at most
r < 1, and else max τ/(1 - η) where τ > 0 is a computed solution of (I - |M|)τ = 1 with residual
≤ η < 1; such a τ exists exactly if the spectral radius of |M| is below 1, that is if the sum of all
its powers converges (Berman & Plemmons 1994, Chapter 6).
"""

import warnings
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import LinearOperator, bicgstab, splu

from pgbench.arrays import FloatArray, IndexArray
from pgbench.problems.problem import Diverges, SolveError

DENSE_LIMIT = 1500
RELATIVE_TOLERANCE = 1e-8
_NARROW = 4
"""Bandwidth over the root of the number of states up to which sparse factors are made at once."""

_SHORT = 0.97
_REFINEMENTS = 8
DIVERGES = "the expected time to a terminal state is not finite under this policy"


def frontiers(M: sparse.csr_array, start: IndexArray) -> Iterator[IndexArray]:
    """The states of ``start``, then those that each further step of M is the first to reach."""
    seen = np.zeros(M.shape[0], bool)
    states = start[: M.shape[0]]
    while states.size:
        seen[states] = True
        yield states
        counts = M.indptr[states + 1] - M.indptr[states]
        shift = np.cumsum(counts) - counts
        entries = np.repeat(M.indptr[states] - shift, counts) + np.arange(counts.sum())
        states = np.unique(M.indices[entries])
        states = states[~seen[states]]


class Resolvent:
    """(I - M)⁻¹ = Σ_t Mᵗ of a sparse M (n, n), applied with a checked residual.

    ``dense`` factors I - M as a full matrix, which pays beyond ``DENSE_LIMIT`` too where there are
    many right-hand sides.
    """

    def __init__(self, M: sparse.csr_array, dense: bool = False) -> None:
        self.powers: sparse.csr_array = M
        self.row_sums: FloatArray = abs(M).sum(axis=1)
        self.signed = bool((M.data < 0).any())
        self.dense = dense or M.shape[0] <= DENSE_LIMIT

    def columns(self, b: FloatArray) -> FloatArray:
        """x (n, c) with (I - M) x = b of many columns, without a bound on its error."""
        return self._apply(b, False, False)

    @property
    def matrix(self) -> sparse.csr_array:
        """I - M."""
        return (sparse.eye_array(self.powers.shape[0], format="csr") - self.powers).tocsr()

    @cached_property
    def narrow(self) -> bool:
        """Whether the states can be numbered so that none is far from those that follow it.

        That is so in chains and gridworlds, whose sparse factors are small, and not on graphs that
        mix, whose sparse factors are full. (Cuthill & McKee 1969; George & Liu 1981, Chapter 8)
        """
        M = self.powers
        n = M.shape[0]
        widest = _NARROW * np.sqrt(n)
        # What spreads fast is not worth numbering.
        if any(states.size > widest for states in frontiers(M, np.zeros(1, np.intp))):
            return False
        order = np.empty(n, np.int64)
        order[reverse_cuthill_mckee(M)] = np.arange(n)
        width = np.abs(np.repeat(order, np.diff(M.indptr)) - order[M.indices])
        return bool(width.max(initial=0) <= widest)

    @cached_property
    def factored(self) -> bool:
        """Whether solutions come from factors of I - M and not from iterations.

        Iterations are short where few powers of M count.
        """
        return self.dense or (self.narrow and float(self.row_sums.max(initial=0.0)) > _SHORT)

    def solve(
        self, b: FloatArray, transposed: bool = False, guess: FloatArray | None = None
    ) -> tuple[FloatArray, float]:
        """x with (I - M) x = b, or (I - M)ᵀ x = b, and a bound on its error.

        The bound is on max |x - x*| for the plain and on Σ |x - x*| for the transposed system;
        for b (n, c) it is the largest over the c columns. A ``guess`` that is already right to
        rounding is returned as it is.

        Raises
        ------
        SolveError
            If the bound exceeds 1e-8 times the size of the solution of a column.
        Diverges
            If the powers of |M| have no finite sum.
        """
        norm = self.inverse_norm
        x, residual, rounding = self._refine(b, transposed, guess)
        bound = self._norms(np.abs(residual) + rounding, transposed) * norm
        size = np.maximum(self._norms(x, transposed), np.finfo(float).tiny)
        if not (bound <= RELATIVE_TOLERANCE * size).all():
            raise SolveError(
                f"the solution of {x.shape[0]} linear equations has relative error up to"
                f" {np.max(bound / size):.1e}, more than {RELATIVE_TOLERANCE:g};"
                " is the discount too close to 1?"
            )
        return x, float(np.max(bound, initial=0.0))

    @cached_property
    def inverse_norm(self) -> float:
        """Upper bound on ‖(I - M)⁻¹‖_∞; for M = γP the longest discounted time to absorption."""
        largest = float(self.row_sums.max(initial=0.0))
        if largest < 1 - 1e-6:  # closer to 1 the difference may be rounding
            return 1 / (1 - largest)
        if self.row_sums.min() >= 1:
            raise Diverges(DIVERGES)
        if self.signed:
            return Resolvent(abs(self.powers)).inverse_norm
        ones = np.ones(self.row_sums.size)
        time, residual, rounding = self._refine(ones, transposed=False)
        slack = 1 - float(self._norms(np.abs(residual) + rounding, transposed=False))
        if not (slack > 0.5 and time.min() > 0):
            raise Diverges(DIVERGES)
        return float(time.max() / slack)

    def _rounding(self, b: FloatArray, x: FloatArray, transposed: bool) -> FloatArray:
        """Bound on the rounding errors of matrix, right-hand side and computed residual."""
        magnitude = abs(self.powers) if self.signed else self.powers
        magnitude = magnitude.T if transposed else magnitude
        size = np.abs(x)
        errors: FloatArray = np.abs(b) + size + magnitude @ size
        errors *= self._terms[int(transposed)] * np.finfo(float).eps
        return errors

    @cached_property
    def _terms(self) -> tuple[int, int]:
        """Most terms of a row and of a column of a residual."""
        rows = np.diff(self.powers.indptr)
        columns = np.bincount(self.powers.indices, minlength=1)
        return int(rows.max(initial=0)) + 12, int(columns.max(initial=0)) + 12

    @staticmethod
    def _norms(x: FloatArray, transposed: bool) -> FloatArray:
        """Norm of x (n,), or of each column of x (n, c); infinite where it is not a number."""
        size = np.abs(x).sum(axis=0) if transposed else np.abs(x).max(axis=0, initial=0.0)
        return np.where(np.isnan(size), np.inf, size)

    def _refine(
        self, b: FloatArray, transposed: bool, guess: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Solve, then add corrections while they lower the residual: x, residual and its rounding.

        A residual that is all rounding is not corrected.
        """
        x = self._apply(b, transposed, False) if guess is None else guess
        residual, rounding = self._residual(b, x, transposed)
        for _ in range(_REFINEMENTS):
            size = self._norms(residual, transposed)
            if (size <= 0.1 * self._norms(rounding, transposed)).all():
                break
            better = x + self._apply(residual, transposed, True)
            remainder, new_rounding = self._residual(b, better, transposed)
            if not (self._norms(remainder, transposed) < 0.5 * size).any():
                break
            x, residual, rounding = better, remainder, new_rounding
        return x, residual, rounding

    def _residual(
        self, b: FloatArray, x: FloatArray, transposed: bool
    ) -> tuple[FloatArray, FloatArray]:
        """b - (I - M) x, or with Mᵀ, and a bound on its rounding errors."""
        return b - self._product(x, transposed), self._rounding(b, x, transposed)

    def _product(self, x: FloatArray, transposed: bool) -> FloatArray:
        """(I - M) x, or (I - M)ᵀ x."""
        difference: FloatArray = x - (self.powers.T if transposed else self.powers) @ x
        return difference

    def _apply(self, b: FloatArray, transposed: bool, correcting: bool) -> FloatArray:
        """An approximate solution; zero where there is nothing more to correct."""
        if b.shape[0] == 0:
            return b
        if self.dense:
            lu, pivots = self._dense_lu
            # Pivots are written to and restored meanwhile, so that threads need their own.
            own = lu, pivots.copy()
            solution: FloatArray = linalg.lu_solve(
                own, b, trans=int(transposed), check_finite=False
            )
            return solution
        if b.ndim == 1:
            return self._apply_sparse(b, transposed, correcting)
        return np.stack([self._apply_sparse(c, transposed, correcting) for c in b.T], axis=1)

    @cached_property
    def _dense_lu(self) -> tuple[FloatArray, NDArray[np.int32]]:
        with warnings.catch_warnings():
            warnings.simplefilter("error", linalg.LinAlgWarning)
            try:
                factors: tuple[FloatArray, NDArray[np.int32]] = linalg.lu_factor(
                    self.matrix.toarray(), overwrite_a=True, check_finite=False
                )
            except linalg.LinAlgWarning as error:
                raise Diverges(DIVERGES) from error
        return factors

    def _apply_sparse(self, b: FloatArray, transposed: bool, correcting: bool) -> FloatArray:
        """A solution good to about 8 digits, which refinement repeats on the residual."""
        if not b.any():
            return np.zeros_like(b)
        if not self.factored and "_sparse_lu" not in self.__dict__:
            # Scaled, because the breakdown tests of the recurrence are absolute.
            unit = b / np.abs(b).max()
            unit /= np.linalg.norm(unit)

            def product(x: FloatArray) -> FloatArray:
                return self._product(x, transposed)

            operator = LinearOperator(self.powers.shape, matvec=product, dtype=np.float64)
            # Started at the right-hand side: a constant one is nearly an eigenvector, on which
            # the recurrence breaks down if it starts at zero; others, if it does not.
            for start in (unit, np.zeros_like(unit)):
                x, _ = bicgstab(operator, unit, x0=start, rtol=1e-8, atol=0.0, maxiter=1000)
                if np.linalg.norm(unit - product(x)) < 1e-3:
                    return np.asarray(x * (b @ unit))
            if correcting:
                # What is left of the residual is rounding.
                return np.zeros_like(b)
        return np.asarray(self._sparse_lu.solve(b, trans="T" if transposed else "N"))

    @cached_property
    def _sparse_lu(self) -> splu:
        # An M-matrix needs no pivots (Funderlic & Plemmons 1981), so its factors may stay sparse.
        options = (
            {}
            if self.signed
            else {
                "permc_spec": "MMD_AT_PLUS_A",
                "diag_pivot_thresh": 0.0,
                "options": {"SymmetricMode": True},
            }
        )
        try:
            return splu(self.matrix.tocsc(), **options)
        except RuntimeError as error:
            raise Diverges(DIVERGES) from error
