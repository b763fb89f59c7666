"""Powers of a walk: closed forms, reachable states, and sums over steps against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbench.exact import evaluate
from pgbench.exact.finite import linear, powers
from pgbench.exact.finite.horizon import truncated_visitation
from pgbench.exact.finite.powers import Powers, descending, geometric_sum
from pgbench.exact.finite.walk import Walk
from pgbench.exact.horizon import expected_steps, shortest_horizon
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from tests.support.numbers import close


def walked(name, scale=1.0, **parameters):
    """A problem, its policy's probabilities and the walk they make."""
    mdp = make_problem(name, **parameters)
    policy = make_policy("softmax", mdp)
    pi = policy.probabilities(policy.initial(seed=3, scale=scale))
    return mdp, pi, Walk.of(mdp, pi)


CASES = {
    "mixing": ("garnet", {"n_states": 60, "gamma": 0.9}),
    "ending": ("gridworld", {"size": 5, "gamma": 0.9}),
    "far": ("gridworld", {"size": 30, "gamma": 0.99}),
    "chain": ("chain", {"length": 40, "gamma": 0.99}),
}


def plain(M, b, n):
    """b, M b, ..., n of them."""
    terms = [b]
    while len(terms) < n:
        terms.append(M @ terms[-1])
    return terms


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("horizon", [1, 2, 3, 7, 40, 300])
@pytest.mark.parametrize("kept", [2**29, 0], ids=["kept", "recomputed"])
@pytest.mark.parametrize("factors", [(0.9, 0.9), (1.0, 0.3), (0.5, 1.0), (0.9, 0.0)])
def test_sweep_is_the_double_sum_over_steps(case, horizon, kept, factors, monkeypatch):
    """Σ_t u_t P Σ_{k<H-1-t} z_k term by term, with and without closed forms."""
    monkeypatch.setattr(powers, "KEPT_BYTES", kept)
    name, parameters = CASES[case]
    mdp, pi, whole = walked(name, **parameters)
    delta, kappa = factors
    b = np.random.default_rng(1).standard_normal(mdp.n_states) * ~mdp.terminal
    u = plain(delta * whole.matrix.T, mdp.mu0, horizon)
    z = plain(kappa * whole.matrix, b, horizon)
    expected = np.zeros(pi.shape)
    for t in range(horizon - 1):
        later = whole.following(np.sum(z[: horizon - 1 - t], axis=0))
        expected += u[t][:, None] * later
    part = whole.within(horizon)
    visits, sums = part.swept(delta, kappa, b[part.states], horizon)
    close(sums, expected[part.states], 1e-11)
    close(visits, np.sum(u, axis=0)[part.states], 1e-11)
    # What the part leaves out is not there.
    left_out = np.ones(mdp.n_states, bool)
    left_out[part.states] = False
    assert not expected[left_out].any()


@pytest.mark.parametrize("transposed", [False, True])
def test_a_mixing_walk_settles_and_a_moving_one_does_not(transposed):
    _, _, mixing = walked("garnet", n_states=500, gamma=0.9)
    b = np.random.default_rng(2).random(500)
    m, c = Powers(mixing.scaled(0.9), b, transposed).settled(1000)
    assert 10 < m < 100
    assert c == pytest.approx(0.9, rel=1e-12)
    mdp, _, moving = walked("gridworld", size=30)
    m, _ = Powers(moving.scaled(0.9), mdp.mu0, transposed).settled(100)
    assert m == 99


def test_a_slow_part_that_starts_small_is_not_taken_for_settled():
    """z shrinks like 0.5ᵗ at first and like 0.9ᵗ later: the first ratio must not be kept."""
    from scipy import sparse

    M = sparse.csr_array(np.diag([0.5, 0.9]))
    b = np.array([1.0, 1e-17])
    powers = Powers(M, b, transposed=True)
    close(powers.sum(300), [geometric_sum(0.5, 300), 1e-17 * geometric_sum(0.9, 300)], 1e-15)
    term = list(powers.terms(300))[-1]
    assert term[1] == pytest.approx(1e-17 * 0.9**299, rel=1e-10)
    m, _ = Powers(M, b, transposed=True).settled(300)
    assert m > 50


