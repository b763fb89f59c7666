"""Solutions of (I - M) x = b: every path, the error bound, and the refusals."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from pgbench.exact import SolveError
from pgbench.exact.finite import linear
from pgbench.exact.finite.linear import Resolvent
from pgbench.problems.problem import Diverges
from tests.support.numbers import close, rational_solve


def stochastic(n, seed, density=0.2):
    """A random stochastic matrix (n, n) with a self-loop in every row."""
    rng = np.random.default_rng(seed)
    P = rng.random((n, n)) * (rng.random((n, n)) < density) + np.eye(n) * 0.1
    return sparse.csr_array(P / P.sum(axis=1, keepdims=True))


def absorbing(n):
    """A walk of n states to and fro that ends at either side."""
    return sparse.diags_array([0.5, 0.5], offsets=[-1, 1], shape=(n, n), format="csr")


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.9, 0.9999])
@pytest.mark.parametrize("limit", [1500, 0], ids=["dense", "sparse"])
def test_solution_is_that_of_numpy(gamma, transposed, limit, monkeypatch):
    monkeypatch.setattr(linear, "DENSE_LIMIT", limit)
    P, b = stochastic(40, seed=1), np.random.default_rng(2).standard_normal(40)
    matrix = np.eye(40) - gamma * P.toarray()
    x, _ = Resolvent(gamma * P).solve(b, transposed)
    close(x, np.linalg.solve(matrix.T if transposed else matrix, b), 1e-10)


@pytest.mark.parametrize("limit", [1500, 0], ids=["dense", "sparse"])
def test_time_to_absorption_of_a_symmetric_walk(limit, monkeypatch):
    """Gambler's ruin: the expected duration from i of n+1 is i(n+1-i) (Feller 1968, XIV.3)."""
    monkeypatch.setattr(linear, "DENSE_LIMIT", limit)
    n = 99
    i = np.arange(1, n + 1)
    system = Resolvent(absorbing(n))
    x, bound = system.solve(np.ones(n))
    close(x, i * (n + 1 - i), 1e-10)
    assert system.inverse_norm >= 2500 * (1 - 1e-10)
    assert bound < 1e-7


@pytest.mark.parametrize("transposed", [False, True])
def test_direct_factors_take_over_where_iterations_fail(transposed, monkeypatch):
    monkeypatch.setattr(linear, "DENSE_LIMIT", 0)
    monkeypatch.setattr(linear, "bicgstab", lambda _, b, **options: (np.full_like(b, 1e9), 1))
    P, b = stochastic(40, seed=3), np.random.default_rng(4).standard_normal(40)
    matrix = np.eye(40) - 0.99 * P.toarray()
    x, _ = Resolvent(0.99 * P).solve(b, transposed)
    close(x, np.linalg.solve(matrix.T if transposed else matrix, b), 1e-11)


@pytest.mark.parametrize("gamma", [0.9, 0.999])
def test_large_systems_are_sparse_and_right(gamma):
    """With b = (I - γP) x the solution is known."""
    n = 2 * linear.DENSE_LIMIT
    P = stochastic(n, seed=5, density=5 / n)
    x = np.random.default_rng(6).standard_normal(n)
    system = Resolvent(gamma * P)
    close(system.solve(system.matrix @ x)[0], x, 1e-10)
    close(system.solve(system.matrix.T @ x, transposed=True)[0], x, 1e-9)


