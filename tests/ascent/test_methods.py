"""Algorithms of ascent against their definitions, written out once more."""

import numpy as np
import pytest

from pgbench.ascent import algorithms, step_sizes
from pgbench.ascent.algorithm import Context
from pgbench.ascent.crowd import FiniteCrowd
from pgbench.ascent.ratios import ratios
from pgbench.ascent.sources import Numbers, make_source
from pgbench.estimators import estimators
from pgbench.exact import evaluate
from pgbench.policies import NotApplicable, make_policy
from pgbench.policies.actions import softmax
from pgbench.problems import make_problem
from tests.support.ascents import ascend
from tests.support.truths import make_kind

NUMBERS = Numbers(horizon=20, seed=3, stream=5)


@pytest.fixture(scope="module")
def mdp():
    return make_problem("garnet", n_states=6, n_actions=3, branching=2, gamma=0.9, seed=0)


@pytest.fixture(scope="module")
def policy(mdp):
    return make_policy("softmax", mdp)


def gradient(mdp, policy, theta):
    return evaluate(mdp, policy, theta).gradient


def test_exact_ascent_follows_the_gradient(mdp, kind):
    policy = make_kind(kind, mdp)
    theta = policy.initial(seed=1)
    trace = ascend(mdp, policy, theta, step=0.01, steps=6)
    for k in range(7):
        truth = evaluate(mdp, policy, theta)
        assert trace.objective[0, k] == pytest.approx(truth.objective, rel=1e-9)
        norm = np.linalg.norm(truth.gradient)
        assert trace.gradient_norm[0, k] == pytest.approx(norm, rel=1e-8)
        theta = policy.retract((theta + 0.01 * truth.gradient)[None])[0]


@pytest.mark.parametrize("eta", [0.1, 1.0, 20.0])
@pytest.mark.parametrize("start", ["zeros", "normal"])
def test_natural_gradient_of_softmax_is_multiplicative_weights(mdp, policy, eta, start):
    """π⁺ ∝ π exp(η A/(1-γ)) along the whole run (Agarwal et al. 2021, Lemma 15)."""
    theta = policy.initial(seed=2, init=start)
    pi = policy.probabilities(theta)
    for steps in range(1, 40):
        v = np.linalg.solve(
            np.eye(6) - 0.9 * np.einsum("sa,sat->st", pi, dense(mdp)),
            (pi * mdp.expected_reward).sum(axis=1),
        )
        q = mdp.expected_reward + 0.9 * dense(mdp) @ v
        advantage = q - v[:, None]
        trace = ascend(mdp, policy, theta, "natural", step=eta, steps=steps)
        before = policy.probabilities(trace.theta[0])
        pi = softmax(np.log(pi) + eta * advantage / (1 - 0.9))
        np.testing.assert_allclose(before, pi, rtol=0, atol=1e-12)
        if (pi < 1e-200).any():
            break
    assert steps >= 3


def dense(mdp):
    return mdp.transitions.toarray().reshape(mdp.n_states, mdp.n_actions, -1)


@pytest.mark.parametrize("seed", range(3))
def test_natural_gradient_never_descends(seed):
    mdp = make_problem("garnet", n_states=12, n_actions=3, gamma=0.95, seed=seed)
    policy = make_policy("softmax", mdp)
    trace = ascend(mdp, policy, policy.initial(seed=seed), "natural", step=1.0, steps=60)
    J = trace.objective[0]
    assert (np.diff(J) >= -1e-12 * np.abs(J).max()).all()
    assert J[-1] > J[0]


def test_momentum(mdp, policy):
    theta, velocity = policy.initial(init="zeros"), 0.0
    for _ in range(8):
        velocity = 0.7 * velocity + gradient(mdp, policy, theta)
        theta = theta + 0.05 * velocity
    trace = ascend(mdp, policy, algorithm="momentum", beta=0.7, step=0.05, steps=8)
    np.testing.assert_allclose(trace.theta[0], theta, rtol=1e-9, atol=1e-12)


def test_adam(mdp, policy):
    theta, first, second = policy.initial(init="zeros"), 0.0, 0.0
    for t in range(1, 9):
        g = gradient(mdp, policy, theta)
        first, second = 0.8 * first + 0.2 * g, 0.95 * second + 0.05 * g**2
        mean, square = first / (1 - 0.8**t), second / (1 - 0.95**t)
        theta = theta + 0.05 * mean / (np.sqrt(square) + 1e-6)
    trace = ascend(
        mdp, policy, algorithm="adam", beta1=0.8, beta2=0.95, eps=1e-6, step=0.05, steps=8
    )
    np.testing.assert_allclose(trace.theta[0], theta, rtol=1e-8, atol=1e-12)


