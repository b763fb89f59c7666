"""Means of estimates from each start, by listing every trajectory that begins there."""

import numpy as np
import pytest

from pgbench.estimators import make_tables
from pgbench.exact import TooLarge, evaluate
from pgbench.exact.finite import starts
from pgbench.exact.finite.starts import finite_start_means
from pgbench.exact.starts import StartMeans, start_means
from pgbench.exact.table_moments import Size
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.enumeration import enumerated_moments
from tests.support.truths import TWO_KINDS, tiny_truth

H = 3


@pytest.mark.parametrize("kind", TWO_KINDS)
@pytest.mark.parametrize("problem", ["ending", "coins"])
@pytest.mark.parametrize("name", ["reinforce", "reward_to_go", "importance_sampling"])
def test_means_are_those_of_problems_that_begin_there(problem, kind, name):
    truth = tiny_truth(problem, kind)
    found = start_means(truth, make_tables(truth, name, H), H)
    begins = np.flatnonzero(truth.mdp.mu0)
    np.testing.assert_array_equal(found.chances, truth.mdp.mu0[begins])
    assert np.ptp(found.means, axis=0).max() > 0.01
    for state, mean in zip(begins, found.means, strict=True):
        own = evaluate(truth.mdp.starting(state), truth.policy, truth.theta)
        listed = enumerated_moments(own, make_tables(own, name, H), H)
        np.testing.assert_allclose(mean, listed.mean, rtol=1e-12, atol=1e-14)


def test_variance_between_starts():
    found = StartMeans(np.array([0.25, 0.75]), np.array([[1.0, 2.0], [5.0, 2.0]]))
    np.testing.assert_allclose(found.variance, [3.0, 0.0])
    assert found.along(np.array([0.6, 0.8])) == pytest.approx(0.36 * 3)


def test_of_other_problems_nothing_is_known():
    mdp = make_problem("lqg", A=0.9, B=1.2)
    policy = make_policy("gaussian", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=0))
    assert start_means(truth, make_tables(truth, "reinforce", H), H) is None


def test_too_many_starts_are_refused(monkeypatch):
    truth = tiny_truth("coins", "softmax")
    monkeypatch.setattr(starts, "SUMS_LIMIT", Size(memory_bytes=10, operations=1e10))
    with pytest.raises(TooLarge, match="too large for exact moments"):
        finite_start_means(truth, make_tables(truth, "reinforce", H), H)
