"""The subspace that powers of a recursion's step end up in, against the powers themselves."""

from functools import cache

import numpy as np
import pytest

from pgbench.estimators import estimators
from pgbench.exact import evaluate
from pgbench.exact.finite.dominant import Dominant
from pgbench.exact.finite.recursion import Recursion
from pgbench.policies import make_policy
from pgbench.problems import make_problem

MIXING = ["reward_to_go", "gae", "reinforce", "importance_sampling", "undiscounted"]


@cache
def made(estimator):
    mdp = make_problem("garnet", n_states=60, n_actions=3, branching=4, gamma=0.95)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1, scale=0.5))
    given = {"gae": {"lam": 0.8}, "undiscounted": {"discounted": False}}.get(estimator, {})
    name = "reward_to_go" if estimator == "undiscounted" else estimator
    return truth, Recursion(estimators()[name].make(truth, **given))


def full(recursion):
    """B (F n, F n)."""
    F, n = recursion.order, recursion.n
    out = np.zeros((F, n, F, n))
    for (i, j), block in recursion.step.items():
        out[i, :, j] = block.toarray()
    return out.reshape(F * n, F * n)


def stacked(columns):
    """Columns (n, F, k) as those of ``full``."""
    return columns.transpose(1, 0, 2).reshape(-1, columns.shape[2])


@pytest.mark.parametrize("estimator", MIXING)
def test_the_subspace_is_invariant(estimator):
    _, recursion = made(estimator)
    found = Dominant.of(recursion)
    R = stacked(found.right)
    away = full(recursion) @ R - R @ found.transition
    assert found.known
    assert np.abs(away).max() < 1e-12 * np.abs(R).max()
    eigenvalues = np.linalg.eigvals(full(recursion))
    largest = max(found.transition.diagonal())
    assert np.abs(eigenvalues).max() == pytest.approx(largest, rel=1e-10)


def test_of_a_return_it_is_one_and_the_value():
    """P(1, V) = γ(1, V) and the value V up to a constant, which belongs to the second vector."""
    truth, recursion = made("reward_to_go")
    found = Dominant.of(recursion)
    np.testing.assert_allclose(found.right[:, 0, 0], 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.diff(found.right[:, 1, 0]), np.diff(truth.v), rtol=1e-9)
    np.testing.assert_allclose(found.transition.diagonal(), [0.95, 0.95**2], rtol=1e-12)


@pytest.mark.parametrize("estimator", MIXING)
@pytest.mark.parametrize("early", [3, 8, 20])
def test_what_is_left_is_bounded(estimator, early):
    """Of B^(j + m) x by what is fitted after j steps: the bound holds, and is of the size it is."""
    _, recursion = made(estimator)
    found, B, n = Dominant.of(recursion), full(recursion), recursion.n
    x = np.zeros((n, recursion.order, 4))
    x[np.arange(4), 0, np.arange(4)] = 1.0
    own = stacked(x)
    for _ in range(early):
        own = B @ own
    c, size = found.fitted(own.reshape(-1, n, 4).transpose(1, 0, 2), 0)
    left, R, T = np.zeros_like(size), stacked(found.right), found.transition
    for m in range(60):
        rest = own - R @ np.linalg.matrix_power(T, m) @ c
        left += found.norms(rest.reshape(-1, n, 4).transpose(1, 0, 2))
        own = B @ own
    bound = found.left_after(60, size, c)
    assert (left <= bound * (1 + 1e-9)).all()
    assert (size <= left * (1 + 1e-9)).all()
    if early < 20:  # later rounding is most of it
        assert bound[0].max() < 80 * left[0].max()


def test_where_nothing_settles_nothing_is_claimed():
    """Two states that take turns."""
    from pgbench.problems import FiniteMDP

    P = np.zeros((2, 1, 2))
    P[0, 0, 1] = P[1, 0, 0] = 1.0
    mdp = FiniteMDP.from_arrays(P, [[1.0], [0.0]], [1.0, 0.0], 0.9)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial())
    shifted = Dominant.of(Recursion(estimators()["reward_to_go"].make(truth)))
    assert shifted.known  # 1 is an eigenvector all the same; the other does not die out
    x = np.array([[[1.0]], [[0.0]]])
    _, size = shifted.fitted(np.concatenate([x, 0 * x], axis=1), 0)
    assert size[0] == pytest.approx(0.5)
    assert shifted.left_after(None, size, 0 * size)[0] == pytest.approx(0.5 / (1 - 0.9))
