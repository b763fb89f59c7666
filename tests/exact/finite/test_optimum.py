"""Optimal values against quantecon, against every deterministic policy, and in closed form."""

from itertools import product

import numpy as np
import pytest

from pgbench.exact import SolveError, optimal_value
from pgbench.problems import FiniteMDP, make_problem


@pytest.mark.parametrize("gamma", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("seed", range(3))
def test_garnet_optimum_is_that_of_quantecon(discrete_dp, seed, gamma):
    mdp = make_problem("garnet", n_states=40, gamma=gamma, seed=seed)
    Q = mdp.transitions.toarray().reshape(40, 4, 40)
    solution = discrete_dp(np.array(mdp.expected_reward), Q, gamma).solve(method="policy_iteration")
    optimum = optimal_value(mdp)
    np.testing.assert_allclose(optimum.v, solution.v, rtol=1e-11)
    np.testing.assert_array_equal(optimum.action, solution.sigma)
    assert optimum.objective == pytest.approx(solution.v.mean(), rel=1e-11)


def test_optimum_is_the_best_deterministic_policy():
    mdp = make_problem("random", n_states=3, n_actions=3, gamma=0.8, seed=4)
    P = mdp.transitions.toarray().reshape(3, 3, 3)
    s = np.arange(3)
    values = [
        np.linalg.solve(np.eye(3) - 0.8 * P[s, actions], mdp.expected_reward[s, actions])
        for actions in product(range(3), repeat=3)
    ]
    optimum = optimal_value(mdp)
    np.testing.assert_allclose(optimum.v, np.max(values, axis=0), rtol=1e-12)
    np.testing.assert_allclose(optimum.q.max(axis=1), optimum.v, rtol=1e-12)


def test_corridor_takes_three_steps():
    """With states told apart, the short corridor is left in three steps."""
    optimum = optimal_value(make_problem("corridor"))
    assert optimum.objective == -3
    np.testing.assert_array_equal(optimum.v, [-3, -2, -1, 0])
    np.testing.assert_array_equal(optimum.action[:3], [0, 1, 0])


def test_two_state_optimum_moves_to_the_better_loop():
    """V*(1) = 2/(1-γ) by staying, V*(0) = γ V*(1) by moving."""
    optimum = optimal_value(make_problem("two_state", gamma=0.9))
    np.testing.assert_allclose(optimum.v, [18, 20], rtol=1e-12)


def test_chain_optimum_is_the_discounted_pay_of_the_last_state():
    """From state 0, H + 1 moves, then 1 per step: γ^(H+1)/(1-γ)."""
    optimum = optimal_value(make_problem("chain", length=6))
    gamma = 6 / 7
    assert optimum.objective == pytest.approx(gamma**7 / (1 - gamma), rel=1e-12)


def test_sparse_path_is_the_dense_path(request):
    dense = optimal_value(make_problem("gridworld", size=8))
    request.getfixturevalue("as_if_large")
    sparse = optimal_value(make_problem("gridworld", size=8))
    np.testing.assert_allclose(sparse.v, dense.v, rtol=0, atol=1e-9)


def test_ties_do_not_cycle():
    P = np.full((3, 4, 3), 1 / 3)
    mdp = FiniteMDP.from_arrays(P, np.full((3, 4), 0.1), [1, 0, 0], 0.99)
    assert optimal_value(mdp).objective == pytest.approx(10, rel=1e-12)


def test_pay_without_end_is_refused():
    """Staying pays 1, leaving ends: with γ = 1 the value is infinite."""
    P = np.zeros((2, 2, 2))
    P[0, 0, 0] = P[0, 1, 1] = P[1, :, 1] = 1
    r = np.array([[1.0, 0.0], [0.0, 0.0]])
    mdp = FiniteMDP.from_arrays(P, r, [1, 0], 1.0, terminal=[False, True])
    with pytest.raises(SolveError, match="has no finite optimal value"):
        optimal_value(mdp)


def test_iteration_limit_is_kept():
    with pytest.raises(SolveError, match=r"policy iteration on two_state did not end in 1 iter"):
        optimal_value(make_problem("two_state"), max_iterations=1)
