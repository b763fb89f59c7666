"""On the boundary of the simplex: what estimators cannot see, and that they say so.

A direct policy with probabilities of zero. No rollout takes such an action, but its derivative is
there: J rises or falls with it from one side.
"""

from functools import cache

import numpy as np
import pytest

from pgbench import ascend
from pgbench.estimators import HORIZON, estimators
from pgbench.estimators.parts.estimator import declared_mean
from pgbench.exact import evaluate, optimal_value
from pgbench.exact.expectation import expectation
from pgbench.exact.horizon import finite_objective, truncated_gradient
from pgbench.exact.table_moments import table_moments
from pgbench.grid.plan import Prepared
from pgbench.grid.reader import parse_grid
from pgbench.harness.runner import execute
from pgbench.measure.gradients import estimates
from pgbench.measure.subject import make_subject
from pgbench.policies import make_policy
from pgbench.problems import FiniteMDP, make_problem
from pgbench.report.ascents.section import sentences
from pgbench.report.declared import verdicts
from pgbench.report.tables import estimator_rows
from pgbench.rollout.enumeration import enumerated_batches, enumerated_moments
from pgbench.rollout.simulator import Draws
from tests.support.shipped import shipped
from tests.support.truths import tiny_truth
from tests.support.variants import each, listed_variants, record, size, table_variants

PROBLEMS = pytest.mark.parametrize("problem", ["dense", "ending", "coins"])
OF_ITS_HORIZON = each(
    v for v in table_variants() if v.objective == "J" and not v.simulates_its_horizon
)
"""Table estimators of ∇J whose trajectories are all listed at the same horizon.

Under an objective with a penalty there is no gradient on the boundary.
"""
LISTED = [v for v in listed_variants() if v.objective == "J"]
STEPS = 3


@cache
def at(problem):
    """Action 0 is never taken in state 0, the others are mixed."""
    inside = tiny_truth(problem, "direct")
    theta = inside.policy.table(inside.theta).copy()
    theta[0] = [0.0, 1.0]
    return evaluate(inside.mdp, inside.policy, theta.ravel())


@pytest.fixture
def truth(problem):
    """Exact quantities on the boundary."""
    return at(problem)


def near(truth, small):
    """θ moved a little from the boundary."""
    theta = truth.policy.table(truth.theta).copy()
    theta[0] = [small, 1 - small]
    return theta.ravel()


def close(actual, expected, tolerance=1e-12):
    assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()


@PROBLEMS
@pytest.mark.parametrize("horizon", [None, 1, 4])
def test_the_gradient_has_the_one_sided_derivatives(truth, horizon):
    """J along the edge that leaves the boundary: a rational function, here a quotient of two."""
    mdp, policy, small = truth.mdp, truth.policy, 1e-6
    gradient = evaluate(mdp, policy, truth.theta, horizon).gradient
    J = [evaluate(mdp, policy, near(truth, k * small), horizon).objective for k in (0, 1, 2)]
    slope = (-3 * J[0] + 4 * J[1] - J[2]) / (2 * small)
    assert gradient[0] - gradient[1] == pytest.approx(slope, rel=1e-7)
    assert abs(slope) > 1e-2


@PROBLEMS
def test_the_gradient_is_the_limit_from_inside(truth):
    inside = evaluate(truth.mdp, truth.policy, near(truth, 1e-12))
    close(truth.gradient, inside.gradient, 1e-10)
    close(finite_objective(truth, 4)[1], finite_objective(inside, 4)[1], 1e-10)
    close(truncated_gradient(truth, 4), truncated_gradient(inside, 4), 1e-10)


def test_a_bandit_at_its_vertex_says_where_to_go():
    """Two arms that pay 0 and 1, θ = (1, 0): ∇J along the simplex is (-1/2, 1/2).

    (Agarwal, Kakade, Lee & Mahajan 2021, Theorem 4.1: projected gradient ascent reaches J = 1.)
    """
    mdp, policy, theta = vertex(0.0, 1.0)
    assert evaluate(mdp, policy, theta).gradient[:2].tolist() == [-0.5, 0.5]
    assert evaluate(mdp, policy, theta, 1).gradient[:2].tolist() == [-0.5, 0.5]
    path = ascend(mdp, policy, theta, algorithm="gradient", estimator="exact", step_size=0.5,
                  steps=100)  # fmt: skip
    assert path.objective[0, [0, -1]].tolist() == [0.0, 1.0]
    assert path.gradient_norm[0, 0] == pytest.approx(np.sqrt(0.5), abs=1e-15)


@pytest.mark.parametrize("seed", [1, 5])
def test_exact_ascent_leaves_every_face_that_is_not_best(seed):
    """Steps of 5 run into the boundary; what the seen actions bring alone ends elsewhere on it."""
    mdp = make_problem("garnet", n_states=6, n_actions=3, branching=2, gamma=0.9, seed=seed)
    policy = make_policy("direct", mdp)
    start = policy.initial(init="zeros")
    path = ascend(mdp, policy, start, estimator="exact", step_size=5.0, steps=3000, points=3)
    assert path.unseen[0, -1] > 0
    best = optimal_value(mdp).objective
    assert path.objective[0, -1] == pytest.approx(best, rel=1e-12)
    theta = start
    for _ in range(300):
        theta = policy.retract(theta + 5.0 * evaluate(mdp, policy, theta).seen_gradient)
    assert evaluate(mdp, policy, theta).objective < best - 1e-2


