"""Numerical derivatives, rational arithmetic, and when numbers are close."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from pgbench.policies import Policy


def close(actual: Any, expected: Any, rtol: float = 1e-12) -> None:
    """Fail unless equal relative to the largest expected entry, which may be 0."""
    size = float(np.max(np.abs(expected), initial=0.0))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rtol * size)


def relative_gap(actual: Any, expected: Any) -> float:
    """Largest difference, relative to the largest expected entry; as it is where all are zero."""
    return float(np.abs(actual - expected).max() / (np.abs(expected).max() or 1.0))


def tangents(policy: Policy, theta: np.ndarray) -> tuple[np.ndarray, float]:
    """Tangent parts (d, d) of the unit vectors, and how far θ may go along each, both ways.

    That is 1, or on the simplex the least probability, which must not become negative.
    """
    units = np.eye(policy.n_parameters)
    directions = policy.tangent(units)
    return directions, 1.0 if np.array_equal(directions, units) else float(theta[theta > 0].min())


def differentiate(
    f: Callable[[np.ndarray], Any],
    x: np.ndarray,
    step: float = 2e-3,
    policy: Policy | None = None,
) -> np.ndarray:
    """∂f/∂x_k along the last axis, by central differences of fourth order in ``step``.

    With a policy whose θ is constrained, along the tangent part of each unit vector.
    """
    directions, reach = (np.eye(x.size), 1.0) if policy is None else tangents(policy, x)
    step *= reach
    columns = []
    for h in step * directions:
        near = np.asarray(f(x + h)) - np.asarray(f(x - h))
        far = np.asarray(f(x + 2 * h)) - np.asarray(f(x - 2 * h))
        columns.append((8 * near - far) / (12 * step))
    return np.stack(columns, axis=-1)


def rational_solve(matrix: Any, b: Any) -> list[Fraction]:
    """x with matrix·x = b by elimination in rational arithmetic, for an M-matrix of floats."""
    rows = [[*map(Fraction, row), Fraction(y)] for row, y in zip(matrix, b, strict=True)]
    for i, pivot in enumerate(rows):
        pivot[:] = [x / pivot[i] for x in pivot]
        for row in rows:
            if row is not pivot:
                row[:] = [x - row[i] * y for x, y in zip(row, pivot, strict=True)]
    return [row[-1] for row in rows]
