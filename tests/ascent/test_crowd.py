"""Many policies at once: everything exact about each is what it is alone."""

import numpy as np
import pytest

from pgbench.ascent.crowd import FiniteCrowd
from pgbench.exact import evaluate
from pgbench.exact.finite import fisher, several
from pgbench.kernels import crowd as kernels
from pgbench.policies import Softmax, make_policy
from pgbench.problems import FiniteMDP, make_problem
from pgbench.rollout.enumeration import trajectories
from tests.support.numbers import close, differentiate
from tests.support.truths import make_kind


def crowd_of(mdp, policy, m=3, **options):
    return FiniteCrowd(mdp, policy, np.stack([policy.initial(seed=s) for s in range(m)]), **options)


@pytest.mark.parametrize("way", ["eliminated", "iterated", "one by one"])
def test_each_member_is_evaluated_as_if_alone(small_problem, kind, way, monkeypatch):
    if way != "eliminated":
        monkeypatch.setattr(several, "DENSE_STATES", 0)
    if way == "one by one":
        monkeypatch.setattr(kernels, "iterate", lambda *given: None)
    policy = make_kind(kind, small_problem)
    crowd = crowd_of(small_problem, policy)
    assert crowd.good.all()
    for r in range(crowd.m):
        truth = evaluate(small_problem, policy, crowd.theta[r])
        for name in ("pi", "v", "q", "visitation"):
            close(getattr(crowd.truths, name)[r], getattr(truth, name), rtol=1e-10)
        # Iteration promises digits of the largest value only.
        size = np.abs(truth.v).max() * (1e-10 if way == "iterated" else 0.0)
        for name in ("advantage", "objective", "gradient"):
            np.testing.assert_allclose(
                getattr(crowd.truths, name)[r],
                getattr(truth, name),
                rtol=1e-10,
                atol=size + 1e-10 * np.abs(getattr(truth, name)).max(),
            )
        delta = policy.tangent(policy.initial(seed=9))
        length = crowd.squared_lengths(np.tile(delta, (crowd.m, 1)))[r]
        assert length == pytest.approx(2 * truth.kl_expansion(delta), rel=1e-9, abs=1e-14)
        close(crowd.truth(r).natural_gradient(), truth.natural_gradient(), rtol=1e-7)
        if way == "iterated":
            continue
        close(crowd.natural(crowd.gradient)[r], truth.natural_gradient(), rtol=1e-7)
        close(crowd.natural_gradient[r], truth.natural_gradient(), rtol=1e-7)


def test_entropy_is_a_reward(kind):
    mdp = make_problem("random", n_states=4, n_actions=3, gamma=0.8, seed=1)
    policy = make_kind(kind, mdp)
    crowd = crowd_of(mdp, policy, entropy=0.3)
    for r in range(crowd.m):
        bonus = -0.3 * np.log(crowd.pi[r])
        other = FiniteMDP(
            mdp.successor, mdp.probability, mdp.reward + bonus[:, :, None], mdp.mu0, mdp.gamma
        )
        truth = evaluate(other, policy, crowd.theta[r])
        for name in ("v", "q", "gradient", "objective"):
            close(getattr(crowd.truths, name)[r], getattr(truth, name), rtol=1e-11)


def test_gradient_with_entropy_is_the_derivative_of_the_regularised_objective(kind):
    """Of Σ d(s) Σ_a π (r - τ log π), although -τ log π is held fixed in the rewards."""
    mdp = make_problem("random", n_states=3, n_actions=2, gamma=0.7, seed=2)
    policy = make_kind(kind, mdp)
    theta = policy.initial(seed=4)

    def objective(x):
        return FiniteCrowd(mdp, policy, x[None], entropy=0.2).objective[0]

    expected = differentiate(objective, theta, policy=policy)
    close(FiniteCrowd(mdp, policy, theta[None], entropy=0.2).gradient[0], expected, rtol=1e-7)


