"""Elimination without subtraction: every entry of a solution to its last digits."""

import numpy as np
import pytest
from scipy import sparse

from pgbench.exact.finite.elimination import BLOCK, DenseFactors, Singular, SparseFactors
from tests.support.numbers import close
from tests.support.precise import DIGITS, decimals, relative_errors, solve

BOTH = pytest.mark.parametrize("kind", [DenseFactors, SparseFactors])


def absorbing(n, seed, density=0.3, rarely=1.0):
    """Off-diagonal M (n, n) and slack (n,), both of entries that differ by orders of magnitude.

    Whatever a row does not add up to is its diagonal, which nobody is to read.
    """
    rng = np.random.default_rng(seed)
    M = 10.0 ** -(6 * rng.random((n, n))) * (rng.random((n, n)) < density)
    M[np.arange(n - 1), np.arange(1, n)] = 0.5
    np.fill_diagonal(M, 0.0)
    slack = rarely * 10.0 ** -(12 * rng.random(n))
    total = (M.sum(axis=1) + slack).max() * 1.1
    M /= total
    return sparse.csr_array(M + np.diag(rng.random(n))), slack / total


def exact(M, slack, b, transposed):
    """The solution in decimals, the diagonal being what slack and the rest of a row leave."""
    from decimal import localcontext

    with localcontext(prec=DIGITS):
        apart = decimals(M.toarray() * ~np.eye(slack.size, dtype=bool))
        np.fill_diagonal(apart, 1 - decimals(slack) - apart.sum(axis=1))
        return solve(apart.T if transposed else apart, decimals(b))


@BOTH
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("n", "density"), [(1, 0.3), (2, 1.0), (7, 0.5), (BLOCK + 9, 0.1)])
@pytest.mark.parametrize(("seed", "rarely"), [(0, 1.0), (1, 1.0), (2, 1e-9)])
def test_every_entry_has_its_digits(kind, n, density, transposed, seed, rarely):
    M, slack = absorbing(n, seed, density, rarely)
    b = 10.0 ** -(20 * np.random.default_rng(seed).random(n))
    b[1:] *= np.random.default_rng(seed).random(n - 1) < 0.3
    factors = kind(M, slack)
    errors = relative_errors(factors.solve(b, transposed), exact(M, slack, b, transposed))
    assert errors.max() <= min(factors.relative_error, 1e-14)
    assert factors.relative_error < 1e-9


def test_elimination_with_subtraction_has_not():
    """The same check fails for LAPACK's, given the same matrix."""
    M, slack = absorbing(7, 0, 0.5, rarely=1e-9)
    matrix = -M.toarray()
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, slack - matrix.sum(axis=1))
    b = np.eye(7)[0]
    errors = relative_errors(np.linalg.solve(matrix, b), exact(M, slack, b, transposed=False))
    assert errors.max() > 1e-13


@BOTH
def test_many_right_hand_sides_are_solved_as_each(kind):
    M, slack = absorbing(50, 1)
    factors = kind(M, slack)
    B = np.random.default_rng(2).standard_normal((50, 3))
    for transposed in (False, True):
        X = factors.solve(B, transposed)
        for x, b in zip(X.T, B.T, strict=True):
            close(x, factors.solve(b, transposed), 1e-14)


@BOTH
def test_larger_factors_are_those_of_the_other_kind(kind):
    """Several blocks, fill-in and a mixed order: 300 states of a grid with a rare way out."""
    n = 300
    side = sparse.kron(
        sparse.eye_array(20), sparse.diags_array([0.2, 0.2], offsets=[-1, 1], shape=(15, 15))
    )
    up = sparse.kron(
        sparse.diags_array([0.25, 0.25], offsets=[-1, 1], shape=(20, 20)), sparse.eye_array(15)
    )
    M = (side + up).tocsr()
    slack = np.full(n, 1e-12)
    other = DenseFactors if kind is SparseFactors else SparseFactors
    b = np.eye(n)[7]
    for transposed in (False, True):
        x, y = (factors(M, slack).solve(b, transposed) for factors in (kind, other))
        np.testing.assert_allclose(x, y, rtol=1e-12)


@BOTH
def test_a_state_that_is_never_left_is_found_exactly(kind):
    cycle = sparse.csr_array(np.roll(np.eye(4), 1, axis=1))
    with pytest.raises(Singular):
        kind(cycle, np.zeros(4))
    slack = np.array([0.0, 0.0, 1e-300, 0.0])
    assert kind(cycle, slack).solve(np.eye(4)[0], False) == pytest.approx(1e300, rel=1e-14)
