"""What returns to states take, as it is said beforehand, against what they then took."""

import tracemalloc

import pytest

from pgbench.estimators import estimators
from pgbench.exact import evaluate
from pgbench.exact.finite import paths
from pgbench.exact.finite.returns_size import PER_PRODUCT, returns_size
from pgbench.exact.table_moments import LIMIT, fits, moments_size, table_moments
from pgbench.policies import make_policy
from pgbench.problems import make_problem

LARGE = [
    ("garnet", {"n_states": 600, "n_actions": 3}, 60),
    ("gridworld", {"size": 26}, 60),
    ("gridworld", {"size": 30, "slip": 0.3}, 40),
]


def made(problem, sizes, estimator, horizon=None):
    mdp = make_problem(problem, **sizes, gamma=0.95)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1, scale=0.5))
    return truth, estimators()[estimator].make(truth, horizon)


@pytest.mark.parametrize(("problem", "sizes", "horizon"), LARGE)
@pytest.mark.parametrize("estimator", ["reward_to_go", "reinforce", "importance_sampling"])
def test_products_are_about_as_many_as_is_said(monkeypatch, problem, sizes, horizon, estimator):
    truth, tables = made(problem, sizes, estimator, horizon)
    said = returns_size(tables, horizon).operations
    done, advance = [], paths._Walk.advance

    def counted(walk, rows):
        _, indices, entries = walk._matrix
        done.append(rows.size * walk.x.shape[2] * entries.shape[1] * indices.size / len(walk.x))
        advance(walk, rows)

    monkeypatch.setattr(paths._Walk, "advance", counted)
    table_moments(truth, tables, horizon)
    assert 1 < said / (PER_PRODUCT * sum(done)) < 3  # rows and the sums over steps count besides


@pytest.mark.parametrize(("problem", "sizes", "horizon"), LARGE)
@pytest.mark.parametrize("estimator", ["reward_to_go", "reinforce"])
def test_memory_is_about_what_is_said(problem, sizes, horizon, estimator):
    truth, tables = made(problem, sizes, estimator, horizon)
    table_moments(truth, tables, 2)  # compiles, and makes what is remembered
    said = moments_size(truth, tables, horizon).memory_bytes
    tracemalloc.start()
    table_moments(truth, tables, horizon)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.9 < said / peak < 4, (said, peak)


@pytest.mark.parametrize("horizon", [200, None])
def test_what_ten_thousand_states_take_is_allowed(horizon):
    """Of graphs that mix and of walks to neighbours, and not of ten times as many."""
    for problem, sizes in (
        ("garnet", {"n_states": 10_000, "branching": 4}),
        ("gridworld", {"size": 103}),
        ("corridor", {"length": 10_000}),
    ):
        truth, tables = made(problem, sizes, "reward_to_go")
        assert fits(moments_size(truth, tables, horizon)), problem
    truth, tables = made("garnet", {"n_states": 100_000}, "reward_to_go")
    assert not fits(moments_size(truth, tables, horizon), LIMIT)
