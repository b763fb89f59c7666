"""Advantages of whole trajectories: returns (..., P, G) relative to those of group or batch."""

from math import prod

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.by_trajectory import others, ratio

GROUP, BATCH = (-1,), (-2, -1)
"""The axes of a group, and of all of a batch."""

FEW = 2**11
"""Up to so many numbers NumPy is quick enough, with the same results, and nothing is compiled."""


def centred(x: FloatArray, axes: tuple[int, ...] = GROUP) -> FloatArray:
    """x less its mean; zero where that is no more than rounding, which no ε may hide."""
    return _centred(_rows(x, axes)).reshape(x.shape)


def _centred(rows: FloatArray) -> FloatArray:
    if rows.size > FEW:
        from pgbench.kernels.advantages import centre

        out = np.empty(rows.shape)
        centre(rows, out)
        return out
    mean = _total(rows) / rows.shape[1]
    mean += _total(rows - mean) / rows.shape[1]  # what the sum has lost in rounding
    return beyond_rounding(rows - mean, rows, GROUP)


def _total(rows: FloatArray) -> FloatArray:
    """Sums of rows (R, 1), number after number as compiled code adds them."""
    return np.cumsum(rows, axis=1)[:, -1:]


def _rows(x: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """x with a row for each group, or for each batch."""
    if axes not in (GROUP, BATCH):
        raise ValueError(f"axes is {axes}, must be {GROUP} of a group or {BATCH} of a batch")
    size = prod(x.shape[axis] for axis in axes)
    return np.ascontiguousarray(x, np.float64).reshape(-1, size)


def beyond_rounding(deviation: FloatArray, x: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """What x deviates by along axes; zero where that is no more than rounding of x."""
    hidden = 4 * np.finfo(np.float64).eps * np.abs(x).max(axis=axes, keepdims=True)
    return np.where(np.abs(deviation) > hidden, deviation, 0.0)


def leave_one_out(x: FloatArray) -> FloatArray:
    """x less the mean of the others of its group."""
    G = x.shape[-1]
    rest = others(x.reshape(-1, G)).reshape(x.shape)
    return np.asarray(x - rest / (G - 1), np.float64)


def deviation(
    advantage: FloatArray, axes: tuple[int, ...] = GROUP, correction: int = 0
) -> FloatArray:
    """Standard deviation of what has mean zero along the axes, which are kept."""
    n = prod(advantage.shape[axis] for axis in axes)
    square = (advantage**2).sum(axis=axes, keepdims=True)
    return np.asarray(np.sqrt(square / max(n - correction, 1)), np.float64)


def standardised(
    x: FloatArray, eps: float, axes: tuple[int, ...] = GROUP, correction: int = 0
) -> FloatArray:
    """x less its mean, over its standard deviation plus ε; zero where nothing differs."""
    rows = _rows(x, axes)
    if rows.size > FEW:
        from pgbench.kernels.advantages import standardise

        out = np.empty(rows.shape)
        standardise(rows, float(eps), correction, out)
        return out.reshape(x.shape)
    advantage = _centred(rows)
    square = _total(advantage**2) / max(rows.shape[1] - correction, 1)
    return ratio(advantage, np.sqrt(square) + eps).reshape(x.shape)
