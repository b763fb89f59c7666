"""Solutions for M ≥ 0 with known slack: every path, bounds of every entry, refusals."""

from decimal import localcontext

import numpy as np
import pytest
from scipy import sparse

from pgbench.exact import SolveError, evaluate
from pgbench.exact.finite import fundamental, linear
from pgbench.exact.finite.fundamental import Fundamental
from pgbench.exact.finite.walk import Walk
from pgbench.policies import make_policy
from pgbench.problems import FiniteMDP, make_problem
from pgbench.problems.problem import Diverges
from tests.support.precise import DIGITS, decimals, normalised, relative_errors, solve, system

RARE = 1e-8


def uniform(mdp):
    return np.full((mdp.n_states, mdp.n_actions), 1 / mdp.n_actions)


def rarely_ending(exit_probability):
    """Two states that are left for good once in a long while, undiscounted."""
    P = np.zeros((3, 2, 3))
    P[0, 0], P[0, 1] = [0.3, 0.7, 0.0], [0.0, 1.0, 0.0]
    P[1, 0], P[1, 1] = [1.0, 0.0, 0.0], [1 - exit_probability, 0.0, exit_probability]
    P[2, :, 2] = 1.0
    r = np.array([[1.0, 0.0], [0.5, 2.0], [0.0, 0.0]])
    return FiniteMDP.from_arrays(P, r, np.array([1.0, 0, 0]), 1.0, np.array([False, False, True]))


PROBLEMS = {
    "two states, γ = .9999999": lambda: make_problem("two_state", gamma=0.9999999),
    "two states, γ = 1 - 1e-9": lambda: make_problem("two_state", gamma=1 - 1e-9),
    "random, γ = 1 - 1e-9": lambda: make_problem("random", n_states=4, gamma=1 - 1e-9),
    "garnet, γ = 1 - 1e-12": lambda: make_problem("garnet", n_states=5, gamma=1 - 1e-12),
    "an exit once in 1e8 steps": lambda: rarely_ending(RARE),
    "riverswim": lambda: make_problem("riverswim", gamma=0.99),
    "chain": lambda: make_problem("chain", length=30),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_values_and_visits_are_right_entry_by_entry(name):
    mdp = PROBLEMS[name]()
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    with localcontext(prec=DIGITS):
        M, reward, mu0 = system(mdp, normalised(decimals(truth.pi)))
    v, d = solve(M, reward), np.where(mdp.terminal, 0, solve(M.T, mu0))
    assert relative_errors(truth.v, v).max() < 1e-13
    assert relative_errors(truth.visitation, d).max() < 1e-13
    assert (truth.v >= 0).all()
    error = max(abs(x - y) for x, y in zip(decimals(truth.v), v, strict=True))
    assert float(error) <= truth.error_bound < 1e-11 * np.abs(truth.v).max()


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", PROBLEMS)
def test_errors_are_bounded_entry_by_entry(name, transposed):
    """Also those of right-hand sides of both signs, and of a solution from elsewhere."""
    mdp = PROBLEMS[name]()
    walk = Walk.of(mdp, uniform(mdp))
    chain = walk.fundamental(mdp.gamma)
    b = np.random.default_rng(3).standard_normal(mdp.n_states) * ~mdp.terminal
    with localcontext(prec=DIGITS):
        M, _, _ = system(mdp, normalised(decimals(walk.pi)))
    exact = solve(M.T if transposed else M, decimals(b))
    x, bound = chain.solve(b, transposed)
    for found in (x, x * (1 + 1e-7)):
        errors = np.array([float(abs(y)) for y in decimals(found) - exact])
        limits = chain.error(b, found, transposed)
        assert (errors <= limits).all()
    assert np.abs(x - exact.astype(float)).sum() <= bound * (1 + 1e-9) or not transposed
    assert chain.error(b, x, transposed).sum() <= 1e-3 * limits.sum()


@pytest.mark.parametrize("transposed", [False, True])
def test_a_wrong_slack_breaks_the_bound(transposed):
    """The check of the bound sees digits that were lost by subtraction."""
    mdp = PROBLEMS["two states, γ = 1 - 1e-9"]()
    walk = Walk.of(mdp, uniform(mdp))
    M = walk.scaled(mdp.gamma)
    chain = Fundamental(M, (1 - M.sum(axis=1)) * (1 + 1e-8), 1e-15)
    b = np.array([1.0, 0.0])
    with localcontext(prec=DIGITS):
        exact_M, _, _ = system(mdp, normalised(decimals(walk.pi)))
    exact = solve(exact_M.T if transposed else exact_M, decimals(b))
    x, _ = chain.solve(b, transposed)
    errors = np.array([float(abs(y)) for y in decimals(x) - exact])
    assert (errors > chain.error(b, x, transposed)).any()


SPARSE_PROBLEMS = [
    ("chain", {"length": 60, "gamma": 0.99}),
    ("gridworld", {"size": 9, "gamma": 0.99}),
    ("garnet", {"n_states": 60, "gamma": 0.9}),
]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("name", "given"), SPARSE_PROBLEMS)
@pytest.mark.parametrize("limit", [0, 1500], ids=["large", "middling"])
def test_larger_systems_are_solved_as_small_ones(name, given, limit, transposed, monkeypatch):
    """Sparse factors where that is cheap, sums of powers where they settle, else iterations."""
    mdp = make_problem(name, **given)
    policy = make_policy("softmax", mdp)
    pi = policy.probabilities(policy.initial(seed=2, scale=0.5))
    b = np.eye(mdp.n_states)[3]
    small, _ = Walk.of(mdp, pi).fundamental(mdp.gamma).solve(b, transposed)
    monkeypatch.setattr(fundamental, "SMALL", 0)
    monkeypatch.setattr(fundamental, "DENSE_LIMIT", limit)
    walk = Walk.of(make_problem(name, **given), pi)
    x, bound = walk.solve(mdp.gamma, b, transposed)
    narrow = walk.fundamental(mdp.gamma).system.narrow
    assert narrow == (name != "garnet")
    np.testing.assert_allclose(x, small, rtol=1e-12 if narrow else 1e-9)
    assert np.abs(x - small).max() <= bound
    assert ((x == 0) == (small == 0)).all()


