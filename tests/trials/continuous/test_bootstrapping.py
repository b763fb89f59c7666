"""Weights by a critic are those that theory knows, for critics for which it knows any."""

import numpy as np
import pytest

from pgbench.trials.continuous.bootstrapping import gae_weights
from pgbench.trials.continuous.cases import cases
from pgbench.trials.continuous.truth import ADVANTAGE, GAE, TO_GO

CASES = {case.name: case for case in cases()}
NAMES = pytest.mark.parametrize("name", CASES)


def constant(x):
    return np.full_like(x, 0.7)


@NAMES
@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_exact_values_give_advantages_whatever_lambda(name, lam):
    truth = CASES[name].truth
    found = gae_weights(truth, truth.values.v, lam)
    expected = np.broadcast_to(truth.weights(GAE), found.shape)
    inner = truth.grid.chances > 1e-12
    scale = np.abs(expected[:, inner]).max()
    np.testing.assert_allclose(found[:, inner], expected[:, inner], atol=1e-9 * scale)


@NAMES
def test_without_a_critic_they_are_rewards_to_go(name):
    truth = CASES[name].truth
    found = gae_weights(truth, np.zeros_like, 1.0)
    np.testing.assert_allclose(found, truth.weights(TO_GO), rtol=1e-12, atol=1e-12)


@NAMES
def test_at_lambda_one_a_cut_that_ends_leaves_a_baseline(name):
    case = CASES[name]
    found = gae_weights(case.truth, case.critic, 1.0, cut_is_end=True)
    expected = case.truth.weights(TO_GO) - case.critic(case.truth.grid.x)[:, None]
    assert np.abs(case.truth.weights(ADVANTAGE) - expected).max() > 0
    # Mass of the next state far beyond the nodes is lost, about 1e-16 where it counts.
    visited = case.truth.visits.sum(axis=0) > 1e-9
    np.testing.assert_allclose(found[:, visited], expected[:, visited], atol=1e-8)


@NAMES
def test_a_constant_is_bootstrapped_behind_ends_where_done_is_missing(name):
    """The probabilities of next states within and beyond the limit sum to one."""
    truth, gamma = CASES[name].truth, CASES[name].gamma
    grid, visited = truth.grid, truth.visits.sum(axis=0) > 1e-9
    reward = truth.system.reward(grid.x[:, None], grid.e)
    found = gae_weights(truth, constant, 0.0, done_missing=True)
    expected = np.broadcast_to(reward + 0.7 * (gamma - 1), found.shape)
    np.testing.assert_allclose(found[:, visited], expected[:, visited], atol=1e-9)
    right = gae_weights(truth, constant, 0.0)
    assert (np.abs(right - found).max() > 0.1) == CASES[name].ends
