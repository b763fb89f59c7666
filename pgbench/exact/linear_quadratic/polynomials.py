"""Polynomials in a few variables, and expectations of them after an affine step with noise.

A polynomial is a vector of coefficients over all monomials up to a total degree. Expectations over
Gaussian noise are Gauss-Hermite quadrature, which is exact for polynomials of the degrees here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import comb

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

NODES = 8
"""Quadrature nodes per noise: exact up to degree 15 in each."""


@dataclass(frozen=True)
class Polynomials:
    """Polynomials in n variables of total degree at most ``degree``, (..., size) coefficients."""

    n: int
    degree: int

    @cached_property
    def exponents(self) -> NDArray[np.int64]:
        """(size, n), by total degree, the constant first."""
        every = product(range(self.degree + 1), repeat=self.n)
        kept = [e for e in every if sum(e) <= self.degree]
        return np.array(sorted(kept, key=lambda e: (sum(e), e)), np.int64).reshape(-1, self.n)

    @cached_property
    def _places(self) -> dict[tuple[int, ...], int]:
        return {tuple(e): i for i, e in enumerate(self.exponents.tolist())}

    @property
    def size(self) -> int:
        """Number of monomials."""
        return comb(self.n + self.degree, self.n)

    @cached_property
    def _raised(self) -> NDArray[np.int64]:
        """Place of each monomial times variable i, (size, n); ``size`` if of too high a degree."""
        out = np.full((self.size, self.n), self.size)
        for k, e in enumerate(self.exponents.tolist()):
            for i in range(self.n):
                above = tuple(x + (j == i) for j, x in enumerate(e))
                out[k, i] = self._places.get(above, self.size)
        return out

    def quadratic(self, matrix: FloatArray) -> FloatArray:
        """x̃ᵀMx̃ of x̃ = (x, 1) from symmetric M (..., n+1, n+1)."""
        out = np.zeros((*matrix.shape[:-2], self.size))
        for i in range(self.n + 1):
            for j in range(self.n + 1):
                e = [0] * self.n
                for k in (i, j):
                    if k < self.n:
                        e[k] += 1
                out[..., self._places[tuple(e)]] += matrix[..., i, j]
        return out

    def linear(self, coefficients: FloatArray) -> FloatArray:
        """c·(x, 1) from c (..., n+1)."""
        matrix = np.zeros((*coefficients.shape, coefficients.shape[-1]))
        matrix[..., -1, :] = coefficients
        return self.quadratic(matrix)

    def times(self, f: FloatArray) -> FloatArray:
        """The matrix (..., size, size) that multiplies coefficients by f; higher degrees are lost.

        Callers choose ``degree`` so that whatever is lost is zero.
        """
        out = np.zeros((*f.shape[:-1], self.size, self.size))
        for column, e in enumerate(self.exponents.tolist()):
            for k, own in enumerate(self.exponents.tolist()):
                row = self._places.get(tuple(a + b for a, b in zip(e, own, strict=True)))
                if row is not None:
                    out[..., row, column] = f[..., k]
        return out

    def after(self, slope: FloatArray, offsets: FloatArray) -> FloatArray:
        """The matrices (q, size, size) that take f to f(Sx + b_q), for b (q, n).

        Column k holds the coefficients of the monomial k of Sx + b.
        """
        out = np.zeros((len(offsets), self.size, self.size))
        out[:, 0, 0] = 1.0
        for column, e in enumerate(self.exponents.tolist()):
            if sum(e) == 0:
                continue
            i = next(j for j, x in enumerate(e) if x)
            below = self._places[tuple(x - (j == i) for j, x in enumerate(e))]
            known = out[:, :, below]
            moved = offsets[:, i, None] * known
            for j in range(self.n):
                raised = self._raised[:, j]
                fits = raised < self.size
                moved[:, raised[fits]] += slope[i, j] * known[:, fits]
            out[:, :, column] = moved
        return out


def nodes(dimension: int) -> tuple[FloatArray, FloatArray]:
    """Nodes (q, dimension) and weights (q,) of the standard normal distribution."""
    x, w = np.polynomial.hermite_e.hermegauss(NODES)
    w = w / w.sum()
    if dimension == 0:
        return np.zeros((1, 0)), np.ones(1)
    grid = np.stack(np.meshgrid(*[x] * dimension, indexing="ij"), axis=-1)
    weights = np.ones(1)
    for _ in range(dimension):
        weights = np.multiply.outer(weights, w)
    return grid.reshape(-1, dimension), weights.ravel()


def mean(operators: Sequence[FloatArray], weights: FloatArray) -> FloatArray:
    """Σ_q w_q of products of matrices (q, ., .), in the order given."""
    result = operators[0]
    for operator in operators[1:]:
        result = result @ operator
    return np.tensordot(weights, result, axes=1)
