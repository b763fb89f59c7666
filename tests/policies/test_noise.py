"""Noise of computed functions, against noise that is known."""

from math import fsum

import numpy as np
import pytest

from pgbench.policies.noise import POINTS, computational_noise, nearby
from pgbench.rounding import UNIT


def test_points_differ_in_their_last_digits_alone():
    x = np.random.default_rng(0).standard_normal(50)
    points = np.stack([*nearby(x)])
    assert points.shape == (POINTS, 50)
    np.testing.assert_array_equal(points[POINTS // 2], x)
    apart = np.abs(np.diff(points, axis=0)) / np.abs(x)
    assert (apart > 16 * UNIT).all()
    assert (apart < 64 * UNIT).all()


def test_what_is_linear_has_no_noise():
    line = np.arange(POINTS)[:, None] * np.array([1.0, -3.0, 0.0]) + 5
    np.testing.assert_array_equal(computational_noise(line), 0)


@pytest.mark.parametrize("size", [1e-8, 3.0])
def test_noise_of_known_size_is_found(size):
    """Its square has mean σ²; the mean over 10⁴ functions errs by about 1 %."""
    noise = size * np.random.default_rng(0).standard_normal((POINTS, 10_000))
    found = computational_noise(noise + np.arange(POINTS)[:, None])
    np.testing.assert_allclose(np.sqrt(np.mean(found**2)), size, rtol=0.03)


def test_rounding_of_sums_is_noise():
    """A sum of 100 numbers that is added up one after another, against one that rounds once."""
    x = np.random.default_rng(0).standard_normal((100, 300))
    found = computational_noise(np.stack([own.cumsum(axis=0)[-1] for own in nearby(x)]))
    errors = np.abs(x.cumsum(axis=0)[-1] - [fsum(column) for column in x.T])
    assert (errors <= 8 * found).all()
    assert np.median(errors) < np.median(found) < 10 * np.median(errors)
