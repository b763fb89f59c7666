"""Bounds hold along exact ascents of every shipped problem, and a violated one is seen."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import pgbench as pg
from pgbench.ascent.goal import ALL, CLASS, UPPER, find_goal
from pgbench.ascent.theory import CHECKS, NATURAL, PROJECTED, SOFTMAX, theory
from pgbench.exact import evaluate, optimal_value
from pgbench.objectives import make_objective
from pgbench.policies import LogLinear, NotApplicable, make_policy
from pgbench.problems import FiniteMDP, make_problem
from tests.support.ascents import ascend
from tests.support.problems import FAMILIES, small_gamma
from tests.support.truths import PENALISED, make_kind

STEPS = 150


def checked(mdp, policy, trace, algorithm, rule="constant", step=0.0):
    return theory(mdp, policy, find_goal(mdp, policy), trace, algorithm, rule, step)


def ties():
    """Two actions of the same value everywhere, of which one is listed first."""
    rng = np.random.default_rng(4)
    P, r = rng.dirichlet(np.ones(4), size=(4, 2)), rng.random((4, 2))
    return FiniteMDP.from_arrays(
        np.concatenate([P, P[:, :1]], axis=1),
        np.concatenate([r, r[:, :1]], axis=1),
        np.full(4, 0.25),
        0.9,
    )


DISCOUNTED = [name for name in FAMILIES if small_gamma(name) < 1]


def is_smooth(name, kind):
    """Whether a bound on the curvature of J is known: not at γ = 1, nor of all policies at 0."""
    return 0 < small_gamma(name) < 1 or (small_gamma(name) == 0 and kind == "softmax")


BOTH = list(product(FAMILIES, ["softmax", "direct"]))


@pytest.mark.parametrize("eta", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("name", DISCOUNTED)
def test_natural_gradient_bound_holds_at_every_step(name, make_small, eta):
    mdp = make_small(name)
    policy = make_policy("softmax", mdp)
    trace = ascend(mdp, policy, algorithm="natural", step=eta, steps=STEPS, points=20_000)
    assert trace.steps.size == STEPS + 1
    found = checked(mdp, policy, trace, "natural", step=eta)
    assert found.name == NATURAL
    assert np.isfinite(found.bound[1:]).all()
    for check in CHECKS:
        assert found.violations[check] == 0, check


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in DISCOUNTED])
def test_no_bound_is_claimed_without_discount(name, make_small):
    mdp = make_small(name)
    policy = make_policy("softmax", mdp)
    trace = ascend(mdp, policy, algorithm="natural", step=1.0, steps=STEPS, points=20_000)
    assert checked(mdp, policy, trace, "natural", step=1.0).name == ""


@pytest.mark.parametrize(("name", "kind"), [one for one in BOTH if not is_smooth(*one)])
def test_no_step_size_is_claimed_where_smoothness_is_unknown(name, kind, make_small):
    mdp = make_small(name)
    with pytest.raises(NotApplicable):
        ascend(mdp, make_kind(kind, mdp), rule="smoothness")


@pytest.mark.parametrize(("name", "kind"), [one for one in BOTH if is_smooth(*one)])
def test_smooth_ascent_never_falls_and_keeps_its_bound(name, kind, make_small):
    mdp = make_small(name)
    policy = make_kind(kind, mdp)
    trace = ascend(mdp, policy, rule="smoothness", steps=STEPS, points=20_000)
    found = checked(mdp, policy, trace, "gradient", "smoothness")
    assert found.violations["monotone"] == 0
    if mdp.mu0.min() > 0:
        assert found.name == (SOFTMAX if kind == "softmax" else PROJECTED)
        assert found.violations["bound"] == 0
    else:
        assert found.name == ""


@pytest.mark.parametrize("problem", [ties, lambda: make_problem("garnet", n_states=8, seed=1)])
@pytest.mark.parametrize("kind", ["softmax", "direct"])
def test_bounds_with_ties_and_without(problem, kind):
    mdp = problem()
    mdp = FiniteMDP(
        mdp.successor, mdp.probability, mdp.reward, np.full(mdp.n_states, 1 / mdp.n_states), 0.6
    )
    policy = make_kind(kind, mdp)
    goal = find_goal(mdp, policy)
    trace = ascend(mdp, policy, rule="smoothness", steps=2000, points=200)
    found = theory(mdp, policy, goal, trace, "gradient", "smoothness", np.nan)
    assert found.name in (SOFTMAX, PROJECTED)
    assert all(count == 0 for count in found.violations.values() if not np.isnan(count))
    assert trace.distance[0, -1] < trace.distance[0, 0]


def test_ties_are_all_right_actions():
    mdp = ties()
    goal = find_goal(mdp, make_policy("softmax", mdp))
    np.testing.assert_array_equal(goal.right[:, 0], goal.right[:, 2])
    assert (goal.right.sum(axis=1) >= 1).all()
    assert goal.right[:, 0].any()


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("bound", lambda t: replace(t, objective=t.objective - 50)),
        ("monotone", lambda t: replace(t, objective=t.objective[:, ::-1])),
        ("gradient_bound", lambda t: replace(t, gradient_norm=1e4 + t.gradient_norm)),
        ("gradient_domination", lambda t: replace(t, gradient_norm=0 * t.gradient_norm)),
    ],
)
def test_violations_are_counted(check, change):
    mdp = make_problem("garnet", n_states=5, gamma=0.8, seed=0)
    policy = make_policy("softmax", mdp)
    trace = ascend(mdp, policy, algorithm="natural", step=0.2, steps=5)
    good = checked(mdp, policy, trace, "natural", step=0.2)
    assert good.violations[check] == 0
    bad = checked(mdp, policy, change(trace), "natural", step=0.2)
    assert bad.violations[check] > 0


def test_the_bound_fails_where_a_larger_step_is_claimed():
    """A bound that a wrong implementation would pass is no check: run with η/10⁶, claim η."""
    mdp = make_problem("two_state")
    policy = make_policy("softmax", mdp)
    trace = ascend(mdp, policy, algorithm="natural", step=1e-6, steps=STEPS)
    assert checked(mdp, policy, trace, "natural", step=1e-6).violations["bound"] == 0
    trace = ascend(mdp, policy, algorithm="natural", step=1e-6, steps=20_000, points=50)
    assert checked(mdp, policy, trace, "natural", step=1.0).violations["bound"] > 0


def test_bounds_scale_with_rewards():
    """Rewards times 10 and the step over 10 are the same ascent, with ten times the bound."""
    mdp = make_problem("garnet", n_states=5, gamma=0.8, seed=0)
    large = mdp.paying(10 * mdp.reward)
    policy = make_policy("softmax", mdp)
    one = ascend(mdp, policy, algorithm="natural", step=0.5, steps=20)
    ten = ascend(large, policy, algorithm="natural", step=0.05, steps=20)
    np.testing.assert_allclose(ten.objective, 10 * one.objective, rtol=1e-9)
    a = checked(mdp, policy, one, "natural", step=0.5).bound
    b = checked(large, policy, ten, "natural", step=0.05).bound
    np.testing.assert_allclose(b[1:], 10 * a[1:], rtol=1e-9)


@pytest.mark.parametrize("algorithm", ["", "adam", "natural"])
def test_nothing_is_claimed_where_nothing_is_proven(algorithm):
    """Estimates, other algorithms, other policies, γ = 1."""
    mdp = make_problem("corridor")
    policy = make_policy("loglinear", mdp, features="own")
    trace = ascend(mdp, policy, steps=3, step=0.01)
    found = checked(mdp, policy, trace, algorithm, step=0.01)
    assert found.name == ""
    assert np.isnan(list(found.violations.values())).all()


def test_goals():
    corridor = make_problem("corridor")
    goal = find_goal(corridor, make_policy("loglinear", corridor, features="own"))
    assert goal.kind == CLASS
    assert goal.objective == pytest.approx(-6 - 4 * np.sqrt(2), rel=1e-10)
    assert find_goal(corridor, make_policy("softmax", corridor)).objective == pytest.approx(-3)
    flip = make_problem("sign_flip")
    goal = find_goal(flip, make_policy("loglinear", flip, features="own"))
    assert (goal.kind, goal.objective) == (CLASS, pytest.approx(0.25))
    garnet = make_problem("garnet", n_states=6, gamma=0.9, seed=0)
    best = optimal_value(garnet).objective
    few = find_goal(garnet, make_policy("loglinear", garnet, n_features=4))
    assert (few.kind, few.objective) == (UPPER, best)
    every = LogLinear(np.eye(garnet.n_states * garnet.n_actions).reshape(6, -1, 6 * 4))
    assert find_goal(garnet, every).kind == ALL
    assert np.isnan(find_goal(garnet, make_policy("softmax", garnet), largest=5).objective)


def test_gradient_domination_against_its_definition():
    """(Mei et al. 2020, Lemma 8) from matrices, on a problem with every state visited."""
    mdp = make_problem("random", n_states=4, n_actions=3, gamma=0.7, seed=3)
    policy = make_policy("softmax", mdp)
    goal, best = find_goal(mdp, policy), optimal_value(mdp)
    from pgbench.ascent.crowd import FiniteCrowd

    theta = policy.initial(seed=1)
    truth = evaluate(mdp, policy, theta)
    P = mdp.transitions.toarray().reshape(4, 3, 4)[np.arange(4), best.action]
    d_star = np.linalg.solve((np.eye(4) - 0.7 * P).T, mdp.mu0)
    least = truth.pi[np.arange(4), best.action].min()
    floor = least * (best.objective - truth.objective)
    floor /= np.sqrt(4) * (d_star / truth.visitation).max()
    assert goal.gradient_floor(FiniteCrowd(mdp, policy, theta[None]))[0] == pytest.approx(floor)
    assert floor <= np.linalg.norm(truth.gradient)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("name", PENALISED)
@pytest.mark.parametrize("seed", range(3))
def test_the_linear_rate_under_a_penalty(seed, name, share):
    """It holds at every iterate, and is within 400 times the gap at one of them."""
    mdp = make_problem("garnet", n_states=6, n_actions=3, gamma=0.8, seed=seed)
    policy = make_policy("softmax", mdp)
    objective = make_objective(name, mdp, policy, **PENALISED[name])
    step = share * 0.2 / objective.coefficient
    chosen = {"objective": name, **PENALISED[name]}
    trace = pg.ascend(mdp, policy, policy.initial(seed=seed, scale=2.0), algorithm="natural",
                      step_size=step, steps=100, objective=chosen)  # fmt: skip
    goal = find_goal(mdp, policy, objective=objective)
    found = theory(mdp, policy, goal, trace, "natural", "constant", step, objective)
    assert found.violations["bound"] == found.violations["monotone"] == 0
    gap = goal.objective - trace.objective[0]
    there = (gap > 1e-8) & (trace.steps > 0)
    assert (found.bound[there] < 400 * gap[there]).any()
    assert "Cen et al. 2022" in found.name
    # Of what is longer, or another ascent, nothing is proven.
    for ascent, size in (("natural", 1.1 * 0.2 / objective.coefficient), ("gradient", step)):
        other = theory(mdp, policy, goal, trace, ascent, "constant", size, objective)
        assert other.name == ""
        assert np.isnan(other.bound).all()
