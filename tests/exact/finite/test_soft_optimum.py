"""The optimum where leaving a reference costs, against closed forms and against other policies."""

import numpy as np
import pytest
from scipy.special import logsumexp

from pgbench.exact import optimal_value, soft_optimum
from pgbench.objectives import make_objective
from pgbench.policies import make_policy
from pgbench.problems import FiniteMDP, make_problem
from pgbench.problems.problem import SolveError
from tests.support.numbers import close
from tests.support.problems import TINY
from tests.support.truths import PENALISED, tiny_objective


def bandit(rewards):
    """One state, then the end."""
    A = len(rewards)
    P = np.zeros((2, A, 2))
    P[:, :, 1] = 1
    return FiniteMDP.from_arrays(P, [rewards, [0.0] * A], [1.0, 0], 1.0, terminal=[False, True])


@pytest.mark.parametrize("c", [1e-3, 0.1, 1.0, 100.0])
def test_a_bandit_has_the_closed_form(c):
    """π* ∝ π_ref exp(r/β), and J* = β log Σ π_ref exp(r/β)."""
    rewards = np.array([0.3, -1.0, 0.7])
    reference = np.array([[0.2, 0.5, 0.3], [1 / 3, 1 / 3, 1 / 3]])
    found = soft_optimum(bandit(rewards), c, reference)
    logits = np.log(reference[0]) + rewards / c
    close(found.pi[0], np.exp(logits - logsumexp(logits)), 1e-13 / c)
    assert found.objective == pytest.approx(c * logsumexp(logits), rel=1e-13)


@pytest.mark.parametrize("name", PENALISED)
@pytest.mark.parametrize("problem", TINY)
def test_values_are_a_fixed_point_of_log_sum_exp(problem, name):
    objective = tiny_objective(problem, "softmax", name)
    mdp, found, c = objective.mdp, objective.optimum, objective.coefficient
    live = ~mdp.terminal
    logs = np.log(np.where(mdp.choices, objective.reference, 1.0))
    logits = np.where(mdp.choices, logs + found.q / c, -np.inf)
    v = c * logsumexp(logits, axis=1)
    close(found.v[live], v[live])
    q = mdp.expected_reward + mdp.gamma * (mdp.transitions @ found.v).reshape(logits.shape)
    close(found.q, q)
    close(found.pi[live], np.exp(logits - v[:, None] / c)[live])
    assert found.objective == pytest.approx(mdp.mu0 @ found.v, rel=1e-13)
    assert found.residual < 1e-11


@pytest.mark.parametrize("name", PENALISED)
@pytest.mark.parametrize("problem", ["dense", "ending", "coins", "corridor"])
def test_no_policy_is_better_and_the_gradient_is_zero_there(problem, name):
    objective = tiny_objective(problem, "softmax", name)
    best, policy = objective.optimum, objective.policy
    there = objective.truth(np.log(best.pi).ravel())
    assert there.objective == pytest.approx(best.objective, rel=1e-12)
    scale = np.abs(objective.truth(np.zeros(best.pi.size)).gradient).max()
    assert np.abs(there.gradient).max() < 1e-12 * max(scale, 1)
    for seed in range(20):
        near = np.log(best.pi).ravel() + policy.initial(seed=seed, scale=0.3)
        assert objective.truth(near).objective < best.objective


@pytest.mark.parametrize("problem", TINY)
def test_where_leaving_the_reference_costs_little_the_optimum_is_the_hard_one(problem):
    mdp = TINY[problem][0]()
    hard = optimal_value(mdp).objective
    gaps = []
    for c in (1e-2, 1e-4):
        soft = make_objective("entropy", mdp, make_policy("softmax", mdp), alpha=c).optimum
        gaps.append(soft.objective - hard)
    assert all(gap > -1e-12 for gap in gaps)
    assert gaps[1] <= 0.02 * gaps[0] + 1e-12


def test_policy_iteration_takes_few_policies():
    mdp = make_problem("garnet", n_states=200, n_actions=4, gamma=0.99)
    objective = make_objective("kl", mdp, make_policy("softmax", mdp), beta=1e-3)
    assert objective.optimum.iterations < 12
    assert objective.optimum.residual < 1e-10


def test_what_has_no_finite_optimum_says_so():
    """γ = 1 and a step that pays 1 for staying: with a small penalty it pays never to end."""
    P = np.zeros((2, 2, 2))
    P[0, 0, 0] = P[0, 1, 1] = P[1, :, 1] = 1
    mdp = FiniteMDP.from_arrays(P, [[1, 0], [0, 0]], [1, 0], 1.0, terminal=[False, True])
    half = np.full((2, 2), 0.5)
    with pytest.raises(SolveError, match="has no finite optimal value"):
        soft_optimum(mdp, 0.1, half)
    # At c = 2 it does not: V = 2 log((e^½ e^{V/2} + 1)/2).
    found = soft_optimum(mdp, 2.0, half)
    x = np.exp(found.v[0] / 2)
    assert x == pytest.approx((np.exp(0.5) * x + 1) / 2, rel=1e-12)


def test_an_iteration_limit_is_an_error():
    mdp = make_problem("garnet", n_states=5)
    uniform = np.full((5, 4), 0.25)
    with pytest.raises(SolveError, match="did not end in 1 iterations"):
        soft_optimum(mdp, 1e-3, uniform, max_iterations=1)