def test_a_policy_without_a_finite_value_is_known_as_such():
    """γ = 1, and a logit so low that the episode never ends in floating point."""
    mdp = make_problem("corridor")
    policy = make_policy("loglinear", mdp, features="own")
    crowd = FiniteCrowd(mdp, policy, np.array([[0.0, 0.0], [-800.0, 0.0]]))
    assert crowd.good.tolist() == [True, False]
    assert crowd.objective[0] == pytest.approx(-12)
    assert np.isnan(crowd.objective[1])


def test_direct_gradient_on_the_boundary_says_what_an_action_would_bring():
    """d(s) A(s,a) less its mean over actions, also where π(s,a) = 0."""
    mdp = make_problem("random", n_states=3, n_actions=3, gamma=0.8, seed=0)
    policy = make_policy("direct", mdp)
    theta = np.tile([1.0, 0.0, 0.0], 3)
    crowd = FiniteCrowd(mdp, policy, theta[None])
    table = crowd.visitation[0][:, None] * crowd.truths.advantage[0]
    close(crowd.gradient[0].reshape(3, 3), table - table.mean(axis=1, keepdims=True))
    step = 1e-6

    def moved(s, a):
        x = theta.reshape(3, 3).copy()
        x[s] += step * (np.eye(3)[a] - np.eye(3)[0])
        return evaluate(mdp, policy, x.ravel()).objective

    g = crowd.gradient[0].reshape(3, 3)
    for s in range(3):
        for a in (1, 2):
            slope = (moved(s, a) - crowd.objective[0]) / step
            assert slope == pytest.approx(g[s, a] - g[s, 0], rel=1e-4)


def test_projection_to_the_simplex_is_the_nearest_point():
    """By Lagrange's condition.

    What is positive was moved by the same amount, what is zero would have to be moved by more.
    """
    mdp = make_problem("random", n_states=5, n_actions=4, gamma=0.8, seed=0)
    policy = make_policy("direct", mdp)
    x = np.random.default_rng(0).standard_normal((7, 20)) * 2
    y = policy.table(policy.retract(x))
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-14)
    shift = policy.table(x) - y
    for row, moved in zip(y.reshape(-1, 4), shift.reshape(-1, 4), strict=True):
        assert (row >= 0).all()
        c = moved[row > 0]
        assert np.ptp(c) < 1e-12
        assert (moved[row == 0] <= c[0] + 1e-12).all()
    inside = policy.initial(seed=3)
    np.testing.assert_allclose(policy.retract(inside[None])[0], inside, rtol=1e-13)


def test_theta_may_be_given_as_one_row_for_all_states():
    policy = Softmax(3, 2)
    np.testing.assert_array_equal(policy.given([1.0, 2.0]), np.tile([1.0, 2.0], 3))
    with pytest.raises(ValueError, match=r"shape \(3,\), must be \(6,\)"):
        policy.given([1.0, 2.0, 3.0])


def test_unvisited_states_have_no_natural_direction():
    mdp = make_problem("chain", length=3)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=0))
    seen = FiniteCrowd(mdp, policy, truth.theta[None])
    direct = fisher.solve(policy, truth.theta, truth.state_weights, truth.gradient)
    np.testing.assert_allclose(seen.natural(seen.gradient)[0], direct, rtol=1e-10, atol=1e-12)


def test_natural_gradient_outlives_underflow():
    """Where π is 0 in floating point, F† knows nothing of an action any more; A still does."""
    mdp = make_problem("two_state")
    policy = make_policy("softmax", mdp)
    crowd = FiniteCrowd(mdp, policy, np.array([[0.0, -2000.0, -2000.0, 0.0]]))
    assert crowd.pi[0, 0].tolist() == [1.0, 0.0]
    assert crowd.natural(crowd.gradient)[0].tolist() == [0.0] * 4
    direction = crowd.natural_gradient[0].reshape(2, 2)
    assert direction[1, 0] > direction[1, 1]
    np.testing.assert_allclose(
        direction[:, 0] - direction[:, 1],
        (crowd.truths.advantage[0, :, 0] - crowd.truths.advantage[0, :, 1]) / 0.05,
    )