def vertex(first, second):
    """A sure bandit of two arms, the first of which is taken always."""
    P = np.zeros((2, 2, 2))
    P[:, :, 1] = 1
    mdp = FiniteMDP.from_arrays(P, [[first, second], [0, 0]], [1.0, 0], 1.0, terminal=[False, True])
    return mdp, make_policy("direct", mdp), np.array([1.0, 0.0, 0.5, 0.5])


@PROBLEMS
@OF_ITS_HORIZON
def test_table_estimators_have_the_moments_of_what_they_see(truth, variant):
    tables = variant.tables(truth, STEPS)
    listed = enumerated_moments(truth, tables, STEPS)
    exact = table_moments(truth, tables, STEPS)
    close(exact.mean, listed.mean)
    scale = np.abs(listed.variance + listed.mean**2).max()
    assert np.abs(exact.variance - listed.variance).max() < 1e-12 * scale
    close(expectation(truth, tables, STEPS), listed.mean)


UNKNOWN = {
    "advantage_normalised", "baseline_learned", "baseline_per_coordinate",
    "compatible_critic", "episodic_natural_actor_critic", "gae_learned", "natural",
    "optimal_token_baseline", "sampled_actor_critic", "weighted_importance_sampling",
}  # fmt: skip
"""Shipped batch estimators of which some variant has no exact mean on the boundary."""


def exact_there(truth, variant):
    """Exact moments of batches of two steps."""
    return record(variant).exact(truth, 2, size(variant), **variant.given)


KNOWN = [v for v in LISTED if exact_there(at("dense"), v).mean is not None]
NOT_KNOWN = [v for v in LISTED if v not in KNOWN]


@PROBLEMS
@each(KNOWN)
def test_batch_estimators_have_the_moments_of_what_they_see(truth, variant):
    exact = exact_there(truth, variant)
    listed = enumerated_batches(truth, record(variant), 2, size(variant), **variant.given)
    close(exact.mean, listed.mean, 1e-11)
    if exact.variance is not None:
        scale = np.abs(listed.variance + listed.mean**2).max()
        assert np.abs(exact.variance - listed.variance).max() <= 1e-11 * scale


@PROBLEMS
@each(NOT_KNOWN)
def test_what_has_no_exact_mean_there_has_no_variance_either(truth, variant):
    assert exact_there(truth, variant) == (None, None)


def test_what_has_no_exact_mean_there_is_known():
    assert {v.name for v in NOT_KNOWN} & shipped() == UNKNOWN


@pytest.mark.parametrize("problem", ["dense"])
@pytest.mark.parametrize("name", ["antithetic", "quasi_monte_carlo"])
@pytest.mark.parametrize("value", [False, True])
def test_driven_rollouts_have_the_mean_of_independent_ones(truth, name, value):
    """Batches of theirs cannot be listed: 4000 replicates, and a bound of 4 standard errors."""
    draws = Draws(STEPS, 2, 4000, 3, 4)
    found, _ = estimates(truth, estimators()[name], {"value": value}, draws)
    mean = estimators()[name].exact(truth, STEPS, 2, value=value).mean
    error = found.std(axis=0) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - mean) < 4 * error + 1e-12).all()
    wrong = declared_mean(truth, STEPS, {"truncation"})
    assert (np.abs(found.mean(axis=0) - wrong) > 4 * error + 1e-12).any()


@PROBLEMS
@OF_ITS_HORIZON
def test_support_is_the_cause_of_what_they_do_not_see(truth, variant):
    """Every other cause removed, what is left beside the horizon is due to actions never taken."""
    estimator = estimators()[variant.name]
    causes = estimator.causes_at(truth, **variant.given)
    assert causes == (*variant.causes, "support")
    subject = make_subject(Prepared(truth, STEPS, float(STEPS)), estimator, variant.given)
    parts = subject.parts(1)
    assert set(parts) == {*(set(causes) - HORIZON), "horizon"}
    whole = subject.exact(1).mean - truth.gradient
    np.testing.assert_allclose(sum(parts.values()), whole, atol=1e-12)
    values = dict(estimator.bound(**variant.given))
    for cause in set(variant.causes) - HORIZON:
        values |= estimator.cures[cause]
    left = declared_mean(truth, STEPS, set(estimator.causes(**values))) - truth.gradient
    np.testing.assert_allclose(parts["horizon"], left, atol=1e-12)
    assert np.abs(parts["support"]).max() > 1e-3


@pytest.mark.parametrize("problem", ["dense"])
def test_inside_the_simplex_nothing_is_unseen(problem):
    truth = tiny_truth(problem, "direct")
    assert not truth.unseen
    assert truth.seen_gradient is truth.gradient
    assert "support" not in estimators()["reinforce"].causes_at(truth)


