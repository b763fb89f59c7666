"""Norms of scores against the table of all scores."""

import numpy as np
import pytest

from pgbench.exact.finite import scores
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from tests.support.numbers import close


@pytest.mark.parametrize("held", [1, 100, 2**22])
def test_norms_are_those_of_the_scores(truth, held, monkeypatch):
    monkeypatch.setattr(scores, "NUMBERS_AT_A_TIME", held)
    expected = (truth.policy.scores(truth.theta) ** 2).sum(axis=2)
    close(scores.squared_norms(truth.policy, truth.theta), expected, 1e-13)


def test_gradients_of_states_are_those_of_the_scores(truth):
    W = np.random.default_rng(2).standard_normal(truth.pi.shape)
    expected = np.einsum("sa,sak->sk", W, truth.policy.scores(truth.theta))
    close(scores.state_gradients(truth.policy, truth.theta, W), expected, 1e-13)


@pytest.mark.parametrize(
    ("kind", "size"), [("softmax", 10_000), ("loglinear", 10_000), ("neural", 500)]
)
def test_many_states(kind, size):
    """A table of all scores of a tabular policy of that size would have 1.6·10⁹ numbers."""
    mdp = make_problem("garnet", n_states=size)
    policy = make_policy(kind, mdp)
    theta = policy.initial(seed=1)
    norms = scores.squared_norms(policy, theta)
    assert norms.shape == (size, mdp.n_actions)
    unit = np.zeros((1, 1, mdp.n_actions))
    unit[0, 0, 2] = 1.0
    psi = policy.pull_back(theta, unit, np.array([123]))
    assert norms[123, 2] == pytest.approx(float((psi**2).sum()), rel=1e-12)
