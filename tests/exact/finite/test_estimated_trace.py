"""The total variance estimated from a sample of states, against the exact one."""

from functools import cache

import numpy as np
import pytest

import pgbench as pg
from pgbench.estimators import estimators
from pgbench.exact import Size, TooLarge, evaluate
from pgbench.exact.finite.estimated_trace import _visits, estimated_trace
from pgbench.exact.finite.recursion import Recursion
from pgbench.exact.table_moments import table_moments
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import make_problem

CASES = [("garnet", "reward_to_go", 40), ("garnet", "gae", None), ("gridworld", "reinforce", 12)]


@cache
def made(problem, estimator, horizon, kind="softmax"):
    sizes = {"garnet": {"n_states": 25, "n_actions": 3}, "gridworld": {"size": 4}}[problem]
    mdp = make_problem(problem, **sizes, gamma=0.9)
    policy = make_policy(kind, mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    given = {"lam": 0.9} if estimator == "gae" else {}
    return truth, estimators()[estimator].make(truth, horizon, **given)


def samples(case, points=8, number=120):
    truth, tables = made(*case)
    found = [estimated_trace(truth, tables, case[2], points=points, seed=s) for s in range(number)]
    values, errors = np.array([(f.value, f.standard_error) for f in found]).T
    return values, errors


@pytest.mark.parametrize("case", CASES)
def test_estimates_and_the_squares_of_their_errors_are_unbiased(case):
    """Over 120 samples, bounds in standard errors; the trace without returns is far off."""
    truth, tables = made(*case)
    exact = table_moments(truth, tables, case[2])
    values, errors = samples(case)
    of_mean = values.std() / np.sqrt(values.size)
    assert abs(values.mean() - exact.trace) < 4 * of_mean
    squares = (values - exact.trace) ** 2 - errors**2
    assert abs(squares.mean()) < 4 * squares.std() / np.sqrt(squares.size)
    local = truth.policy.local_scores(truth.theta)
    visits = _visits(Recursion(tables), case[2])
    alone = np.einsum("sa,sak->", visits, local**2) - exact.mean @ exact.mean
    assert abs(values.mean() - alone) > 8 * of_mean


def test_more_points_have_a_smaller_error():
    few, many = (samples(CASES[0], points, 40)[1].mean() for points in (8, 64))
    assert many < few / 1.8


def test_by_name_it_is_the_same_at_any_number_of_threads():
    truth, tables = made(*CASES[0])
    expected = estimated_trace(truth, tables, 40, points=64, seed=3, threads=1)
    arguments = truth.mdp, truth.policy, truth.theta, "reward_to_go"
    found = pg.estimated_trace(*arguments, horizon=40, points=64, seed=3, threads=3)
    assert found == expected
    assert 0 < found.states <= 64


def test_large_problems_are_followed_as_their_exact_moments_are():
    mdp = make_problem("garnet", n_states=2000, gamma=0.95)
    policy = make_policy("softmax", mdp)
    arguments = mdp, policy, policy.initial(seed=1), "reward_to_go"
    for horizon in (60, None):
        found = pg.estimated_trace(*arguments, horizon=horizon, points=64)
        exact = pg.moments(*arguments, horizon=horizon).trace
        assert abs(found.value - exact) < 4 * found.standard_error
        assert found.standard_error < 0.05 * exact


def test_what_it_is_not_for_is_refused():
    truth, tables = made("garnet", "reward_to_go", 40, "loglinear")
    with pytest.raises(NotApplicable, match="shared by states"):
        estimated_trace(truth, tables, 40)
    truth, tables = made(*CASES[0])
    with pytest.raises(ValueError, match="points is 3, must be even"):
        estimated_trace(truth, tables, 40, points=3)
    with pytest.raises(TooLarge, match="operations"):
        estimated_trace(truth, tables, 40, limit=Size(1e12, 1e3))
