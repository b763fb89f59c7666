"""Solutions of (I - γP) x = b with a proven error bound.

Dense LU for small problems; beyond, BiCGSTAB, and a sparse LU where that does not converge. The
residual of every solution is computed, with its own rounding error, and turned into a bound: P is
substochastic, so I - γP is an M-matrix, and ‖(I - γP)⁻¹‖_∞ ≤ 1/(1-γ), or for γ = 1 at most
max τ/(1 - η) where τ is a computed solution of (I - P)τ = 1 with residual ≤ η < 1
(Berman & Plemmons 1994, Chapter 6).
"""

import warnings
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, bicgstab, splu

FloatArray = NDArray[np.float64]

DENSE_LIMIT = 1500
RELATIVE_TOLERANCE = 1e-8
_REFINEMENTS = 8
_SINGULAR = "the expected time to a terminal state is not finite under this policy"


class SolveError(ValueError):
    """A linear system of the problem could not be solved to the required accuracy."""


class Resolvent:
    """(I - γP)⁻¹ of a substochastic sparse P (n, n), applied with a checked residual."""

    def __init__(self, P: sparse.csr_array, gamma: float) -> None:
        self.matrix: sparse.csr_array = (
            sparse.eye_array(P.shape[0], format="csr") - gamma * P
        ).tocsr()
        # Not |I - γP|: the difference 1 - γP(s|s) has the rounding error of its terms.
        self.magnitude: sparse.csr_array = (
            sparse.eye_array(P.shape[0], format="csr") + gamma * P
        ).tocsr()
        self.gamma = gamma
        self._converges: set[bool] = set()

    def solve(self, b: FloatArray, transposed: bool = False) -> tuple[FloatArray, float]:
        """x with (I - γP) x = b, or (I - γP)ᵀ x = b, and a bound on its error.

        The bound is on max |x - x*| for the plain and on Σ |x - x*| for the transposed system.

        Raises
        ------
        SolveError
            If the bound exceeds 1e-8 times the size of the solution.
        """
        x, residual = self._refine(b, transposed)
        residual = np.abs(residual) + self._rounding(b, x, transposed)
        bound = self._norm(residual, transposed) * self.inverse_norm
        size = max(self._norm(x, transposed), np.finfo(float).tiny)
        if not bound <= RELATIVE_TOLERANCE * size:
            raise SolveError(
                f"the solution of {x.size} linear equations has relative error up to"
                f" {bound / size:.1e}, more than {RELATIVE_TOLERANCE:g};"
                f" is gamma = {self.gamma:g} too close to 1?"
            )
        return x, float(bound)

    @cached_property
    def inverse_norm(self) -> float:
        """Upper bound on ‖(I - γP)⁻¹‖_∞, the longest discounted time to absorption."""
        if self.gamma < 1:
            return 1 / (1 - self.gamma)
        time, residual = self._refine(np.ones(self.matrix.shape[0]), transposed=False)
        residual = np.abs(residual) + self._rounding(np.ones(time.size), time, transposed=False)
        slack = 1 - self._norm(residual, transposed=False)
        if not (slack > 0.5 and time.min(initial=1.0) > 0):
            raise SolveError(
                "the expected time to a terminal state is not finite under this policy"
            )
        return float(time.max(initial=0.0) / slack)

    def _rounding(self, b: FloatArray, x: FloatArray, transposed: bool) -> FloatArray:
        """Bound on the rounding errors of matrix, right-hand side and computed residual."""
        magnitude = self.magnitude.T.tocsr() if transposed else self.magnitude
        terms = int(np.diff(magnitude.indptr).max(initial=0)) + 10
        errors: FloatArray = terms * np.finfo(float).eps * (np.abs(b) + magnitude @ np.abs(x))
        return errors

    @staticmethod
    def _norm(x: FloatArray, transposed: bool) -> float:
        size = np.abs(x).sum() if transposed else np.abs(x).max(initial=0.0)
        return float(size) if np.isfinite(size) else np.inf

    def _refine(self, b: FloatArray, transposed: bool) -> tuple[FloatArray, FloatArray]:
        """Solve, then add corrections while they lower the residual."""
        matrix = self._transposed if transposed else self.matrix
        x = self._apply(b, transposed)
        residual = b - matrix @ x
        for _ in range(_REFINEMENTS):
            better = x + self._apply(residual, transposed)
            remainder = b - matrix @ better
            if not self._norm(remainder, transposed) < 0.5 * self._norm(residual, transposed):
                break
            x, residual = better, remainder
        return x, residual

    @cached_property
    def _transposed(self) -> sparse.csr_array:
        return self.matrix.T.tocsr()

    @cached_property
    def _apply(self) -> Callable[[FloatArray, bool], FloatArray]:
        n = self.matrix.shape[0]
        if n == 0:
            return lambda b, transposed: b
        if n <= DENSE_LIMIT:
            with warnings.catch_warnings():
                warnings.simplefilter("error", linalg.LinAlgWarning)
                try:
                    factors = linalg.lu_factor(self.matrix.toarray(), check_finite=False)
                except linalg.LinAlgWarning as error:
                    raise SolveError(_SINGULAR) from error
            return lambda b, transposed: linalg.lu_solve(
                factors, b, trans=int(transposed), check_finite=False
            )
        return self._apply_sparse

    def _apply_sparse(self, b: FloatArray, transposed: bool) -> FloatArray:
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
            # the recurrence breaks down if it starts at zero.
            x, _ = bicgstab(operator, unit, x0=unit, rtol=1e-8, atol=0.0, maxiter=1000)
            if np.linalg.norm(unit - matrix @ x) < 1e-3:
                self._converges.add(transposed)
                return np.asarray(x * (b @ unit))
            if transposed in self._converges:
                # What is left of the residual is rounding; there is nothing more to correct.
                return np.zeros_like(b)
        return np.asarray(self._sparse_lu.solve(b, trans="T" if transposed else "N"))

    @cached_property
    def _sparse_lu(self) -> splu:
        try:
            return splu(self.matrix.tocsc())
        except RuntimeError as error:
            raise SolveError(_SINGULAR) from error
