"""The chance of success: by listing trajectories, and where nobody says what success is."""

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.exact.finite.success import chance_of_success
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.enumeration import trajectories
from tests.support.truths import tiny_truth


@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_chance_is_that_of_the_listed_trajectories(horizon):
    mdp = make_problem("sequences", verifier="parity", length=3, prompts=2, length_cost=0.3)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=2))
    chance = 0.0
    for p, _, slots in trajectories(truth.process, horizon):
        chance += p * mdp.outcomes[mdp.successor.ravel()[slots[-1]], 0]
    assert chance_of_success(truth, horizon) == pytest.approx(chance, rel=1e-12)
    assert 0.05 < chance < 0.95


def test_without_a_verifier_there_is_no_success():
    assert np.isnan(chance_of_success(tiny_truth("ending", "softmax"), 3))
