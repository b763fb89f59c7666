"""Weights of grid points: distributions whose mean is the state, on the fewest corners."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbench.problems.control.interpolation import Axis, Grid

BOX, CIRCLE = Axis(-1.5, 4.0), Axis(angle=True)
AXES = st.lists(st.sampled_from([BOX, Axis(0.0, 1e-3), CIRCLE]), min_size=1, max_size=4)


def states_in(axes, m, rng):
    """Uniform states (k, m) of the box; angles up to two turns away."""
    return np.stack(
        [
            rng.uniform(-5 * np.pi, 5 * np.pi, m) if a.angle else rng.uniform(a.low, a.high, m)
            for a in axes
        ]
    )


def around(axes, points, states):
    """Differences (k, ...) between points and states, of angles the short way."""
    differences = points - states
    for axis, d in zip(axes, differences, strict=True):
        if axis.angle:
            d[:] = (d + np.pi) % (2 * np.pi) - np.pi
    return differences


def spacings(axes, n):
    return np.array([np.diff(axis.points(n))[0] for axis in axes])


@given(axes=AXES, n=st.integers(3, 7), seed=st.integers(0, 2**32))
def test_the_mean_is_the_state(axes, n, seed):
    grid = Grid(tuple(axes), n)
    states = states_in(axes, 50, np.random.default_rng(seed))
    number, weight = grid.between(states)
    assert number.shape == weight.shape == (50, len(axes) + 1)
    assert weight.min() >= 0
    np.testing.assert_allclose(weight.sum(axis=1), 1, rtol=1e-14)
    # Scaled by the spacing, because rounding is of the size of coordinates.
    off = around(axes, grid.points()[:, number], states[:, :, None])
    off /= spacings(axes, n)[:, None, None]
    assert np.abs(off).max() <= 1 + 1e-12
    assert np.abs((off * weight).sum(axis=2)).max() < 1e-12


@given(axes=AXES, seed=st.integers(0, 2**32))
def test_each_coordinate_varies_as_under_multilinear_weights(axes, seed):
    """Between neighbours at distance h the variance is f(1-f)h², in each coordinate by itself."""
    grid, states = Grid(tuple(axes), 4), states_in(axes, 50, np.random.default_rng(seed))
    number, weight = grid.between(states)
    h = spacings(axes, 4)[:, None]
    off = around(axes, grid.points()[:, number], states[:, :, None])
    f = around(axes, states, np.array([[axis.points(4)[0]] for axis in axes])) / h % 1
    variance = (off**2 * weight).sum(axis=2) / h**2
    np.testing.assert_allclose(variance, f * (1 - f), atol=1e-11)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_grid_points_stand_for_themselves(n):
    grid = Grid((BOX, CIRCLE, BOX), n)
    number, weight = grid.between(grid.points())
    own = np.argwhere(weight > 1e-12)
    np.testing.assert_array_equal(own[:, 0], np.arange(n**3))
    np.testing.assert_array_equal(number[own[:, 0], own[:, 1]], np.arange(n**3))


def test_weights_of_a_state_by_hand():
    """Fractions .25 and .75 of the cell from (1, 2): up along the second axis first."""
    number, weight = Grid((Axis(0.0, 3.0), Axis(0.0, 3.0)), 4).between(np.array([[1.25], [2.75]]))
    np.testing.assert_array_equal(number, [[4 + 2, 4 + 3, 8 + 3]])
    np.testing.assert_array_equal(weight, [[0.25, 0.5, 0.25]])


def test_angles_close_the_circle():
    """Of four points -π, -π/2, 0, π/2 the last is followed by the first."""
    grid = Grid((CIRCLE,), 4)
    np.testing.assert_allclose(grid.points(), [[-np.pi, -np.pi / 2, 0, np.pi / 2]])
    number, weight = grid.between(np.array([[0.75 * np.pi, -1.25 * np.pi, 2.75 * np.pi]]))
    np.testing.assert_array_equal(number, [[3, 0]] * 3)
    np.testing.assert_allclose(weight, 0.5)


def test_coordinates_outside_are_clipped():
    grid = Grid((BOX, BOX), 5)
    beyond, on = np.array([[9.0, 0.3], [-7.0, 99.0]]), np.array([[4.0, 0.3], [-1.5, 4.0]])
    for found, expected in zip(grid.between(beyond), grid.between(on), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "sides",
    [
        [(-1.0, 3.9), (-0.4, 0.4)],
        [(0.2, 0.3), (2.0, 4.0)],
        [(-1.5, 4.0), (-np.pi, np.pi)],
    ],
    ids=["several cells", "part of a cell, over π", "everything"],
)
def test_a_box_is_spread_as_its_integral(sides):
    """Against means of the weights of each coordinate at many values."""
    grid = Grid((BOX, CIRCLE), 6)
    lines = []
    for axis, (low, high) in zip(grid.axes, sides, strict=True):
        x = low + (high - low) * (np.arange(200_000) + 0.5) / 200_000
        number, weight = Grid((axis,), 6).between(x[None])
        lines.append(np.bincount(number.ravel(), weight.ravel(), 6) / 200_000)
    expected = np.outer(*lines).ravel()
    np.testing.assert_allclose(grid.spread(sides), expected, atol=1e-9)


def test_a_box_keeps_its_mean():
    grid = Grid((BOX, BOX), 4)
    weights = grid.spread([(-1.2, 2.7), (0.5, 0.5)])
    np.testing.assert_allclose(grid.points() @ weights, [0.75, 0.5], rtol=1e-14)


def test_the_whole_circle_is_spread_evenly():
    np.testing.assert_allclose(Grid((CIRCLE,), 7).spread([(-np.pi, np.pi)]), 1 / 7, rtol=1e-14)
