"""Running moments against numpy, and against themselves cut into other calls."""

import numpy as np
import pytest

from pgbench.kernels.running import add_replicates, empty_moments
from pgbench.statistics import Sample, n_blocks


def accumulate(gradients, steps, truth, cuts=()):
    """Running moments of all replicates, added in the given pieces; their mean is 2g."""
    R, d = gradients.shape
    moments = empty_moments(d, R, n_blocks(R))
    for first, last in zip([0, *cuts], [*cuts, R], strict=True):
        add_replicates(moments, gradients[first:last], steps[first:last], truth, 2 * truth, first)
    return moments


def replicates(R, d=5, seed=0):
    rng = np.random.default_rng(seed)
    gradients = rng.standard_normal((R, d)) * np.logspace(-3, 3, d) + 1
    gradients[rng.random((R, d)) < 0.3] = 0.0
    return gradients, rng.integers(1, 100, R), rng.standard_normal(d)


@pytest.mark.parametrize("R", [2, 31, 32, 33, 100, 1000])
def test_moments_are_those_of_numpy(R):
    gradients, steps, truth = replicates(R)
    moments = accumulate(gradients, steps, truth)
    np.testing.assert_allclose(moments.mean, gradients.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(moments.m2, R * gradients.var(axis=0), rtol=1e-11)


@pytest.mark.parametrize("R", [2, 31, 33, 100, 1000])
def test_numbers_per_replicate_and_block_sums_are_those_of_numpy(R):
    gradients, steps, truth = replicates(R)
    moments = accumulate(gradients, steps, truth)
    K = n_blocks(R)
    block = np.arange(R) * K // R
    assert (np.diff(block) <= 1).all()
    member = np.eye(K)[block].T
    np.testing.assert_allclose(moments.block_error, member @ (gradients - truth), rtol=1e-12)
    norms = np.linalg.norm(gradients, axis=1) * np.linalg.norm(truth)
    product = gradients @ truth
    columns = [
        ((gradients - truth) ** 2).sum(axis=1),
        ((gradients - 2 * truth) ** 2).sum(axis=1),
        np.divide(product, norms, out=np.zeros(R), where=norms > 0),
        product > 0,
        steps,
    ]
    np.testing.assert_allclose(moments.scalars, np.stack(columns, axis=1), rtol=1e-11)
    sample = Sample.from_running(moments.scalars, moments.m2, moments.block_error, truth, 2 * truth)
    np.testing.assert_array_equal(sample.steps, steps)
    assert sample.variance == pytest.approx(gradients.var(axis=0, ddof=1).sum(), rel=1e-11)
    assert sample.truth_squared == pytest.approx(sample.exact_bias_squared) == truth @ truth
    np.testing.assert_allclose(
        sample.gram, moments.block_error @ moments.block_error.T, rtol=1e-12, atol=1e-9
    )


@pytest.mark.parametrize("cuts", [(1,), (16, 32, 48), (50, 51, 99), tuple(range(1, 100))])
def test_cuts_do_not_change_a_byte(cuts):
    gradients, steps, truth = replicates(100)
    whole = accumulate(gradients, steps, truth)
    pieces = accumulate(gradients, steps, truth, cuts)
    for a, b in zip(whole, pieces, strict=True):
        assert a.tobytes() == b.tobytes()


def test_mean_far_from_zero_keeps_the_variance():
    """Welford's recursion: a sum of squares would lose every digit of this variance."""
    gradients = 1e9 + np.random.default_rng(1).standard_normal((500, 1))
    moments = accumulate(gradients, np.ones(500, np.int64), np.zeros(1))
    np.testing.assert_allclose(moments.m2, 500 * gradients.var(axis=0), rtol=1e-6)


def test_zero_gradients_have_no_direction():
    moments = accumulate(np.zeros((40, 3)), np.ones(40, np.int64), np.ones(3))
    np.testing.assert_array_equal(moments.scalars[:, 2:4], 0)
