"""Heavy tails: shapes of lognormal samples, and the least share of a mean that a sample holds."""

import numpy as np
import pytest
from scipy import stats

from pgbench.statistics.tails import LEVEL, LIGHT, least_share, tail_shape


def lognormal(shape, size, seed=0):
    """Numbers of mean 1."""
    z = np.random.default_rng(seed).standard_normal(size)
    return np.exp(shape * z - shape**2 / 2)


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 3.0])
def test_shape_of_a_lognormal_sample(shape):
    """About a standard error σ/√k above σ, k the fewest numbers fitted, and seldom below."""
    found = np.array([tail_shape(row) for row in lognormal(shape, (200, 1000))])
    assert shape < np.median(found) < shape * (1 + 2 / np.sqrt(100))
    assert np.mean(found < shape) < 0.2
    large = tail_shape(lognormal(shape, 10**6))
    assert large == pytest.approx(shape, rel=0.01)


def test_shape_does_not_depend_on_the_unit():
    x = lognormal(2.0, 500)
    assert tail_shape(1e-9 * x) == pytest.approx(tail_shape(x), rel=1e-10)


def test_tails_of_squares_of_normal_numbers_are_light():
    x = np.random.default_rng(1).standard_normal((100, 1000, 3)) ** 2
    assert max(tail_shape(row) for row in x.sum(axis=2)) < LIGHT
    assert least_share(LIGHT, 1000) == 1
    assert np.median([tail_shape(row) for row in lognormal(1.2, (50, 1000))]) > LIGHT


def test_rare_events_have_the_heaviest_tails():
    for x in (np.zeros(1000), np.where(np.arange(1000) < 20, 1.0, 0.0)):
        assert least_share(tail_shape(x), 1000) == (0 if x.any() else 1)


@pytest.mark.parametrize("R", [50, 200, 1000])
@pytest.mark.parametrize("shape", [1.2, 2.0, 3.0])
def test_least_share_is_the_quantile_of_lognormal_means(R, shape):
    """Of 20 000 means, known to about 5 % themselves; bound: 25 %.

    A normal approximation with the law's own variance fails it where tails are heavy.
    """
    means = lognormal(shape, (20_000, R), seed=R).mean(axis=1)
    expected = pytest.approx(np.quantile(means, LEVEL), rel=0.25)
    assert least_share(shape, R) == expected
    if shape >= 2:
        assert 1 - stats.norm.isf(LEVEL) * np.sqrt(np.expm1(shape**2) / R) != expected


def test_least_share_grows_with_the_sample_and_falls_with_the_shape():
    shares = np.array([[least_share(s, R) for s in (1.1, 2, 3, 4, 5)] for R in (10, 10**3, 10**6)])
    assert (np.diff(shares, axis=0) > 0).all()
    assert (np.diff(shares, axis=1) < 0).all()
    assert ((shares > 0) & (shares < 1)).all()
