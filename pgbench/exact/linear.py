"""Solutions of (I - M) x = b with a proven error bound, for M such as γP.

Dense LU for small problems; beyond, BiCGSTAB, and a sparse LU where that does not converge. The
residual of every solution is computed, with its own rounding error, and turned into a bound with
‖(I - M)⁻¹‖_∞ ≤ ‖(I - |M|)⁻¹‖_∞. That is at most 1/(1-r) where every row of |M| sums to at most
r < 1, and else max τ/(1 - η) where τ > 0 is a computed solution of (I - |M|)τ = 1 with residual
≤ η < 1; such a τ exists exactly if the spectral radius of |M| is below 1, that is if the sum of all
its powers converges (Berman & Plemmons 1994, Chapter 6).
"""

import warnings
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, bicgstab, splu

FloatArray = NDArray[np.float64]

DENSE_LIMIT = 1500
RELATIVE_TOLERANCE = 1e-8
_REFINEMENTS = 8
_DIVERGES = "the expected time to a terminal state is not finite under this policy"


class SolveError(ValueError):
    """A linear system of the problem could not be solved to the required accuracy."""


class Diverges(SolveError):
    """The sum over an infinite horizon has no finite value."""


class Resolvent:
    """(I - M)⁻¹ = Σ_t Mᵗ of a sparse M (n, n), applied with a checked residual.

    ``dense`` factors I - M as a full matrix, which pays beyond ``DENSE_LIMIT`` too where there are
    many right-hand sides.
    """

    def __init__(self, M: sparse.csr_array, dense: bool = False) -> None:
        identity = sparse.eye_array(M.shape[0], format="csr")
        self.matrix: sparse.csr_array = (identity - M).tocsr()
        # Not |I - M|: the difference 1 - M(s, s) has the rounding error of its terms.
        self.magnitude: sparse.csr_array = (identity + abs(M)).tocsr()
        self.row_sums: FloatArray = abs(M).sum(axis=1)
        self.signed = bool((M.data < 0).any())
        self.dense = dense or M.shape[0] <= DENSE_LIMIT

    def solve(self, b: FloatArray, transposed: bool = False) -> tuple[FloatArray, float]:
        """x with (I - M) x = b, or (I - M)ᵀ x = b, and a bound on its error.

        The bound is on max |x - x*| for the plain and on Σ |x - x*| for the transposed system;
        for b (n, c) it is the largest over the c columns.

        Raises
        ------
        SolveError
            If the bound exceeds 1e-8 times the size of the solution of a column.
        Diverges
            If the powers of |M| have no finite sum.
        """
        norm = self.inverse_norm
        x, residual = self._refine(b, transposed)
        residual = np.abs(residual) + self._rounding(b, x, transposed)
        bound = self._norms(residual, transposed) * norm
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
            raise Diverges(_DIVERGES)
        if self.signed:
            identity = sparse.eye_array(self.matrix.shape[0], format="csr")
            return Resolvent((self.magnitude - identity).tocsr()).inverse_norm
        ones = np.ones(self.matrix.shape[0])
        time, residual = self._refine(ones, transposed=False)
        residual = np.abs(residual) + self._rounding(ones, time, transposed=False)
        slack = 1 - float(self._norms(residual, transposed=False))
        if not (slack > 0.5 and time.min() > 0):
            raise Diverges(_DIVERGES)
        return float(time.max() / slack)

    def _rounding(self, b: FloatArray, x: FloatArray, transposed: bool) -> FloatArray:
        """Bound on the rounding errors of matrix, right-hand side and computed residual."""
        magnitude = self.magnitude.T.tocsr() if transposed else self.magnitude
        terms = int(np.diff(magnitude.indptr).max(initial=0)) + 10
        errors: FloatArray = terms * np.finfo(float).eps * (np.abs(b) + magnitude @ np.abs(x))
        return errors

    @staticmethod
    def _norms(x: FloatArray, transposed: bool) -> FloatArray:
        """Norm of x (n,), or of each column of x (n, c); infinite where it is not a number."""
        size = np.abs(x).sum(axis=0) if transposed else np.abs(x).max(axis=0, initial=0.0)
        return np.where(np.isnan(size), np.inf, size)

    def _refine(self, b: FloatArray, transposed: bool) -> tuple[FloatArray, FloatArray]:
        """Solve, then add corrections while they lower the residual."""
        matrix = self._transposed if transposed else self.matrix
        x = self._apply(b, transposed, False)
        residual = b - matrix @ x
        for _ in range(_REFINEMENTS):
            better = x + self._apply(residual, transposed, True)
            remainder = b - matrix @ better
            if not (
                self._norms(remainder, transposed) < 0.5 * self._norms(residual, transposed)
            ).any():
                break
            x, residual = better, remainder
        return x, residual

    @cached_property
    def _transposed(self) -> sparse.csr_array:
        return self.matrix.T.tocsr()

    def _apply(self, b: FloatArray, transposed: bool, correcting: bool) -> FloatArray:
        """An approximate solution; zero where there is nothing more to correct."""
        if b.shape[0] == 0:
            return b
        if self.dense:
            solution: FloatArray = linalg.lu_solve(
                self._dense_lu, b, trans=int(transposed), check_finite=False
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
                raise Diverges(_DIVERGES) from error
        return factors

    def _apply_sparse(self, b: FloatArray, transposed: bool, correcting: bool) -> FloatArray:
        """A solution good to about 8 digits, which refinement repeats on the residual."""
        if not b.any():
            return np.zeros_like(b)
        if "_sparse_lu" not in self.__dict__:
            # Scaled, because the breakdown tests of the recurrence are absolute.
            unit = b / np.abs(b).max()
            unit /= np.linalg.norm(unit)
            matrix = self._transposed if transposed else self.matrix
            operator = LinearOperator(matrix.shape, matvec=matrix.__matmul__, dtype=np.float64)
            # Started at the right-hand side: a constant one is nearly an eigenvector, on which
            # the recurrence breaks down if it starts at zero; others, if it does not.
            for start in (unit, np.zeros_like(unit)):
                x, _ = bicgstab(operator, unit, x0=start, rtol=1e-8, atol=0.0, maxiter=1000)
                if np.linalg.norm(unit - matrix @ x) < 1e-3:
                    return np.asarray(x * (b @ unit))
            if correcting:
                # What is left of the residual is rounding.
                return np.zeros_like(b)
        return np.asarray(self._sparse_lu.solve(b, trans="T" if transposed else "N"))

    @cached_property
    def _sparse_lu(self) -> splu:
        try:
            return splu(self.matrix.tocsc())
        except RuntimeError as error:
            raise Diverges(_DIVERGES) from error