def test_solution_of_rough_right_hand_sides(monkeypatch):
    monkeypatch.setattr(linear, "DENSE_LIMIT", 0)
    system = Resolvent(0.95 * stochastic(40, seed=7))
    b = np.random.default_rng(8).standard_normal(40)
    for scale in (1e-100, 1e-20, 1e20, 1e100):
        close(system.solve(scale * b)[0], scale * system.solve(b)[0], 1e-10)
    np.testing.assert_array_equal(system.solve(np.zeros(40))[0], 0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("gamma", [0.5, 0.99, 0.99999])
def test_bound_holds_for_the_rational_solution(gamma, seed):
    P, b = stochastic(6, seed, density=0.6), np.random.default_rng(seed).standard_normal(6)
    system = Resolvent(gamma * P)
    x, bound = system.solve(b)
    exact = rational_solve(system.matrix.toarray(), b)
    assert max(abs(Fraction(v) - w) for v, w in zip(x, exact, strict=True)) <= bound
    y, bound = system.solve(b, transposed=True)
    exact = rational_solve(system.matrix.toarray().T, b)
    assert sum(abs(Fraction(v) - w) for v, w in zip(y, exact, strict=True)) <= bound


def test_bound_of_a_wrong_solution_is_not_small(monkeypatch):
    """The check must notice a solver that returns nonsense."""
    system = Resolvent(0.9 * stochastic(5, seed=11, density=0.6))
    system.__dict__["_apply"] = lambda b, transposed, correcting: 0.5 * b
    with pytest.raises(SolveError, match=r"5 linear equations has relative error.*more than 1e-08"):
        system.solve(np.ones(5))


def test_discount_too_close_to_one_is_refused():
    P = stochastic(5, seed=12, density=0.6)
    with pytest.raises(SolveError, match=r"too close to 1|not finite"):
        Resolvent(np.nextafter(1, 0) * P).solve(np.arange(5.0))


@pytest.mark.parametrize("limit", [1500, 0], ids=["dense", "sparse"])
def test_undiscounted_recurrent_chain_is_refused(limit, monkeypatch):
    monkeypatch.setattr(linear, "DENSE_LIMIT", limit)
    P = sparse.csr_array(np.array([[0.0, 1.0], [1.0, 0.0]]))
    with pytest.raises(SolveError, match="time to a terminal state is not finite"):
        Resolvent(P).solve(np.ones(2))


def test_no_equations_have_the_empty_solution():
    x, bound = Resolvent(sparse.csr_array((0, 0))).solve(np.zeros(0))
    assert x.size == 0
    assert bound == 0


def test_rows_that_sum_to_one_but_for_rounding_are_not_taken_for_discounted():
    """A bound of 1/(1-r) with r = 1 - 1e-16 would refuse what is solved to the last digit."""
    P = sparse.csr_array(np.array([[0.0, 1 - 2**-53, 0.0], [0.5, 0.0, 0.5 - 2**-54], [0.3, 0, 0]]))
    system = Resolvent(P)
    x, bound = system.solve(np.ones(3))
    close(x, np.linalg.solve(np.eye(3) - P.toarray(), np.ones(3)), 1e-14)
    assert system.inverse_norm < 10
    assert bound < 1e-11


@pytest.mark.parametrize("limit", [1500, 0], ids=["dense", "sparse"])
@pytest.mark.parametrize("transposed", [False, True])
def test_many_right_hand_sides_are_solved_as_each(limit, transposed, monkeypatch):
    monkeypatch.setattr(linear, "DENSE_LIMIT", limit)
    system = Resolvent(0.9 * stochastic(30, seed=13))
    B = np.random.default_rng(14).standard_normal((30, 4)) * [1.0, 1e-9, 1e9, 0.0]
    X, _ = system.solve(B, transposed)
    for x, b in zip(X.T, B.T, strict=True):
        close(x, system.solve(b, transposed)[0], 1e-10)


def growing(scale):
    """A matrix whose rows sum to more than one, of spectral radius ``scale``."""
    return sparse.csr_array(np.array([[0.0, 4.0], [0.25, 0.0]]) * scale)


@pytest.mark.parametrize("limit", [1500, 0], ids=["dense", "sparse"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_rows_may_sum_to_more_than_one(limit, sign, monkeypatch):
    monkeypatch.setattr(linear, "DENSE_LIMIT", limit)
    M = sign * growing(0.9)
    x, bound = Resolvent(M).solve(np.ones(2))
    close(x, np.linalg.solve(np.eye(2) - M.toarray(), np.ones(2)), 1e-13)
    assert bound < 1e-11
    with pytest.raises(Diverges, match="not finite"):
        Resolvent(sign * growing(1.1)).solve(np.ones(2))


@pytest.mark.parametrize("transposed", [False, True])
def test_unit_vectors_are_solved_beyond_the_dense_limit(transposed):
    """What returns to states ask for; some break the recurrence down from one start."""
    n = linear.DENSE_LIMIT + 100
    M = 0.9 * stochastic(n, seed=15, density=3 / n)
    columns = np.eye(n)[:, ::200]
    iterated, _ = Resolvent(M).solve(columns, transposed)
    factored, _ = Resolvent(M, dense=True).solve(columns, transposed)
    close(iterated, factored, 1e-9)
