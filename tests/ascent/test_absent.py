"""Ascent where states do not have every action: what does not exist is never taken nor moved."""

import numpy as np
import pytest

from pgbench.api import ascend
from pgbench.ascent.crowd import gather
from pgbench.exact.finite.optimum import optimal_value
from pgbench.exact.truth import evaluate
from tests.support.numbers import close
from tests.support.truths import make_kind, tiny_truth


@pytest.fixture
def mdp():
    found = tiny_truth("fewer", "softmax").mdp
    assert not found.choices.all()
    return found


@pytest.mark.parametrize("name", ["softmax", "direct", "loglinear", "neural"])
@pytest.mark.parametrize("algorithm", ["gradient", "natural", "adam"])
@pytest.mark.parametrize("estimator", ["exact", "reward_to_go"])
def test_what_does_not_exist_keeps_probability_zero(mdp, name, algorithm, estimator):
    policy = make_kind(name, mdp)
    theta = policy.initial(seed=1)
    given = {"steps": 30, "replicates": 3, "batch_size": 8, "horizon": 30, "step_size": 0.05}
    found = ascend(mdp, policy, theta, algorithm=algorithm, estimator=estimator, **given)
    assert np.isfinite(found.theta).all()
    assert (found.theta != theta).any()
    assert (policy.each_probabilities(found.theta)[:, ~mdp.choices] == 0).all()
    if name in ("softmax", "direct"):
        # A parameter of its own has no derivative, so it stays.
        assert (
            policy.table(found.theta)[:, ~mdp.choices] == policy.table(theta)[~mdp.choices]
        ).all()


@pytest.mark.parametrize("name", ["softmax", "loglinear"])
def test_the_compiled_actor_critic_takes_what_exists(mdp, name):
    """Were an action that does not exist taken, its reward of 0 would be the best of all."""
    policy = make_kind(name, mdp)
    algorithm = {"algorithm": "actor_critic", "critic_step": 0.1}
    given = {"steps": 200, "replicates": 4, "horizon": 40, "step_size": 0.1}
    found = ascend(mdp, policy, policy.initial(seed=1), algorithm=algorithm, **given)
    best = optimal_value(mdp).objective
    assert (policy.each_probabilities(found.theta)[:, ~mdp.choices] == 0).all()
    first, last = found.objective[:, 0], found.objective[:, -1]
    assert (last > first).all()
    assert (last <= best + 1e-12).all()


@pytest.mark.parametrize("name", ["softmax", "direct", "loglinear", "neural"])
def test_a_crowd_says_what_one_policy_says(mdp, name):
    policy = make_kind(name, mdp)
    theta = np.stack([policy.initial(seed=s) for s in range(3)])
    crowd = gather(mdp, policy, theta)
    for r in range(3):
        truth = evaluate(mdp, policy, theta[r])
        close(crowd.gradient[r], truth.gradient, 1e-11)
        close(crowd.natural_gradient[r], truth.natural(truth.gradient), 1e-8)
    regular = gather(mdp, policy, theta, entropy=0.1)
    assert np.isfinite(regular.gradient).all()
    assert np.isfinite(regular.objective).all()