def context(mdp, policy, rule="constant", estimator="reward_to_go", **options):
    source = make_source(mdp, policy, estimators()[estimator], {}, NUMBERS, 4)
    return Context(
        mdp, policy, source, NUMBERS, 4, 3, step_sizes()[rule].bound(step=0.1), **options
    )


def crowds(mdp, policy, n):
    rng = np.random.default_rng(0)
    theta = np.stack([policy.initial(seed=s) for s in range(3)])
    return [
        FiniteCrowd(mdp, policy, theta + 0.05 * k * rng.standard_normal(theta.shape))
        for k in range(n)
    ]


def test_svrpg(mdp, policy):
    made = context(mdp, policy)
    method = algorithms()["svrpg"].make(made, epoch=3, large=50)
    source, path = made.source, crowds(mdp, policy, 5)
    for k, crowd in enumerate(path):
        move = method.move(crowd, k)
        if k % 3 == 0:
            snapshot, drawn = crowd, source.at(crowd).draw(k, 50, "large")
            anchor = expected = source.at(crowd).weighed(drawn)
        else:
            drawn = source.at(crowd).draw(k)
            away = source.at(snapshot).weighed(drawn, ratios(drawn, crowd, snapshot))
            expected = anchor + source.at(crowd).weighed(drawn) - away
        np.testing.assert_allclose(move.direction, expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(move.cost, drawn.steps.sum(axis=1))


def test_storm(mdp, policy):
    made = context(mdp, policy)
    method = algorithms()["storm"].make(made, a=0.3)
    source, path = made.source, crowds(mdp, policy, 4)
    for k, crowd in enumerate(path):
        move = method.move(crowd, k)
        drawn = source.at(crowd).draw(k)
        here = source.at(crowd).weighed(drawn)
        if k == 0:
            u = here
        else:
            before = path[k - 1]
            u = here + 0.7 * (u - source.at(before).weighed(drawn, ratios(drawn, crowd, before)))
        np.testing.assert_allclose(move.direction, u, rtol=1e-12, atol=1e-12)


def test_storm_of_weight_one_is_plain_ascent(mdp, policy):
    plain = ascend(mdp, policy, estimator="reward_to_go")
    storm = ascend(mdp, policy, algorithm="storm", estimator="reward_to_go", a=1.0)
    np.testing.assert_allclose(storm.theta, plain.theta, rtol=1e-10, atol=1e-12)


def test_page(mdp, policy):
    made = context(mdp, policy)
    method = algorithms()["page"].make(made, probability=0.4, large=30)
    source, path = made.source, crowds(mdp, policy, 12)
    large, v = 0, np.zeros_like(path[0].theta)
    for k, crowd in enumerate(path):
        move = method.move(crowd, k)
        drawn = source.at(crowd).draw(k)
        fresh = move.cost > drawn.cost * 2
        if k == 0:
            assert fresh.all()
        else:
            before = path[k - 1]
            away = source.at(before).weighed(drawn, ratios(drawn, crowd, before))
            expected = v + source.at(crowd).weighed(drawn) - away
            np.testing.assert_allclose(move.direction[~fresh], expected[~fresh], atol=1e-12)
            large += fresh.sum()
        if fresh.any():
            some = crowd.select(fresh)
            expected = source.at(some).weighed(source.at(some).draw(k, 30, "large"))
            np.testing.assert_allclose(move.direction[fresh], expected, atol=1e-12)
        v = move.direction
    assert 5 <= large <= 24  # of 33 coins with probability 0.4


@pytest.mark.parametrize("algorithm", ["svrpg", "storm", "page"])
def test_variance_reduction_reduces_variance(mdp, policy, algorithm):
    """Mean squared errors along the path, as often as plain ascent with the same small batches."""
    plain = ascend(mdp, policy, estimator="reward_to_go", step=0.02, replicates=40, steps=30)
    other = ascend(
        mdp, policy, algorithm=algorithm, estimator="reward_to_go", step=0.02, replicates=40,
        steps=30,
    )  # fmt: skip
    late = slice(15, 30)
    assert other.error_squared[:, late].mean() < 0.7 * plain.error_squared[:, late].mean()


@pytest.mark.parametrize("algorithm", ["svrpg", "storm", "page"])
@pytest.mark.parametrize("estimator", ["rloo", "importance_sampling"])
def test_variance_reduction_needs_tables_of_the_policy_itself(mdp, policy, algorithm, estimator):
    with pytest.raises(NotApplicable, match="needs a table estimator that simulates the policy"):
        algorithms()[algorithm].make(context(mdp, policy, estimator=estimator))


def test_natural_refuses_what_is_natural_already(mdp, policy):
    with pytest.raises(NotApplicable, match="use the algorithm gradient"):
        algorithms()["natural"].make(context(mdp, policy, estimator="natural"))


def test_direct_ascent_stays_on_the_simplex(mdp):
    policy = make_policy("direct", mdp)
    trace = ascend(mdp, policy, estimator="reward_to_go", step=0.5, steps=30)
    rows = policy.table(trace.theta)
    assert (rows >= 0).all()
    np.testing.assert_allclose(rows.sum(axis=-1), 1, rtol=1e-12)
    exact = ascend(mdp, policy, step=1.0, steps=200)
    assert exact.distance[0, -1] == pytest.approx(0, abs=1e-12)


def test_entropy_keeps_the_policy_from_committing(mdp, policy):
    """And what is reached maximises the regularised objective: soft value iteration agrees."""
    tau = 0.2
    trace = ascend(mdp, policy, algorithm="natural", step=0.5, steps=300, entropy=tau)
    v = np.zeros(6)
    for _ in range(2000):
        q = mdp.expected_reward + 0.9 * dense(mdp) @ v
        v = tau * np.log(np.exp(q / tau).sum(axis=1))
    expected = softmax(q / tau)
    np.testing.assert_allclose(policy.probabilities(trace.theta[0]), expected, atol=1e-9)


def step_of(rule, crowd, direction, k, **values):
    made = Context(crowd.mdp, crowd.policy, None, NUMBERS, 1, crowd.m, None)
    return step_sizes()[rule].bound(**values).scales(made, crowd, direction, k)


def test_step_sizes(mdp, policy):
    (crowd,) = crowds(mdp, policy, 1)
    direction = np.random.default_rng(1).standard_normal(crowd.theta.shape)
    assert step_of("constant", crowd, direction, 7, step=0.3).tolist() == [0.3] * 3
    falling = step_of("decaying", crowd, direction, 6, step=0.3, power=0.5, offset=2.0)
    np.testing.assert_allclose(falling, 0.3 / 2)
    unit = step_of("normalised", crowd, direction, 0, step=0.3)[:, None] * direction
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 0.3)
    nothing = step_of("normalised", crowd, 0 * direction, 0, step=0.3)
    assert nothing.tolist() == [0, 0, 0]