def test_geometric_sums_near_one_keep_their_digits():
    for c in (0.0, 0.3, 1 - 1e-15, 1.0, 1 + 1e-15, 1.01):
        expected = sum(c**k for k in range(50))
        assert geometric_sum(c, 50) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("case", ["far", "chain"])
def test_reachable_states_are_those_that_rollouts_visit(case):
    name, parameters = CASES[case]
    mdp, pi, whole = walked(name, **parameters)
    for steps in (1, 2, 9):
        part = whole.within(steps)
        occupied = np.sum(plain(whole.matrix.T, mdp.mu0, steps), axis=0)
        assert set(np.arange(mdp.n_states)[part.states]) == set(np.flatnonzero(occupied))
        close(expected_steps(mdp, pi, steps), occupied.sum())
        close(
            truncated_visitation(mdp, pi, steps),
            np.sum(plain(mdp.gamma * whole.matrix.T, mdp.mu0, steps), axis=0),
        )


def test_another_policy_makes_another_walk():
    mdp, pi, whole = walked("garnet", n_states=10)
    assert Walk.of(mdp, pi.copy()) is whole
    pi[0] = [1, 0, 0, 0]
    assert Walk.of(mdp, pi) is not whole


@pytest.mark.parametrize(
    ("name", "parameters", "narrow"),
    [
        ("gridworld", {"size": 45, "gamma": 0.999}, True),
        ("chain", {"length": 3000, "gamma": 0.999}, True),
        ("garnet", {"n_states": 2000, "gamma": 0.999}, False),
    ],
)
def test_large_systems_are_eliminated_where_that_is_cheap(name, parameters, narrow):
    mdp, _, whole = walked(name, **parameters)
    system = whole.fundamental(mdp.gamma)
    assert (system.system.narrow, system.eliminated) == (narrow, narrow)
    assert mdp.n_states > linear.DENSE_LIMIT
    reward = whole.mean(mdp.expected_reward)
    dense = linear.Resolvent(whole.scaled(mdp.gamma), dense=True)
    close(whole.solve(mdp.gamma, reward)[0], dense.solve(reward)[0], 1e-9)
    close(
        whole.solve(mdp.gamma, mdp.mu0, transposed=True)[0],
        dense.solve(mdp.mu0, transposed=True)[0],
        1e-9,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("garnet", {"n_states": 10**6, "gamma": 0.99}),
        ("gridworld", {"size": 1000, "gamma": 0.999}),
        ("chain", {"length": 10**5, "gamma": 0.999}),
    ],
)
def test_a_million_states_are_solved_with_a_proven_error(name, parameters):
    mdp = make_problem(name, **parameters)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=0))
    assert truth.error_bound <= 1e-8 * max(np.abs(truth.v).max(), 1.0)
    assert truth.visitation.sum() == pytest.approx(1 / (1 - mdp.gamma), rel=1e-8)
    steps = shortest_horizon(truth)
    assert truth.gradient_bound < 1e-6
    assert truth.resolved == (name == "garnet")
    assert steps == (459 if name == "garnet" else 1000)


@given(st.integers(1, 40))
def test_descending_is_the_recursion_backwards(horizon):
    def step(x):
        return 0.5 * x + np.array([1.0, 2.0, -3.0])

    forwards = [np.zeros(3)]
    while len(forwards) < horizon:
        forwards.append(step(forwards[-1]))
    np.testing.assert_array_equal(list(descending(step, np.zeros(3), horizon)), forwards[::-1])


def test_descending_covers_every_horizon_up_to_forty():
    for horizon in range(1, 41):
        counted = [int(x[0]) for x in descending(lambda x: x + 1, np.zeros(1), horizon)]
        assert counted == list(range(horizon))[::-1]
