"""A regular grid over a box of states, and the weights with which a state lies between its points.

A cell of a grid in k dimensions is cut into the k! simplices in which the coordinates, as fractions
f of the cell, have one order (Kuhn's triangulation: Davies 1997; Munos & Moore 2002).
With f₍₁₎ ≥ ... ≥ f₍ₖ₎ a state is the mean of the k + 1 corners of its simplex,

    x = Σ_j w_j x_j        w_0 = 1 - f₍₁₎,  w_j = f₍ⱼ₎ - f₍ⱼ₊₁₎,  w_k = f₍ₖ₎

where x_0 is the lowest corner of the cell and x_j lies one point further than x_{j-1} along the
coordinate of f₍ⱼ₎. Multilinear interpolation needs all 2ᵏ corners of the cell. Each coordinate by
itself lies at its upper point with probability f under both, so means and variances are the same;
only that coordinates are independent there, and here go up together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pgbench.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Axis:
    """One coordinate: from ``low`` to ``high``, or an angle around the circle from -π to π.

    Points of the circle are multiples of 2π/n, zero among them.
    """

    low: float = -np.pi
    high: float = np.pi
    angle: bool = False

    def points(self, n: int) -> FloatArray:
        """Where the n points lie, (n,), in order."""
        if self.angle:
            return (np.arange(n, dtype=np.float64) - n // 2) * (2 * np.pi / n)
        return np.linspace(self.low, self.high, n, dtype=np.float64)

    def numbers(self, x: FloatArray, n: int) -> FloatArray:
        """Values x in spacings from the first of n points; clipped to the ends, angles are not."""
        if self.angle:
            return x * (n / (2 * np.pi)) + n // 2
        place = (x - self.low) * ((n - 1) / (self.high - self.low))
        return np.clip(place, 0.0, n - 1.0)


@dataclass(frozen=True)
class Grid:
    """``n`` points along each of k axes; the last coordinate changes fastest."""

    axes: tuple[Axis, ...]
    n: int

    def points(self) -> FloatArray:
        """Where the points lie, (k, nᵏ)."""
        lines = [axis.points(self.n) for axis in self.axes]
        return np.stack([x.ravel() for x in np.meshgrid(*lines, indexing="ij")])

    def between(self, states: FloatArray) -> tuple[IntArray, FloatArray]:
        """Between which points states (k, m) lie: numbers and weights of points, (m, k + 1) each.

        Weights are not negative and sum to 1. Their mean of the points is the state, of which
        coordinates outside the box are clipped; of angles that is so up to whole turns.
        """
        n, k = self.n, len(self.axes)
        place = np.stack([a.numbers(x, n) for a, x in zip(self.axes, states, strict=True)], axis=1)
        lowest = np.floor(place).astype(np.int64)
        for j, axis in enumerate(self.axes):
            if not axis.angle:
                np.minimum(lowest[:, j], n - 2, out=lowest[:, j])
        fraction = place - lowest
        lowest %= n
        strides = n ** np.arange(k - 1, -1, -1)
        # Around the circle the last point is followed by the first.
        ahead = np.where(lowest == n - 1, 1 - n, 1) * strides
        order = np.argsort(-fraction, axis=1, kind="stable")
        point = np.empty((len(place), k + 1), np.int64)
        point[:, 0] = lowest @ strides
        point[:, 1:] = np.take_along_axis(ahead, order, axis=1)
        steps = np.take_along_axis(fraction, order, axis=1)
        weight = -np.diff(steps, axis=1, prepend=1.0, append=0.0)
        return np.cumsum(point, axis=1), weight

    def spread(self, box: Sequence[tuple[float, float]]) -> FloatArray:
        """The uniform distribution over a box as weights of the points, (nᵏ,).

        The exact integral of multilinear weights, a product over coordinates; its mean is that of
        the box. A side without length holds one value.
        """
        weights = np.ones(1)
        for axis, (low, high) in zip(self.axes, box, strict=True):
            own = _spread(axis, self.n, low, high)
            weights = (weights[:, None] * own).ravel()
        return weights


def _spread(axis: Axis, n: int, low: float, high: float) -> FloatArray:
    """Mean weights of n points over values from low to high, (n,)."""
    ends = axis.numbers(np.array([low, high]), n)
    turns = np.array([[-1], [0], [1]]) * n if axis.angle else np.zeros((1, 1))
    below, above = ends[:, None, None] - np.arange(n) - turns
    if low == high:
        return np.maximum(1 - np.abs(below), 0.0).sum(axis=0)
    return (_hat_integral(above) - _hat_integral(below)).sum(axis=0) / (ends[1] - ends[0])


def _hat_integral(t: FloatArray) -> FloatArray:
    """∫ max(1 - |s|, 0) ds from -1 to t."""
    t = np.clip(t, -1.0, 1.0)
    return np.where(t < 0, (1 + t) ** 2 / 2, 1 - (1 - t) ** 2 / 2)
