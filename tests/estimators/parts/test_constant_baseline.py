"""The best constant baseline: no other has less exact variance."""

import numpy as np
import pytest

from pgbench.estimators import make_tables
from pgbench.exact import evaluate, moments
from pgbench.exact.table_moments import table_moments
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import make_problem


@pytest.fixture
def garnet():
    mdp = make_problem("garnet", n_states=8, seed=4)
    policy = make_policy("softmax", mdp)
    return evaluate(mdp, policy, policy.initial(seed=2))


def trace(truth, name, b, horizon=12, **given):
    tables = make_tables(truth, name, horizon, baseline=b, **given)
    return table_moments(truth, tables, horizon).trace


VARIANTS = [("reinforce", {}), ("reward_to_go", {}), ("reward_to_go", {"discounted": False})]


@pytest.mark.parametrize(("name", "given"), VARIANTS)
def test_no_other_constant_has_less_variance(garnet, name, given):
    """The variance is a parabola in b, so three points and the size of its slope will do."""
    best = trace(garnet, name, "optimal", **given)
    b = make_tables(garnet, name, 12, baseline="optimal", **given).beta.max(axis=None)
    for other in (0.0, "objective", 1.001 * b, 0.999 * b, -b, 100 * b):
        assert trace(garnet, name, other, **given) > best
    up, down = (trace(garnet, name, b + step, **given) for step in (0.1, -0.1))
    assert up - down == pytest.approx(0, abs=1e-9 * (up + down - 2 * best))


def test_it_depends_on_the_horizon(garnet):
    beta = [make_tables(garnet, "reinforce", H, baseline="optimal").beta[0, 0] for H in (2, 12)]
    assert abs(beta[0] - beta[1]) > 0.01 * abs(beta[1])


def test_bandit_has_the_closed_form():
    """One step, so that b = E[r ‖ψ‖²]/E[‖ψ‖²] (Greensmith, Bartlett & Baxter 2004)."""
    mdp = make_problem("bandit", n_actions=3)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, np.array([0.3, -0.5, 0.1, *np.zeros(policy.n_parameters - 3)]))
    squares = (policy.scores(truth.theta) ** 2).sum(axis=2) * truth.pi * mdp.mu0[:, None]
    expected = (squares * mdp.expected_reward).sum() / squares.sum()
    for name in ("reinforce", "reward_to_go"):
        beta = make_tables(truth, name, 1, baseline="optimal").beta
        assert beta[mdp.mu0 > 0].max() == pytest.approx(expected, rel=1e-12)


def test_without_a_horizon_it_is_refused_where_the_variance_is_infinite(garnet):
    with pytest.raises(NotApplicable, match=r"optimal constant baseline .* give a finite horizon"):
        moments(garnet.mdp, garnet.policy, garnet.theta, "reinforce", baseline="optimal")
    endless = [
        moments(garnet.mdp, garnet.policy, garnet.theta, "reward_to_go", baseline=b).trace
        for b in ("optimal", 0.0, "objective")
    ]
    assert min(endless) == endless[0]


def test_large_problems_are_refused():
    mdp = make_problem("garnet", n_states=20_000)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial())
    with pytest.raises(NotApplicable, match="too large for exact moments"):
        make_tables(truth, "reinforce", 200, baseline="optimal")
