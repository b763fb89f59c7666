"""Ascents of objectives with a penalty: rewards change with θ, and one policy alone is optimal."""

import numpy as np
import pytest

import pgbench as pg
from pgbench.ascent.crowd import FiniteCrowd, gather
from pgbench.ascent.goal import ALL, CLASS, UNKNOWN, UPPER, SoftGoal, find_goal
from pgbench.estimators import estimators
from pgbench.exact import evaluate
from pgbench.objectives import make_objective
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import make_problem
from tests.support.numbers import close
from tests.support.truths import PENALISED, tiny_objective

NAMES = pytest.mark.parametrize("name", PENALISED)
KL = {"objective": "kl", "beta": 0.5}


@NAMES
@pytest.mark.parametrize("problem", ["dense", "ending", "fewer"])
@pytest.mark.parametrize("kind", ["softmax", "loglinear", "neural"])
def test_a_crowd_has_the_quantities_of_each_policy(problem, kind, name):
    objective = tiny_objective(problem, kind, name)
    policy = objective.policy
    thetas = np.stack([policy.initial(seed=s) for s in (1, 2, 3)])
    crowd = gather(objective.mdp, policy, thetas, under=objective)
    for r in range(3):
        one = objective.truth(thetas[r])
        assert crowd.objective[r] == pytest.approx(one.objective, rel=1e-12)
        close(crowd.gradient[r], one.gradient)
        close(crowd.truth(r).penalty.log_ratio, one.penalty.log_ratio)
        if kind == "softmax":
            # Multiplicative weights, where actions count that the problem knows of.
            close(crowd.natural_gradient[r], one.natural(one.gradient), 1e-8)


def test_an_algorithm_may_add_entropy_besides():
    objective = tiny_objective("dense", "softmax", "kl")
    thetas = np.stack([objective.policy.initial(seed=s) for s in range(2)])
    given = objective.mdp, objective.policy, thetas
    both = gather(*given, 0.3, objective).objective
    entropy = gather(*given, 0.3).objective - gather(*given).objective
    close(both, gather(*given, under=objective).objective + entropy)


@NAMES
def test_exact_ascent_reaches_the_optimum(name):
    mdp = make_problem("garnet", n_states=5, n_actions=3, gamma=0.8, seed=0)
    policy = make_policy("softmax", mdp)
    chosen = {"objective": name, **PENALISED[name]}
    best = make_objective(name, mdp, policy, **PENALISED[name]).optimum
    theta = policy.initial(init="zeros")
    path = pg.ascend(mdp, policy, theta, algorithm="natural", step_size=0.2, steps=100,
                     objective=chosen)  # fmt: skip
    assert path.objective[0, -1] == pytest.approx(best.objective, rel=1e-12)
    assert (np.diff(path.objective[0]) > -1e-12).all()
    assert path.distance[0, -1] < 1e-6 < path.distance[0, 0]
    close(policy.probabilities(path.theta[0]), best.pi, 1e-6)
    plain = pg.ascend(mdp, policy, theta, algorithm="natural", step_size=0.2, steps=100)
    assert np.abs(policy.probabilities(plain.theta[0]) - best.pi).max() > 0.1


@pytest.mark.parametrize(
    ("algorithm", "estimator"),
    [("gradient", "baseline_value"), ("gradient", "rloo"), ("svrpg", "reward_to_go")],
)
def test_sampled_ascent_comes_near_it(algorithm, estimator):
    """Each batch is paid by its own policy: 400 updates from 16 rollouts each."""
    mdp = make_problem("garnet", n_states=4, n_actions=2, gamma=0.6, seed=1)
    policy = make_policy("softmax", mdp)
    best = make_objective("kl", mdp, policy, beta=0.5).optimum.objective
    theta = policy.initial(seed=4, scale=2.0)
    path = pg.ascend(mdp, policy, theta, algorithm=algorithm, estimator=estimator, step_size=0.3,
                     steps=400, batch_size=16, replicates=3, horizon=20, objective=KL)  # fmt: skip
    gap = best - path.objective
    assert (gap[:, 0] > 0.1).all()
    assert (gap[:, -1] < 0.1 * gap[:, 0]).all()
    assert (gap > 0).all()


