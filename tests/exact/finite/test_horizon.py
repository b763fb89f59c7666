"""Values with steps to go, and occupancies with the weights of the steps before."""

import numpy as np

from pgbench.exact import evaluate
from pgbench.exact.finite.horizon import occupancies
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.enumeration import trajectories
from tests.support.numbers import close


def test_values_with_steps_to_go_obey_the_recursion(truth):
    v = np.zeros(truth.v.size)
    for steps in range(1, 12):
        following = (truth.mdp.transitions @ v).reshape(truth.pi.shape)
        q = truth.mdp.expected_reward + truth.mdp.gamma * following
        v = (truth.pi * q).sum(axis=1)
        finite = evaluate(truth.mdp, truth.policy, truth.theta, steps)
        close(finite.q, q)
        close(finite.v, v)
        assert 0 < finite.error_bound < 1e-11 * np.abs(truth.mdp.reward).max() * steps


def test_occupancies_carry_the_weights_of_the_steps_before():
    """E[D_t 1(s_t = s)] against the sum over all trajectories, with a carry per pair."""
    mdp = make_problem("random", n_states=2, n_actions=2)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    carry = np.array([[0.5, -1.0], [2.0, 0.25]])
    expected = np.zeros((4, 2))
    for p, pairs, _ in trajectories(truth, 4):
        weights = np.cumprod([1.0, *carry.ravel()[pairs[:-1]]])
        for t, pair in enumerate(pairs):
            expected[t, pair // 2] += p * weights[t]
    walk = occupancies(mdp, truth.pi, carry)
    close([next(walk) for _ in range(4)], expected)