@pytest.mark.parametrize("transposed", [False, True])
def test_iterations_leave_nothing_negative_and_nothing_where_nothing_arrives(
    transposed, monkeypatch
):
    """Two islands, of which b reaches one; noise of the iterations must not show on the other."""
    rng = np.random.default_rng(5)
    P = np.zeros((80, 1, 80))
    for first in (0, 40):
        block = rng.random((40, 40)) * (rng.random((40, 40)) < 0.2) + 0.1 * np.eye(40)
        P[first : first + 40, 0, first : first + 40] = block
    P /= P.sum(axis=2, keepdims=True)
    M, slack = 0.999 * sparse.csr_array(P[:, 0]), np.full(80, 1 - 0.999)
    b = rng.random(80) * (np.arange(80) < 40)
    small, _ = Fundamental(M, slack, 1e-14).solve(b, transposed)
    monkeypatch.setattr(linear, "_NARROW", 0)
    monkeypatch.setattr(linear, "DENSE_LIMIT", 0)
    monkeypatch.setattr(fundamental, "SMALL", 0)
    monkeypatch.setattr(fundamental, "DENSE_LIMIT", 0)
    chain = Fundamental(M, slack, 1e-14)
    assert (chain.eliminated, chain.system.factored) == (False, False)
    x, bound = chain.solve(b, transposed)
    assert (x[:40] > 0).all()
    assert (x[40:] == 0).all()
    assert np.abs(x - small).max() <= bound
    assert (np.abs(x - small) <= chain.error(b, x, transposed)).all()


def test_a_walk_that_never_ends_is_refused():
    mdp = make_problem("corridor")
    pi = np.tile([1.0, 0.0], (mdp.n_states, 1))
    with pytest.raises(Diverges, match="time to a terminal state is not finite"):
        Walk.of(mdp, pi).solve(1.0, mdp.mu0, transposed=True)


def test_factors_that_are_wrong_are_noticed():
    mdp = make_problem("random", n_states=5)
    chain = Walk.of(mdp, uniform(mdp)).fundamental(0.9)
    chain._factors.relative_error = np.inf
    factors = chain._factors

    class Wrong:
        relative_error = np.inf

        def solve(self, b, transposed):
            return 1.01 * factors.solve(b, transposed)

    chain.__dict__["_factors"] = Wrong()
    with pytest.raises(SolveError, match=r"5 linear equations has relative error.*more than 1e-08"):
        chain.solve(np.ones(5))


def test_no_equations_have_the_empty_solution():
    x, bound = Fundamental(sparse.csr_array((0, 0)), np.zeros(0), 0.0).solve(np.zeros(0))
    assert x.size == 0
    assert bound == 0
