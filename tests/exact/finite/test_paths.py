"""Returns of large problems: all of what is followed, solved and left out, against small ways."""

import numpy as np
import pytest

from pgbench.estimators import estimators
from pgbench.exact import Size, evaluate
from pgbench.exact.finite import fundamental, recursion, revisits
from pgbench.exact.table_moments import table_moments
from pgbench.policies import make_policy
from pgbench.problems import FiniteMDP, make_problem

PLENTY = Size(1e12, 1e18)


def ending():
    """A random chain that ends here and there."""
    rng = np.random.default_rng(5)
    P = rng.dirichlet(np.full(70, 0.1), size=(70, 3))
    ends = np.arange(70) >= 67
    return FiniteMDP.from_arrays(P, rng.standard_normal((70, 3)), np.eye(70)[0], 1.0, terminal=ends)


PROBLEMS = {
    "garnet": lambda: make_problem("garnet", n_states=150, n_actions=3, branching=4, gamma=0.97),
    "gridworld": lambda: make_problem("gridworld", size=9, gamma=0.95),
    "corridor": lambda: make_problem("corridor", length=70, gamma=0.95),
    "sequences": lambda: make_problem("sequences"),
    "ending": ending,
}
VARIANTS = {
    "reinforce": {},
    "reward_to_go": {},
    "baseline_value": {},
    "gae": {"lam": 0.9},
    "td": {},
    "q_oracle": {},
    "importance_sampling": {"exploration": 0.3},
    "reward_to_go without": {"discounted": False},
}


def made(problem, variant, horizon=None, seed=2):
    mdp = PROBLEMS[problem]()
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=seed, scale=0.5))
    name = variant.removesuffix(" without")
    return truth, estimators()[name].make(truth, horizon, **VARIANTS[variant])


def both(monkeypatch, problem, variant, horizon, *, solved=False):
    """Moments in the way of small problems, and in that of large ones."""
    found = []
    for limit in (10**6, 0):
        with monkeypatch.context() as patch:
            truth, tables = made(problem, variant, horizon)
            patch.setattr(revisits, "SMALL", limit)
            patch.setattr(revisits, "DENSE_LIMIT", limit)
            for module, name in ((recursion, "DENSE_LIMIT"), (fundamental, "SMALL")):
                patch.setattr(module, name, 10**6 if solved else limit)
            found.append(table_moments(truth, tables, horizon, limit=PLENTY))
    return found


def agree(small, large):
    second = small.variance + small.mean**2
    away = np.abs(large.variance - small.variance)
    assert away.max() < 1e-12 * second.max()
    # The bound is on what is left out and on rounding of returns; the sums round besides.
    assert (away <= large.error + 1e-14 * second.max()).all()
    assert not np.any(small.error)
    assert 0 < np.max(large.error) < 1e-8 * second.max()


CANCELLING = [("corridor", "gae"), ("corridor", "baseline_value")]
"""Where what is weighed is 1e-13 of the rewards that it is made of: they cancel to rounding."""

BOUNDED = [
    (problem, variant)
    for problem in PROBLEMS
    for variant in VARIANTS
    if variant != "importance_sampling" and (problem, variant) not in CANCELLING
]


@pytest.mark.parametrize("horizon", [2, 5, 90])
@pytest.mark.parametrize(("problem", "variant"), BOUNDED)
def test_returns_of_large_problems_are_those_of_small_ones(monkeypatch, problem, variant, horizon):
    agree(*both(monkeypatch, problem, variant, horizon))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_ratios_grow_in_norm_and_so_does_the_bound(monkeypatch, problem):
    small, large = both(monkeypatch, problem, "importance_sampling", 40)
    second = small.variance + small.mean**2
    away = np.abs(large.variance - small.variance)
    assert away.max() < 1e-12 * second.max()
    assert (away <= large.error + 1e-14 * second.max()).all()


ENDLESS = [
    (problem, variant)
    for problem, variant in BOUNDED
    if problem in ("sequences", "ending") or variant not in ("reinforce", "reward_to_go without")
]
"""What has a finite variance without limit."""


@pytest.mark.parametrize("solved", [True, False])
@pytest.mark.parametrize(("problem", "variant"), ENDLESS)
def test_without_limit_too(monkeypatch, problem, variant, solved):
    """By solutions with factors, and where the walk settles by paths."""
    agree(*both(monkeypatch, problem, variant, None, solved=solved))


@pytest.mark.parametrize("horizon", [90, None])
def test_less_care_leaves_more_out_and_the_bound_says_so(monkeypatch, horizon):
    """What is left out is seen, within the bound, and the bound is not much more."""
    from pgbench.exact.finite import paths

    monkeypatch.setattr(paths, "LEFT_OUT", 1e-4)
    small, large = both(monkeypatch, "garnet", "reward_to_go", horizon)
    away = np.abs(large.variance - small.variance)
    assert (away <= large.error).all()
    second = (small.variance + small.mean**2).max()
    assert away.max() > 1e-9 * second
    assert large.error.max() < 1e-3 * second


def test_paths_serve_every_horizon_and_every_baseline(monkeypatch):
    monkeypatch.setattr(revisits, "SMALL", 0)
    monkeypatch.setattr(revisits, "DENSE_LIMIT", 0)
    monkeypatch.setattr(recursion, "DENSE_LIMIT", 0)
    monkeypatch.setattr(fundamental, "SMALL", 0)
    mdp = PROBLEMS["garnet"]()
    policy = make_policy("softmax", mdp)
    theta = policy.initial(seed=2, scale=0.5)

    def asked(truth, name, horizon):
        return table_moments(truth, estimators()[name].make(truth), horizon).variance

    alone = {
        (name, horizon): asked(evaluate(PROBLEMS["garnet"](), policy, theta), name, horizon)
        for name, horizon in (("baseline_value", 200), ("reward_to_go", None))
    }
    truth = evaluate(mdp, policy, theta)
    asked(truth, "reward_to_go", 90)

    def none(*_):
        raise AssertionError("paths are followed again")

    monkeypatch.setattr(revisits.Paths, "follow", none)
    for (name, horizon), expected in alone.items():
        np.testing.assert_array_equal(asked(truth, name, horizon), expected)
    with pytest.raises(AssertionError, match="again"):
        asked(truth, "td", 90)


@pytest.mark.parametrize("problem", ["garnet", "gridworld"])
@pytest.mark.parametrize("horizon", [30, None])
def test_no_byte_hangs_on_threads(monkeypatch, problem, horizon):
    monkeypatch.setattr(revisits, "SMALL", 0)
    monkeypatch.setattr(revisits, "DENSE_LIMIT", 0)
    monkeypatch.setattr(revisits, "GROUP", 16)
    found = []
    for threads in (1, 3):
        truth, tables = made(problem, "reward_to_go", horizon)
        found.append(table_moments(truth, tables, horizon, threads=threads).variance)
    np.testing.assert_array_equal(*found)
