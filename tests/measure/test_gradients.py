"""Sampled gradients: the same bytes however they are computed, and the exact moments."""

from dataclasses import replace

import numba
import numpy as np
import pytest

from pgbench.estimators import Tables
from pgbench.exact.table_moments import table_moments
from pgbench.kernels.partition import use_threads
from pgbench.measure.gradients import gradient_blocks
from pgbench.rollout.engines import MEMORY_BYTES, bytes_per_replicate
from pgbench.rollout.simulator import Draws
from tests.support.truths import TWO_KINDS, WEIGHTS_OF
from tests.support.variants import on_policy, on_tiny, table_variants


@pytest.fixture
def threads():
    """Set the number of threads for a test."""
    before = use_threads(None)
    yield use_threads
    use_threads(before)


def sample(truth, tables, memory_bytes=MEMORY_BYTES, **changes):
    """Gradients (replicates, E, d) and steps (replicates,)."""
    draws = replace(Draws(horizon=10, batch_size=3, replicates=100, seed=5, stream=6), **changes)
    blocks = list(gradient_blocks(truth, tables, draws, memory_bytes))
    gradients = [np.stack(block.gradients, axis=1) for block in blocks]
    return np.concatenate(gradients), np.concatenate([block.steps for block in blocks])


def same_bytes(one, other):
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@WEIGHTS_OF
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_threads_do_not_change_a_byte(truth, threads, batch_size):
    results = []
    for n in (1, 2):
        assert threads(n) == n
        results.append(sample(truth, on_policy(truth), batch_size=batch_size))
    same_bytes(*results)


@WEIGHTS_OF
@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_memory_does_not_change_a_byte(truth, batch_size):
    tables = on_policy(truth)
    draws = Draws(horizon=10, batch_size=batch_size, replicates=100, seed=5, stream=6)
    one = bytes_per_replicate(truth.process, draws, len(tables))
    whole = sample(truth, tables, batch_size=batch_size)
    for memory_bytes in (1, 16 * one, 47 * one, 48 * one):
        same_bytes(whole, sample(truth, tables, batch_size=batch_size, memory_bytes=memory_bytes))


@WEIGHTS_OF
@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_other_estimators_do_not_change_a_byte(truth, batch_size):
    tables = on_policy(truth)
    together, steps = sample(truth, tables, batch_size=batch_size)
    for e, t in enumerate(tables):
        alone, alone_steps = sample(truth, [t], batch_size=batch_size)
        same_bytes((together[:, e].copy(), steps), (alone[:, 0].copy(), alone_steps))


@WEIGHTS_OF
def test_more_replicates_begin_with_the_same(truth):
    few, more = (sample(truth, on_policy(truth), replicates=R)[0] for R in (48, 96))
    same_bytes([few], [more[:48]])


@WEIGHTS_OF
def test_blocks_are_numbered_and_complete(truth):
    draws = Draws(horizon=3, batch_size=1, replicates=37, seed=0, stream=0)
    blocks = list(gradient_blocks(truth, on_policy(truth), draws))
    assert [block.first for block in blocks] == [0, 16, 32]
    assert [block.steps.size for block in blocks] == [16, 16, 5]


@WEIGHTS_OF
def test_names_of_the_stream_are_kept(truth):
    """The same names give the same bytes, any other name other numbers."""
    tables = on_policy(truth)
    first = sample(truth, tables)
    same_bytes(first, sample(truth, tables))
    for change in ({"seed": 6}, {"stream": 7}, {"batch_size": 4}):
        assert not np.array_equal(first[0], sample(truth, tables, **change)[0])


def largest_z(truth, tables, expected, horizon, batch_size, seed):
    """Mean and variance of 4000 estimates less the exact ones, in standard errors."""
    R = 4000
    gradients, _ = sample(
        truth, [tables], horizon=horizon, batch_size=batch_size, replicates=R, seed=seed
    )
    deviation = gradients[:, 0] - gradients[:, 0].mean(axis=0)
    variance = expected.variance / batch_size
    live = variance > 1e-12 * variance.max()
    z_mean = (gradients[:, 0].mean(axis=0) - expected.mean) / np.sqrt(
        np.where(live, variance, 1) / R
    )
    spread = np.sqrt(((deviation**4).mean(axis=0) - (deviation**2).mean(axis=0) ** 2) / R)
    z_variance = ((deviation**2).sum(axis=0) / (R - 1) - variance) / np.where(live, spread, 1)
    return np.abs(z_mean[live]).max(), np.abs(z_variance[live]).max()


@on_tiny(table_variants(), kind=TWO_KINDS, batch_size=(1, 7))
def test_sampled_moments_are_the_exact_ones(truth, variant, batch_size):
    """Bounds for the largest of up to 8 coordinates: 5 standard errors."""
    tables = variant.tables(truth, 8)
    expected = table_moments(truth, tables, tables.process.steps(8))
    z_mean, z_variance = largest_z(truth, tables, expected, 8, batch_size, seed=11)
    assert z_mean < 5
    assert z_variance < 5


def test_sampled_moments_of_every_policy_are_the_exact_ones(truth):
    """A policy enters by π and its pull-back alone, so one estimator of each shape will do."""
    mdp = truth.mdp
    for total in (False, True):
        tables = Tables.build(
            truth.process, sigma=mdp.reward, kappa=mdp.gamma, delta=mdp.gamma, total=total
        )
        expected = table_moments(truth, tables, 8)
        assert max(largest_z(truth, tables, expected, 8, batch_size=7, seed=13)) < 5


@WEIGHTS_OF
@pytest.mark.parametrize("problem", ["dense", "ending", "coins"])
def test_another_estimators_moments_fail_the_same_check(truth):
    """The mean of the estimator without γ^t, and the variance without its baseline."""
    mdp, gamma = truth.mdp, truth.mdp.gamma
    biased = Tables.build(truth.process, sigma=mdp.reward, kappa=gamma, delta=1.0)
    plain = Tables.build(truth.process, sigma=mdp.reward, kappa=gamma, delta=gamma)
    shifted = Tables.build(truth.process, sigma=mdp.reward, kappa=gamma, beta=3.0, delta=gamma)
    wrong = table_moments(truth, biased, 8)
    assert largest_z(truth, plain, wrong, 8, batch_size=20, seed=11)[0] > 8
    other = table_moments(truth, shifted, 8)
    assert largest_z(truth, plain, other, 8, batch_size=20, seed=11)[1] > 8


@WEIGHTS_OF
def test_steps_are_counted(truth):
    """At most H·n; exactly that where nothing ends."""
    _, steps = sample(truth, on_policy(truth)[:1], horizon=10, batch_size=3)
    if truth.mdp.terminal.any():
        assert 3 <= steps.min() < steps.max() <= 30
    else:
        assert (steps == 30).all()