def test_kl_steps_have_the_divergence_that_was_asked_for(mdp, policy):
    (crowd,) = crowds(mdp, policy, 1)
    direction = crowd.natural(crowd.gradient)
    moved = crowd.theta + step_of("kl", crowd, direction, 0, radius=1e-6)[:, None] * direction
    for r in range(3):
        truth = evaluate(mdp, policy, crowd.theta[r])
        assert truth.kl(moved[r]) == pytest.approx(1e-6, rel=5e-3)
        g, natural = truth.gradient, truth.natural_gradient()
        length = np.sqrt(2e-6 / (g @ natural))
        np.testing.assert_allclose(moved[r] - crowd.theta[r], length * natural, rtol=1e-7)


@pytest.mark.parametrize("kind", ["softmax", "direct"])
def test_smoothness_steps_are_safe(kind):
    """1/L is a lower bound of what curvature allows: J gains at least ‖g‖²/(2L) for softmax."""
    mdp = make_problem("garnet", n_states=5, n_actions=3, gamma=0.6, seed=3)
    policy = make_kind(kind, mdp)
    trace = ascend(mdp, policy, policy.initial(seed=0), rule="smoothness", steps=50)
    J, g = trace.objective[0], trace.gradient_norm[0]
    low, high = mdp.reward[mdp.probability > 0].min(), mdp.reward[mdp.probability > 0].max()
    factor = 8 if kind == "softmax" else 2 * 0.6 * 3
    L = factor * (high - low) / (1 - 0.6) ** 3
    assert (np.diff(J) > 0).all()
    if kind == "softmax":
        assert (np.diff(J) >= g[:-1] ** 2 / (2 * L) * (1 - 1e-6)).all()


@pytest.mark.parametrize(
    ("problem", "kind", "words"),
    [("corridor", "softmax", "γ = 1"), ("riverswim", "neural", "softmax and direct policies only")],
)
def test_smoothness_is_refused_where_no_bound_is_known(problem, kind, words):
    mdp = make_problem(problem)
    with pytest.raises(NotApplicable, match=words):
        ascend(mdp, make_kind(kind, mdp), rule="smoothness")
