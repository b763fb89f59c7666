"""Rollouts driven by given numbers: every number goes where it should, at any number of threads."""

from itertools import product

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.kernels.driven import cumulative
from pgbench.kernels.partition import use_threads
from pgbench.policies import make_policy
from pgbench.problems import FiniteMDP
from pgbench.rollout.simulator import Draws, Simulator


def test_the_last_possible_outcome_takes_what_is_left():
    distribution = cumulative(np.array([[0.25, 0.75, 0.0], [0.0, 0.1, 0.9]]))
    np.testing.assert_array_equal(distribution, [[0.25, np.inf, np.inf], [0.0, 0.1, np.inf]])


@pytest.fixture
def halves():
    """Start, actions and successors in quarters; state 2 ends."""
    P = np.zeros((3, 2, 3))
    P[0] = [[0.25, 0.5, 0.25], [0.0, 1.0, 0.0]]
    P[1] = [[0.5, 0.0, 0.5], [0.25, 0.25, 0.5]]
    P[2, :, 2] = 1
    r = np.arange(18, dtype=float).reshape(3, 2, 3)
    mdp = FiniteMDP.from_arrays(P, r, [0.5, 0.5, 0.0], 0.5, terminal=[False, False, True])
    policy = make_policy("softmax", mdp)
    theta = np.log(np.array([0.25, 0.75, 0.5, 0.5, 0.5, 0.5]))
    return evaluate(mdp, policy, theta, horizon=2)


def simulator(truth, m=1, horizon=2, n=1):
    return Simulator(truth, Draws(horizon, n, m, 1, 2), 0, m)


def test_all_quarters_give_the_exact_gradient(halves):
    """Midpoints of quarters in every dimension hit each outcome as often as its probability."""
    points = np.array(list(product((np.arange(4) + 0.5) / 4, repeat=5)))
    batch = simulator(halves).driven(points[None, None])
    assert batch.returns.mean() == pytest.approx(halves.objective, rel=1e-13)
    g = halves.policy.pull_back(halves.theta, batch.tables(batch.discounts() * batch.to_go))
    np.testing.assert_allclose(g[0], halves.gradient, atol=1e-14)


def test_paths_are_those_of_plain_python(halves):
    rng = np.random.default_rng(3)
    mdp, u = halves.mdp, rng.random((2, 1, 30, 11))
    made = simulator(halves, m=2, horizon=5)
    batch = made.driven(u)
    for i, j in product(range(2), range(30)):
        s = int(np.searchsorted(np.cumsum(mdp.mu0), u[i, 0, j, 0], side="right"))
        t = 0
        while t < 5 and not mdp.terminal[s]:
            a = int(np.searchsorted(np.cumsum(halves.pi[s]), u[i, 0, j, 1 + 2 * t], side="right"))
            F = np.cumsum(mdp.probability[s, a])
            k = int(np.searchsorted(F, u[i, 0, j, 2 + 2 * t], side="right"))
            assert (batch.states[i, j, t], batch.actions[i, j, t]) == (s, a)
            assert batch.rewards[i, j, t] == mdp.reward[s, a, k]
            s = int(mdp.successor[s, a, k])
            assert batch.successors[i, j, t] == s
            t += 1
        assert batch.lengths[i, j] == t
    np.testing.assert_array_equal(made.steps, batch.lengths.sum(axis=1))


def test_policies_share_numbers_or_have_their_own(halves):
    rng = np.random.default_rng(4)
    pi = rng.dirichlet([1.0, 1.0], size=(2, 3, 3))
    shared, own = rng.random((2, 1, 4, 5)), rng.random((2, 3, 4, 5))
    for u in (shared, own):
        batch = simulator(halves, m=2).driven(u, pi)
        assert batch.shape[:2] == (6, 4)
        for i, k in product(range(2), range(3)):
            row = u[i, k if u.shape[1] > 1 else 0]
            alone = simulator(halves).driven(row[None, None], pi[i, k][None, None])
            np.testing.assert_array_equal(alone.returns[0], batch.returns[3 * i + k])


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(halves, threads):
    u = np.random.default_rng(5).random((4, 1, 50, 5))
    before = use_threads(None)
    use_threads(threads)
    try:
        returns = simulator(halves, m=4).driven(u).returns
    finally:
        use_threads(before)
    assert returns.tobytes() == simulator(halves, m=4).driven(u).returns.tobytes()
