"""The variance with something added at every state, against the list of all trajectories."""

import numpy as np
import pytest

from pgbench.exact import TooLarge
from pgbench.exact.finite import stepwise
from pgbench.exact.finite.scores import state_gradients
from pgbench.exact.finite.stepwise import stepwise_variance
from pgbench.exact.table_moments import Size, table_moments
from pgbench.kernels import reference
from pgbench.rollout.enumeration import trajectories
from tests.support.numbers import close
from tests.support.truths import tiny_truth
from tests.support.variants import random_tables


def listed_variance(truth, tables, own, steps):
    """Σ_t D_t φ(s_t) added to each trajectory's weights."""
    phi = state_gradients(truth.policy, truth.theta, own)
    flat = [t.ravel() for t in (tables.sigma, tables.kappa, tables.beta, tables.delta)]
    chances, found = [], []
    for p, pairs, slots in trajectories(tables.process, steps):
        weights = reference.weights(*flat, False, pairs, slots).reshape(truth.pi.shape)
        carried = np.cumprod(np.append(1.0, tables.delta.ravel()[pairs]))[:-1]
        states = np.array(pairs) // truth.mdp.n_actions
        added = carried @ phi[states]
        chances.append(p)
        found.append(truth.policy.pull_back(truth.theta, weights) + added)
    mean = np.array(chances) @ np.array(found)
    return np.array(chances) @ (np.array(found) - mean) ** 2


def test_the_variance_is_that_of_all_trajectories(truth, horizon):
    tables = random_tables(truth, total=False)
    own = np.random.default_rng(3).standard_normal(truth.pi.shape)
    expected = listed_variance(truth, tables, own, horizon)
    close(stepwise_variance(truth, tables, own, horizon), expected, 1e-11)
    other = listed_variance(truth, tables, 1.1 * own, horizon)
    assert np.abs(other - expected).max() > 1e-3 * np.abs(expected).max()


def test_where_nothing_is_added_it_is_that_of_the_tables(truth):
    tables = random_tables(truth, total=False)
    nothing = np.zeros(truth.pi.shape)
    expected = table_moments(truth, tables, 6).variance
    close(stepwise_variance(truth, tables, nothing, 6), expected, 1e-10)


def test_what_is_too_large_is_refused_before_it_is_begun(monkeypatch):
    truth = tiny_truth("dense", "softmax")
    monkeypatch.setattr(stepwise, "LIMIT", Size(2**30, 1e3))
    with pytest.raises(TooLarge, match="operations, more than"):
        stepwise_variance(truth, random_tables(truth, False), np.zeros((3, 2)), 10)
