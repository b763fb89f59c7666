"""Polynomials in a few variables, and expectations of them after an affine step with noise.

A polynomial is a vector of coefficients over all monomials up to a total degree. Expectations over
Gaussian noise are Gauss-Hermite quadrature, which is exact for polynomials of the degrees here.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import comb

import numpy as np

from pgbench.arrays import FloatArray, IntArray

NODES = 7
"""Quadrature nodes per noise: exact up to degree 13 in each; twelve occur."""


@dataclass(frozen=True)
class Polynomials:
    """Polynomials in n variables of total degree at most ``degree``, (..., size) coefficients."""

    n: int
    degree: int

    @cached_property
    def exponents(self) -> IntArray:
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
    def _raised(self) -> IntArray:
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

    def multiply(self, f: FloatArray, g: FloatArray) -> FloatArray:
        """Products (q, size) of polynomials (q, size).

        Terms of too high a degree are lost: callers choose ``degree`` so that there are none.
        """
        out = np.zeros_like(f)
        for i in np.flatnonzero(f.any(axis=0)):
            for j in np.flatnonzero(g.any(axis=0)):
                place = self._products[i, j]
                if place < self.size:
                    out[:, place] += f[:, i] * g[:, j]
        return out

    @cached_property
    def _products(self) -> IntArray:
        """Place of the product of two monomials, (size, size); ``size`` if of too high a degree."""
        exponents = self.exponents
        sums = (exponents[:, None] + exponents[None]).reshape(-1, self.n)
        places = [self._places.get(tuple(e), self.size) for e in sums.tolist()]
        return np.array(places, np.int64).reshape(self.size, self.size)

    def operator(self, factor: FloatArray, maps: FloatArray) -> FloatArray:
        """Σ_q of factor_q (q, size) times what maps_q (q, size, size) make of f: (size, size)."""
        out = np.zeros((self.size, self.size))
        used = np.flatnonzero(factor.any(axis=0))
        moved = np.tensordot(factor[:, used].T, maps, axes=1)
        for k, own in zip(used, moved, strict=True):
            fits = self._products[k] < self.size
            out[self._products[k][fits]] += own[fits]
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