@pytest.mark.parametrize("horizon", [None, 1, 6])
def test_what_is_seen_is_the_pull_back_of_the_worth(horizon):
    """Over a horizon too, where the worth is no product of visits and advantages: by hand."""
    mdp = make_problem("garnet", n_states=6, n_actions=3, gamma=0.9, seed=2)
    pi = np.random.default_rng(3).dirichlet(np.ones(3), size=6)
    pi[0] = 0.0, 0.4, 0.6
    truth = evaluate(mdp, make_policy("direct", mdp), pi.ravel(), horizon)
    seen = np.where(pi > 0, truth.worth, 0.0)
    by_hand = seen - seen.sum(axis=1, keepdims=True) / 3
    np.testing.assert_allclose(truth.seen_gradient, by_hand.ravel(), rtol=1e-12, atol=1e-14)
    assert np.abs(truth.seen_gradient - truth.gradient).max() > 1e-3


def test_probabilities_too_small_to_divide_by_are_unseen():
    """1/π overflows below the smallest normal number; no rollout takes such an action either."""
    mdp, policy, _ = vertex(0.0, 1.0)
    truth = evaluate(mdp, policy, [1.0, 1e-310, 0.5, 0.5])
    assert truth.unseen
    assert truth.gradient[:2].tolist() == [-0.5, 0.5]


@PROBLEMS
def test_the_natural_gradient_is_that_of_what_moves_no_divergence_to_infinity(truth):
    """F† of ∇J: the part of it in the range of F, here against the pseudo-inverse of F itself."""
    F = truth.fisher()
    expected = np.linalg.pinv(F, rcond=1e-10, hermitian=True) @ truth.gradient
    close(truth.natural_gradient(), expected, 1e-9)


@pytest.mark.usefixtures("unpublished")
def test_a_run_and_its_ascents_say_what_they_do_not_see(tmp_path):
    text = """
name: edge
problems: {problem: garnet, n_states: 4, n_actions: 3, branching: 2, gamma: 0.8}
policies: direct
theta: {values: [0.6, 0.4, 0]}
horizon: 20
estimators: [reinforce, rloo, {estimator: reward_to_go, discounted: false}]
batch_sizes: 2
replicates: 300
ascent:
  steps: 5
  replicates: 2
  points: 3
  batch_sizes: 4
  step_sizes: 0.3
  algorithms: {algorithm: gradient, estimators: [exact, rloo, {estimator: rloo, expected: true}]}
"""
    tree = execute(parse_grid(text), tmp_path).tree
    own = tree.to_dataset().squeeze()
    assert float(own["support_bias"]) > 0.1
    assert (own["exact_bias_support"] > 0.1).all()
    assert (own["bias_test_p_holm"] < 1e-6).all()
    assert (own["code_test_p_holm"] > 0.01).all()
    assert {verdict.answer for verdict in verdicts(tree.to_dataset())} == {"yes"}
    wrong = tree.to_dataset().copy(deep=True)
    wrong["exact_relative_bias"] += 0.1
    assert [verdict.answer for verdict in verdicts(wrong)] == ["no", "no", "yes"]
    assert all("sees an action" in row["bias"] for row in estimator_rows(tree.to_dataset()))
    ascent = tree["ascent"].to_dataset()
    assert (ascent["unseen"].isel(step=0, replicate=0) == 4).all()
    told = " ".join(sentences(ascent))
    assert "Of 3 replicates that follow an estimator 3 came to the boundary" in told
    assert "Of 1 replicates that follow ∇J 1 came to the boundary" in told


@pytest.mark.parametrize("horizon", [3, 60, 2000])
def test_what_only_unseen_actions_lead_to_counts_over_a_finite_horizon(horizon):
    """Always left in RiverSwim: two thirds of the states are never visited, right leads there."""
    mdp = make_problem("riverswim")
    policy = make_policy("direct", mdp)
    theta = np.tile([1.0, 0.0], mdp.n_states)
    truth = evaluate(mdp, policy, theta, horizon)
    v, expected = np.zeros(mdp.n_states), np.zeros((mdp.n_states, 2))
    values = [v]
    for _ in range(horizon):
        q = mdp.expected_reward + mdp.gamma * (mdp.transitions @ v).reshape(-1, 2)
        v = q[:, 0]
        values.append(v)
    u = mdp.mu0
    for t in range(horizon):
        q = mdp.expected_reward + mdp.gamma * (mdp.transitions @ values[horizon - 1 - t]).reshape(
            -1, 2
        )
        expected += mdp.gamma**t * u[:, None] * q
        u = mdp.transitions.toarray().reshape(-1, 2, mdp.n_states)[:, 0].T @ u
    expected -= expected.mean(axis=1, keepdims=True)
    error = np.linalg.norm(truth.gradient - expected.ravel())
    assert error < 1e-12 * np.linalg.norm(expected)
    assert error <= truth.gradient_bound