def test_the_penalty_in_the_loss_ends_elsewhere():
    """The exact mean of k1 follows J alone, and ends where J_β is far from its optimum."""
    mdp = make_problem("garnet", n_states=4, n_actions=2, gamma=0.6, seed=1)
    policy = make_policy("softmax", mdp)
    best = make_objective("kl", mdp, policy, beta=0.5).optimum.objective
    theta = policy.initial(init="zeros")
    ends = []
    for form in ("k1", "k3"):
        followed = {"estimator": "penalty_in_loss", "form": form}
        path = pg.ascend(mdp, policy, theta, estimator=followed, step_size=0.5, steps=200,
                         batch_size=64, replicates=2, horizon=20, objective=KL)  # fmt: skip
        ends.append(best - path.objective[:, -1].mean())
    assert ends[0] > 5 * ends[1] > 0


@pytest.mark.parametrize("name", [n for n, e in estimators().items() if e.penalised])
def test_estimators_of_the_penalty_are_followed_too(name):
    mdp = make_problem("garnet", n_states=4, n_actions=2, gamma=0.6, seed=1)
    policy = make_policy("softmax", mdp)
    given = {"estimator": name, "step_size": 0.1, "steps": 3, "batch_size": 2, "replicates": 2}
    start = policy.initial(init="zeros")
    path = pg.ascend(mdp, policy, start, horizon=9, objective=KL, **given)
    assert np.isfinite(path.objective).all()
    with pytest.raises(NotApplicable, match="the objective has no penalty"):
        pg.ascend(mdp, policy, start, horizon=9, **given)


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("direct", {}, "boundary of the simplex, where the penalty"),
        (
            "softmax",
            {"algorithm": {"algorithm": "actor_critic", "critic_step": 0.1}},
            "rewards that do not change with θ",
        ),
        ("softmax", {"step_size": {"step_size": "smoothness"}}, "not that of an objective with a"),
    ],
)
def test_what_makes_no_sense_is_refused(kind, given, words):
    mdp = make_problem("garnet", n_states=4, gamma=0.8)
    policy = make_policy(kind, mdp)
    with pytest.raises(NotApplicable, match=words):
        pg.ascend(mdp, policy, policy.initial(), steps=2, objective="kl", **given)
    pg.ascend(mdp, policy, policy.initial(), steps=2, horizon=5, objective="J", **given)


def test_linear_quadratic_problems_have_no_penalty():
    mdp = make_problem("lqg")
    policy = make_policy("gaussian", mdp)
    with pytest.raises(NotApplicable, match="kl is an objective for finite problems"):
        pg.ascend(mdp, policy, policy.initial(), steps=2, objective="kl")
    finite = tiny_objective("dense", "softmax", "kl")
    with pytest.raises(NotApplicable, match="a penalty is part of the objective for finite"):
        gather(mdp, policy, policy.initial()[None], under=finite)


def test_what_is_aimed_at():
    mdp = make_problem("garnet", n_states=6, gamma=0.9)
    goals = {}
    for kind, given in (("softmax", {}), ("loglinear", {"n_features": 2}), ("neural", {})):
        policy = make_policy(kind, mdp, **given)
        objective = make_objective("kl", mdp, policy, reference="uniform")
        goals[kind] = find_goal(mdp, policy, objective=objective)
        assert isinstance(goals[kind], SoftGoal)
        assert goals[kind].objective == objective.optimum.objective
        unknown = find_goal(mdp, policy, largest=5, objective=objective)
        assert (unknown.kind, unknown.optimum) == (UNKNOWN, None)
    assert [goal.kind for goal in goals.values()] == [ALL, UPPER, UPPER]
    policy = make_policy("softmax", mdp)
    crowd = FiniteCrowd(mdp, policy, policy.initial()[None])
    assert np.isnan(unknown.scores(crowd)["distance"]).all()
    assert np.isnan(goals["softmax"].optimal_probability(crowd)).all()
    assert not goals["softmax"].certain(np.zeros((2, 3))).any()


def test_the_best_of_one_degree_of_freedom_is_searched_for():
    mdp = make_problem("corridor")
    policy = make_policy("loglinear", mdp, features="own")
    objective = make_objective("entropy", mdp, policy, alpha=0.5)
    goal = find_goal(mdp, policy, objective=objective)
    assert goal.kind == CLASS
    t = np.linspace(-3, 3, 601)
    values = [objective.truth(np.array([x, 0.0])).objective for x in t]
    assert goal.objective == pytest.approx(max(values), abs=1e-4)
    assert goal.objective >= max(values) - 1e-12
    assert goal.objective < objective.optimum.objective
    assert evaluate(mdp, policy, np.zeros(2)).objective < goal.objective
