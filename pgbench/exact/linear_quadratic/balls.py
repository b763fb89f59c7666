"""Matrices with a bound on the error of every entry, whatever is computed from them.

A ball holds every matrix whose entries differ from those of its midpoint by no more than its
radius. Sums and products of balls hold those of all their members, rounding included, for a sum of
k products differs from the exact one by at most ku/(1-ku) times that of absolute values, in
whatever order it is made, u = 2⁻⁵³. (Rump 1999, midpoint-radius arithmetic; Higham 2002, Section
3.1) Underflow is bounded by the least normal number per product.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lapack

from pgbench.arrays import FloatArray

_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Ball:
    """All matrices within a radius of a midpoint.

    Attributes
    ----------
    mid, rad
        Float64 arrays of the same shape; entries that are not finite say that nothing is known.
    """

    mid: FloatArray
    rad: FloatArray

    # Arrays leave sums and products with a ball to the ball.
    __array_ufunc__ = None

    @classmethod
    def of(cls, value: "Ball | ArrayLike") -> "Ball":
        """The value itself, known exactly if it is an array or a number."""
        if isinstance(value, Ball):
            return value
        mid = np.asarray(value, np.float64)
        return cls(mid, np.zeros_like(mid))

    @property
    def T(self) -> "Ball":
        """The matrices (..., n, k) transposed."""
        return Ball(np.swapaxes(self.mid, -1, -2), np.swapaxes(self.rad, -1, -2))

    def __getitem__(self, where: Any) -> "Ball":
        return Ball(self.mid[where], self.rad[where])

    def __neg__(self) -> "Ball":
        return Ball(-self.mid, self.rad)

    def __add__(self, other: "Ball | ArrayLike") -> "Ball":
        other = Ball.of(other)
        return _rounded(self.mid + other.mid, self.rad + other.rad, 1)

    def __sub__(self, other: "Ball | ArrayLike") -> "Ball":
        return self + (-Ball.of(other))

    def __rsub__(self, other: ArrayLike) -> "Ball":
        return -self + other

    def __mul__(self, other: "Ball | ArrayLike") -> "Ball":
        other = Ball.of(other)
        spread = np.abs(self.mid) * other.rad + self.rad * (np.abs(other.mid) + other.rad)
        return _rounded(self.mid * other.mid, spread, 1)

    __radd__ = __add__
    __rmul__ = __mul__

    def __matmul__(self, other: "Ball | ArrayLike") -> "Ball":
        other = Ball.of(other)
        size, terms = np.abs(self.mid), self.mid.shape[-1]
        rounding = (terms + 2) * (_EPS * (size @ np.abs(other.mid)) + _TINY)
        spread = size @ other.rad + self.rad @ (np.abs(other.mid) + other.rad) + rounding
        return Ball(self.mid @ other.mid, spread * (1 + (terms + 8) * _EPS))

    def __rmatmul__(self, other: ArrayLike) -> "Ball":
        return Ball.of(other) @ self

    def total(self, axis: int | tuple[int, ...] = (-2, -1)) -> "Ball":
        """Sums over axes, by default of all entries of matrices (..., n, k)."""
        terms = int(np.prod([self.mid.shape[k] for k in np.atleast_1d(axis)]))
        added = self.rad.sum(axis=axis) + terms * _EPS * np.abs(self.mid).sum(axis=axis)
        return Ball(np.asarray(self.mid.sum(axis=axis)), added * (1 + (terms + 2) * _EPS))

    def ravel(self) -> "Ball":
        """All entries in a row."""
        return Ball(self.mid.ravel(), self.rad.ravel())

    def inverse(self) -> "Ball":
        """One over every entry; infinite where that may be zero."""
        least = np.abs(self.mid) - self.rad
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.where(least > 0, self.rad / np.abs(self.mid) / least, np.inf)
            return _rounded(1 / self.mid, spread, 1)

    def largest(self) -> FloatArray:
        """Bounds on absolute values of the entries."""
        return np.asarray((np.abs(self.mid) + self.rad) * (1 + 2 * _EPS), np.float64)

    def error_of(self, computed: ArrayLike) -> FloatArray:
        """Bounds on what the entries of a computed array may differ from those of any member."""
        return (Ball.of(computed) - self).largest()


def _rounded(mid: FloatArray, spread: FloatArray, operations: int) -> Ball:
    """A ball with the rounding of so many operations that made the midpoint added."""
    rounding = operations * (_EPS * np.abs(mid) + _TINY)
    return Ball(np.asarray(mid), np.asarray((spread + rounding) * (1 + 8 * _EPS)))


def norm(entries: FloatArray) -> float:
    """Upper bound on the Euclidean norm of entries that are bounded by these."""
    largest = float(np.max(entries, initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.linalg.norm(entries / largest)) * (1 + (entries.size + 8) * _EPS)


def positive_definite(matrix: FloatArray) -> bool:
    """Whether a symmetric matrix (n, n) is proven to be positive definite.

    That is so if Cholesky's method ends on it, scaled to a diagonal of ones and less what covers
    its rounding. (Rump 2006, Theorem 2.3)
    """
    n, diagonal = matrix.shape[0], np.diagonal(matrix)
    if not (np.isfinite(matrix).all() and (diagonal > 0).all()):
        return False
    scale = np.exp2(-np.round(np.log2(diagonal) / 2))
    scaled = scale[:, None] * matrix * scale
    shift = (n + 3) * _EPS * 2 * float(np.trace(scaled))
    _, info = lapack.dpotrf(scaled - shift * np.eye(n), lower=1)
    return bool(info == 0)
