"""Quadratic functions of state and action: what tables are to finite problems.

A form is a symmetric matrix M; its value is zᵀMz with z = (x, 1, u) the state, a one, and the
action. Functions of the state alone have zeros in the rows of the action.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pgbench.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class Quadratic:
    """zᵀMz of z = (x, 1, u).

    Attributes
    ----------
    matrix
        (..., n+1+m, n+1+m) float64, symmetric; leading axes are several forms at once.
    n
        State dimension: place of the one among z.
    """

    matrix: FloatArray
    n: int

    # Arrays leave sums and products with a form to the form.
    __array_ufunc__ = None

    @classmethod
    def of_state(cls, matrix: FloatArray, n: int, m: int) -> "Quadratic":
        """x̃ᵀMx̃ of x̃ = (x, 1), with M (n+1, n+1), as a function of z."""
        whole = np.zeros((*matrix.shape[:-2], n + 1 + m, n + 1 + m))
        whole[..., : n + 1, : n + 1] = matrix
        return cls(whole, n)

    @classmethod
    def linear(cls, row: FloatArray, n: int) -> "Quadratic":
        """row·z of row (n+1+m,)."""
        matrix = np.zeros((row.size, row.size))
        matrix[n] += row / 2
        matrix[:, n] += row / 2
        return cls(matrix, n)

    @cached_property
    def state(self) -> FloatArray:
        """The block of x̃ = (x, 1), shape (n+1, n+1)."""
        return self.matrix[..., : self.n + 1, : self.n + 1]

    @cached_property
    def cross(self) -> FloatArray:
        """The block of u and x̃, shape (m, n+1)."""
        return self.matrix[..., self.n + 1 :, : self.n + 1]

    @cached_property
    def action(self) -> FloatArray:
        """The block of u, shape (m, m)."""
        return self.matrix[..., self.n + 1 :, self.n + 1 :]

    def action_slope(self, gain: FloatArray) -> FloatArray:
        """The slope along u at u = K̃x̃, as a matrix (..., m, n+1) that x̃ is multiplied by."""
        return np.asarray(2 * (self.cross + self.action @ gain), np.float64)

    @property
    def constant(self) -> float:
        """Value at x = 0, u = 0."""
        return float(self.matrix[self.n, self.n])

    def __call__(self, z: FloatArray) -> FloatArray:
        """Values (...) at z (..., n+1+m)."""
        return np.asarray(((z @ self.matrix) * z).sum(axis=-1), np.float64)

    def __add__(self, other: "Quadratic | float | FloatArray") -> "Quadratic":
        if isinstance(other, Quadratic):
            return Quadratic(self.matrix + other.matrix, self.n)
        more = np.zeros((*np.shape(other), *self.matrix.shape[-2:]))
        more[..., self.n, self.n] = other
        return Quadratic(self.matrix + more, self.n)

    __radd__ = __add__

    def __mul__(self, factor: float) -> "Quadratic":
        return Quadratic(self.matrix * factor, self.n)

    __rmul__ = __mul__

    def __neg__(self) -> "Quadratic":
        return self * -1.0

    def __sub__(self, other: "Quadratic | float | FloatArray") -> "Quadratic":
        return self + (-other)

    def __rsub__(self, other: float) -> "Quadratic":
        return -self + other


@dataclass(frozen=True, eq=False)
class Transition:
    """A function of a step: ``here`` at (x, u), and ``after``, of the state, at x'."""

    here: Quadratic
    after: Quadratic
