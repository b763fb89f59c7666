"""Balls hold every result of their members; without rounding they would not."""

from fractions import Fraction

import numpy as np
import pytest

from pgbench.exact.linear_quadratic.balls import Ball, positive_definite

fractions = np.vectorize(Fraction, otypes=[object])


def inside(ball, exact):
    """Whether a ball holds a matrix of fractions."""
    apart = np.abs(fractions(ball.mid) - exact)
    return bool((apart <= fractions(ball.rad)).all())


@pytest.mark.parametrize("size", [1.0, 1e-160, 1e150])
def test_balls_hold_what_is_computed_from_their_members(size):
    """Members at the edge of two balls, through every operation, in rational arithmetic."""
    rng = np.random.default_rng(7)
    shape = 4, 4
    x, y = (Ball(*(size * rng.standard_normal((2, *shape)) * [[[1]], [[1e-3]]])) for _ in range(2))
    x, y = (Ball(b.mid, np.abs(b.rad)) for b in (x, y))
    u, v = (
        fractions(b.mid) + fractions(b.rad) * np.where(rng.random(shape) < 0.5, 1, -1)
        for b in (x, y)
    )
    assert inside(x + y, u + v)
    assert inside(x - y, u - v)
    assert inside(1.0 - x, 1 - u)
    assert inside(x * y, u * v)
    assert inside(x @ y, u @ v)
    assert inside(x.T, u.T)
    assert inside(x.total(), u.sum())
    assert inside(x.total(axis=0), u.sum(axis=0))
    i = np.unravel_index(np.abs(x.mid).argmax(), shape)
    assert inside(Ball(x.mid[i], x.rad[i]).inverse(), 1 / u[i])


def test_balls_without_rounding_would_not_hold_them():
    x = Ball.of(np.full((1, 3), 0.1))
    product = x @ np.full((3, 1), 0.1)
    exact = fractions(x.mid) @ fractions(np.full((3, 1), 0.1))
    assert inside(product, exact)
    assert not inside(Ball(product.mid, np.zeros((1, 1))), exact)


def test_what_is_barely_indefinite_is_not_called_positive_definite():
    assert positive_definite(np.diag([1e-30, 1.0, 1e30]))
    assert not positive_definite(np.array([[1.0, 1.0], [1.0, 1.0]]))
    assert not positive_definite(np.array([[1.0, 1.0 + 1e-15], [1.0 + 1e-15, 1.0]]))
    assert not positive_definite(np.diag([1.0, 0.0]))
    assert not positive_definite(np.diag([1.0, np.nan]))