@pytest.mark.parametrize("n_states", [20, 400])
def test_iteration_settles_where_a_walk_mixes(n_states):
    """And says so: V, Q and d as from linear equations, to a relative error of 1e-11."""
    mdp = make_problem("garnet", n_states=n_states, n_actions=3, branching=4, gamma=0.95, seed=2)
    policy = make_policy("softmax", mdp)
    pi = np.stack([policy.probabilities(policy.initial(seed=s)) for s in range(3)])
    v, visitation = np.empty((2, 3, n_states))
    q, good = np.empty((3, n_states, 3)), np.zeros(3, bool)
    reward = np.array(mdp.expected_reward)[None]
    kernels.iterate(
        mdp.probability, mdp.successor, reward, mdp.terminal, mdp.mu0, mdp.gamma, pi, v, q,
        visitation, good,
    )  # fmt: skip
    assert good.all()
    for r in range(3):
        truth = evaluate(mdp, policy, policy.initial(seed=r))
        close(v[r], truth.v, rtol=1e-11)
        close(q[r], truth.q, rtol=1e-11)
        close(visitation[r], truth.visitation, rtol=1e-11)


def test_iteration_that_does_not_settle_says_so():
    """A deterministic cycle of 900 states with γ close to 1 never changes by a constant."""
    n = 900
    mdp = FiniteMDP(
        (np.arange(n)[:, None, None] + 1) % n,
        np.ones((n, 1, 1)),
        np.eye(n)[:, :1, None],
        np.eye(n)[0],
        0.9999,
    )
    v, visitation = np.empty((2, 1, n))
    q, good = np.empty((1, n, 1)), np.ones(1, bool)
    kernels.iterate(
        mdp.probability, mdp.successor, np.array(mdp.expected_reward)[None], mdp.terminal, mdp.mu0,
        mdp.gamma, np.ones((1, n, 1)), v, q, visitation, good,
    )  # fmt: skip
    assert not good[0]


def test_length_and_success_are_those_of_enumeration():
    mdp = make_problem("sequences", vocabulary=2, length=3, prompts=2, prompt_length=1)
    policy = Softmax(mdp.n_states, mdp.n_actions)
    crowd = crowd_of(mdp, policy)
    for r in range(crowd.m):
        truth, steps, right = crowd.truth(r), 0.0, 0.0
        for p, pairs, slots in trajectories(truth.process, 5):
            last = mdp.successor.ravel()[slots[-1]]
            steps, right = steps + p * len(pairs), right + p * mdp.outcomes[last, 0]
        assert crowd.length[r] == pytest.approx(steps, rel=1e-12)
        assert crowd.success[r] == pytest.approx(right, rel=1e-12)
    paid = make_problem("garnet", n_states=3, gamma=0.8)
    other = crowd_of(paid, make_policy("softmax", paid))
    assert np.isnan([other.length, other.success]).all()


def test_data_of_others_change_nothing_but_the_process(small_problem):
    policy = make_kind("softmax", small_problem)
    crowd = crowd_of(small_problem, policy)
    flat = np.broadcast_to(1.0 / crowd.pi.shape[2], crowd.pi.shape)
    v = crowd.truths.v
    other = crowd.drawn_from(flat)
    np.testing.assert_array_equal(other.truths.process.pi, flat)
    np.testing.assert_array_equal(other.truths.on_policy.process.pi, crowd.pi)
    assert other.truths.v is v
    np.testing.assert_array_equal(other.truth(1).behaviour, flat[1])
    np.testing.assert_array_equal(other.truths.part(slice(1, 3)).process.pi, flat[1:])
    np.testing.assert_array_equal(crowd.truths.process.pi, crowd.pi)
    kept = other.select(np.array([True, False, True]))
    np.testing.assert_array_equal(kept.data, flat[[0, 2]])
