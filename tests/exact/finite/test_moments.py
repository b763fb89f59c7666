"""Exact moments: closed forms, long horizons, refusals; the estimators' contract enumerates."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from pgbench.api import sample_gradients
from pgbench.estimators import HORIZON, estimators
from pgbench.exact import NoFiniteVariance, Size, TooLarge, evaluate, moments
from pgbench.exact import moments as by_name
from pgbench.exact.expectation import expectation
from pgbench.exact.finite import revisits
from pgbench.exact.finite.expectation import expected_weights
from pgbench.exact.horizon import truncated_gradient
from pgbench.exact.table_moments import directional_variance, moments_size, table_moments
from pgbench.kernels import reference
from pgbench.objectives import make_objective
from pgbench.policies import make_policy
from pgbench.policies.actions import centre
from pgbench.problems import FiniteMDP, make_problem
from pgbench.problems.problem import Diverges
from pgbench.rollout.enumeration import enumerated_moments, trajectories
from tests.support.numbers import close
from tests.support.problems import DISCOUNTED, TINY
from tests.support.truths import KINDS, TWO_KINDS, WEIGHTS_OF, make_kind
from tests.support.variants import HORIZON_ALONE, each, on_tiny, random_tables, table_variants


def two_armed(p_pay):
    """One decision between two arms that pay 1 with given probabilities; then the end."""
    probability = np.zeros((2, 2, 2))
    probability[0] = np.stack([p_pay, 1 - np.asarray(p_pay)], axis=1)
    probability[1, :, 0] = 1
    reward = np.zeros((2, 2, 2))
    reward[0, :, 0] = 1
    return FiniteMDP(
        np.ones((2, 2, 2), int), probability, reward, [1.0, 0.0], 0.9, np.array([False, True])
    )


@pytest.mark.parametrize("estimator", ["reinforce", "reward_to_go"])
@pytest.mark.parametrize("b", [0.0, 0.4])
def test_variance_of_a_bandit_by_hand(estimator, b):
    """ĝ = (r - b)(1 - p, -(1 - p)) with probability p, else (r - b)(-p, p); r ~ Bernoulli(q_a)."""
    q, theta = np.array([0.3, 0.8]), np.array([0.5, 0.0, 0.0, 0.0])
    mdp = two_armed(q)
    p = 1 / (1 + np.exp(-0.5))
    exact = moments(mdp, make_policy("softmax", mdp), theta, estimator, horizon=1, baseline=b)
    second = q * (1 - b) ** 2 + (1 - q) * b**2
    mean = p * (1 - p) * (q[0] - q[1])
    variance = p * (1 - p) ** 2 * second[0] + (1 - p) * p**2 * second[1] - mean**2
    np.testing.assert_allclose(exact.mean, [mean, -mean, 0, 0], rtol=1e-13)
    np.testing.assert_allclose(exact.variance, [variance, variance, 0, 0], rtol=1e-13)


def test_any_tables_have_their_listed_moments(truth, horizon, tables):
    """No estimator's structure, such as a constant baseline, hides a term here."""
    exact, listed = (
        table_moments(truth, tables, horizon),
        enumerated_moments(truth, tables, horizon),
    )
    close(exact.mean, listed.mean)
    np.testing.assert_allclose(
        exact.variance,
        listed.variance,
        rtol=0,
        atol=1e-12 * (listed.variance + listed.mean**2).max(),
    )
    close(expectation(truth, tables, horizon), listed.mean)


@WEIGHTS_OF
def test_expected_weights_are_the_listed_ones(truth, horizon, tables):
    """E[W] itself; a pull-back would hide what all actions of a state share."""
    flat = [t.ravel() for t in (tables.sigma, tables.kappa, tables.beta, tables.delta)]
    expected = sum(
        p * reference.weights(*flat, tables.total, pairs, slots)
        for p, pairs, slots in trajectories(tables.process, horizon)
    )
    actual = expected_weights(truth, tables, horizon)
    if tables.total and tables.process.pi is truth.pi:
        # What was collected before a step is the same for all its actions and left out.
        actual, expected = (centre(truth.pi, W.reshape(truth.pi.shape)) for W in (actual, expected))
    close(actual.ravel(), expected.ravel())


@on_tiny(
    [v for v in table_variants() if v.causes in HORIZON_ALONE], kind=TWO_KINDS, steps=(50, 400)
)
def test_long_horizons_have_the_mean_their_causes_say(truth, variant, steps):
    """Beyond what can be listed: ∇J_H, or ∇J less the tail."""
    if variant.causes == ("truncation",):
        expected = evaluate(truth.mdp, truth.policy, truth.theta, steps).gradient
    else:
        expected = truncated_gradient(truth, steps)
    # No baseline moves the mean, and the optimal one of few steps is found sooner.
    shorter = "baseline" in variant.given
    tables = variant.tables(truth, 50 if shorter else steps)
    close(expectation(truth, tables, steps), expected, 1e-11)


def test_moments_by_name_are_those_of_the_tables(truth):
    tables = estimators()["gae"].make(truth, lam=0.5)
    direct = table_moments(truth, tables, 6)
    named = by_name(truth.mdp, truth.policy, truth.theta, "gae", horizon=6, lam=0.5)
    np.testing.assert_array_equal(named.mean, direct.mean)
    np.testing.assert_array_equal(named.variance, direct.variance)


@each(table_variants())
def test_moments_scale_with_the_rewards(variant):
    """Rewards, and what is in their unit, times c: mean times c, variance times c²."""
    P = np.random.default_rng(0).dirichlet(np.ones(3), size=(3, 2))
    r = np.random.default_rng(1).standard_normal((3, 2, 3))
    results = []
    for c in (1.0, 3.0):
        mdp = FiniteMDP.from_arrays(P, c * r, [0.5, 0.5, 0], 0.9)
        policy = make_policy("softmax", mdp)
        beta = {"beta": c} if variant.objective == "kl" else {}
        objective = make_objective(variant.objective, mdp, policy, **beta)
        truth, given = objective.truth(policy.initial(seed=1)), variant.given
        if isinstance(given.get("baseline"), float):
            given["baseline"] *= c
        found = table_moments(truth, estimators()[variant.name].make(truth, 8, **given), 8)
        results.append((found.mean / c, found.variance / c**2))
    for plain, scaled in zip(*results, strict=True):
        np.testing.assert_allclose(scaled, plain, rtol=0, atol=1e-12 * np.abs(plain).max())


def shrunk(tables):
    """The same tables with decays below 0.9 in size, so that every infinite sum converges."""
    return replace(tables, kappa=0.9 * np.tanh(tables.kappa), delta=0.9 * np.tanh(tables.delta))


def units(truth):
    """One direction per coordinate."""
    return np.eye(truth.gradient.size)


def same(actual, expected, mean, rtol=1e-12):
    """Variances agree relative to the largest second moment, out of which they are taken."""
    atol = rtol * (expected + mean**2).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def test_coordinates_followed_one_by_one_agree_with_returns_to_states(truth, horizon, tables):
    """A tabular policy's variance by its returns, and by its coordinates as directions."""
    exact = table_moments(truth, tables, horizon)
    same(directional_variance(truth, tables, horizon, units(truth)), exact.variance, exact.mean)


ENDLESS = [name for name, (make, _) in TINY.items() if not make().terminal.any()]
"""Problems whose trajectories never end."""


@pytest.mark.parametrize(
    ("problem", "total"),
    [(problem, total) for problem in TINY for total in (False, True)
     if not (total and problem in ENDLESS)],
)  # fmt: skip
@WEIGHTS_OF
def test_infinite_horizon_is_the_limit_of_finite_ones(truth, total):
    tables = shrunk(random_tables(truth, total))
    long = table_moments(truth, tables, 900)
    exact = table_moments(truth, tables, None)
    np.testing.assert_allclose(exact.mean, long.mean, rtol=0, atol=1e-12 * np.abs(long.mean).max())
    same(exact.variance, long.variance, long.mean)
    same(directional_variance(truth, tables, None, units(truth)), long.variance, long.mean)


@WEIGHTS_OF
@pytest.mark.parametrize("problem", ENDLESS)
def test_a_total_return_of_an_endless_task_has_no_finite_limit(truth):
    with pytest.raises(NoFiniteVariance, match="a total return has no finite limit"):
        table_moments(truth, shrunk(random_tables(truth, total=True)), None)


@pytest.mark.parametrize("kind", ["softmax", "loglinear"])
def test_variance_of_a_total_return_grows_with_the_horizon_where_nothing_ends(kind):
    """In the long run by the same amount per step (theory: linear growth)."""
    mdp = make_problem("random", n_states=4, gamma=0.8)
    policy = make_policy(kind, mdp)
    theta = policy.initial(seed=1)
    traces = [moments(mdp, policy, theta, "reinforce", horizon=H).trace for H in (200, 300, 400)]
    steps = np.diff(traces)
    assert steps[0] > 0
    assert steps[1] == pytest.approx(steps[0], rel=1e-9)
    with pytest.raises(NoFiniteVariance, match="give a finite horizon"):
        moments(mdp, policy, theta, "reinforce")


@pytest.mark.parametrize("kind", ["softmax", "loglinear"])
@pytest.mark.parametrize("digits", [3, 6, 9])
def test_moments_of_long_sums_by_hand(digits, kind):
    """One state left by chance alone, so that the steps of an episode are draws of A ψ.

    Over γ^t they have Σ γ^2t = 1/((1-γ)(1+γ)) times the variance of one; over an episode that ends
    with probability q the mean length 1/q times it, and the variance (1-q)/q² of the length times
    the squared mean of one.
    """
    small = 10.0**-digits
    loop = FiniteMDP.from_arrays(np.ones((1, 2, 1)), [[1.0, -2.0]], [1.0], 1 - small)
    P = np.zeros((2, 2, 2))
    P[0] = 1 - small, small
    ends = FiniteMDP.from_arrays(
        P, [[1.0, -2.0], [0.0, 0.0]], [1.0, 0.0], 1.0, terminal=[False, True]
    )
    for mdp in (loop, ends):
        policy = make_policy(kind, mdp, **({"n_features": 2} if kind == "loglinear" else {}))
        theta = np.linspace(-0.4, 0.7, policy.n_parameters)
        pi = policy.probabilities(theta)[0]
        draws = (mdp.expected_reward[0] - pi @ mdp.expected_reward[0])[:, None] * np.stack(
            [policy.push_forward(theta, unit)[0] for unit in np.eye(policy.n_parameters)], axis=1
        )
        mean, square = pi @ draws, pi @ draws**2
        spread = square - mean**2
        if mdp is loop:
            off = 1 - mdp.gamma
            variance = spread / (off * (1 + mdp.gamma))
        else:
            off = small
            variance = spread / off + (1 - off) / off**2 * mean**2
        found = moments(mdp, policy, theta, "advantage_oracle")
        np.testing.assert_allclose(found.mean, mean / off, rtol=1e-12, atol=1e-12)
        # As a difference of second moment and squared mean.
        lost = 1e-14 * ((mean / off) ** 2 + variance)
        np.testing.assert_array_less(np.abs(found.variance - variance), lost + 1e-12)


def test_without_discount_a_continuing_task_has_no_finite_moments():
    mdp = make_problem("random", n_states=4, gamma=0.8)
    policy = make_policy("softmax", mdp)
    with pytest.raises(NoFiniteVariance, match="this estimator has no finite limit"):
        moments(mdp, policy, policy.initial(), "reward_to_go", discounted=False)


def test_ratios_that_are_too_large_have_no_finite_variance():
    """γ²w² averages to more than one per step under a uniform behaviour policy."""
    mdp = make_problem("random", n_states=3, gamma=0.95)
    policy = make_policy("softmax", mdp)
    theta = policy.initial(seed=0, scale=3.0)
    grows = [
        moments(mdp, policy, theta, "importance_sampling", exploration=1.0, horizon=H).trace
        for H in (100, 200)
    ]
    assert grows[1] > 100 * grows[0]
    with pytest.raises(NoFiniteVariance, match="this estimator has no finite limit"):
        moments(mdp, policy, theta, "importance_sampling", exploration=1.0)


@pytest.mark.parametrize("kind", ["softmax"])
@on_tiny(table_variants())
def test_truncation_bias_is_what_a_longer_horizon_removes(truth, variant):
    tables, steps = variant.tables(truth, 5), 5
    exact = table_moments(truth, tables, steps)
    close(exact.bias, exact.mean - truth.gradient)
    close(exact.truncation_bias + exact.remaining_bias, exact.bias)
    if "discount" in variant.causes and not truth.mdp.terminal.any():
        with pytest.raises(Diverges):
            expectation(truth, tables)
        expected = evaluate(truth.mdp, truth.policy, truth.theta, steps).gradient - truth.gradient
        close(exact.truncation_bias, expected)
    else:
        close(exact.mean - exact.truncation_bias, expectation(truth, tables, 1000), 1e-9)
    if set(variant.causes) <= HORIZON:
        size = np.abs(truth.gradient).max()
        assert np.abs(exact.remaining_bias).max() < 1e-10 * size
        assert np.abs(exact.truncation_bias).max() > 1e-3 * size


@pytest.mark.parametrize("problem", DISCOUNTED)
def test_visitation_estimators_have_the_moments_of_the_lecture(truth):
    """E[ĝ²] = E_ρ[E[X²|s,a] ψ²]/(1-γ)², X = Q, A, or the sum of a geometric stretch of rewards.

    E[X²] = E[r²] + 2γ E[r X'] + γ E[X'²], with X' from the next state on.
    """
    mdp, gamma = truth.mdp, truth.mdp.gamma
    stretch = np.zeros(truth.pi.shape)
    for _ in range(4000):
        v, v2 = (truth.pi * truth.q).sum(axis=1), (truth.pi * stretch).sum(axis=1)
        after = mdp.reward**2 + 2 * gamma * mdp.reward * v[mdp.successor]
        stretch = mdp.mean(after + gamma * v2[mdp.successor]) * ~mdp.terminal[:, None]
    rho_pi = (1 - gamma) * truth.visitation[:, None] * truth.pi
    psi = truth.policy.scores(truth.theta)
    squares = {
        "visitation_q": truth.q**2,
        "visitation_advantage": truth.advantage**2,
        "visitation_mc": stretch,
    }
    for name, square in squares.items():
        exact = table_moments(truth, estimators()[name].make(truth), None)
        close(exact.mean, truth.gradient, 1e-11)
        second = np.einsum("sa,sak->k", rho_pi * square, psi**2) / (1 - gamma) ** 2
        same(exact.variance, second - truth.gradient**2, truth.gradient, 1e-10)
        assert not exact.truncation_bias.any()


NAMES = ("reinforce", "reward_to_go", "baseline_value", "td", "advantage_oracle", "visitation_mc")


def extreme(name):
    """A small problem at an edge of what is allowed, and the scale of θ."""
    rng = np.random.default_rng(0)
    S, A = {"one state": (1, 3), "one action": (4, 1)}.get(name, (4, 3))
    P, r = rng.dirichlet(np.ones(S), size=(S, A)), rng.standard_normal((S, A, S))
    gamma = {"no discount": 1.0, "no future": 0.0}.get(name, 0.9)
    ends = np.arange(S) == S - 1 if name == "no discount" else None
    scale = 50.0 if name == "nearly deterministic" else 1.0
    if name == "no reward":
        r[:] = 0.0
    return FiniteMDP.from_arrays(P, r, np.eye(S)[0], gamma, terminal=ends), scale


@pytest.mark.parametrize(
    "name",
    ["one state", "one action", "no discount", "no future", "no reward", "nearly deterministic"],
)
@WEIGHTS_OF
def test_edges_have_finite_moments(name, kind):
    """Over five steps and without limit, which agrees with many steps; or there is a reason."""
    mdp, scale = extreme(name)
    policy = make_kind(kind, mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=2, scale=scale))
    far = 300 if mdp.gamma < 1 else 700
    for estimator in (*NAMES, "importance_sampling"):
        arguments = (mdp, policy, truth.theta, estimator)
        if estimator == "visitation_mc" and mdp.gamma == 1:
            continue
        assert np.isfinite(moments(*arguments, horizon=5).variance).all()
        endless = estimator == "reinforce" and mdp.gamma < 1
        if endless or (estimator == "importance_sampling" and name == "nearly deterministic"):
            with pytest.raises(NoFiniteVariance):
                moments(*arguments)
            continue
        limit, long = moments(*arguments), moments(*arguments, horizon=far)
        same(limit.variance, long.variance, long.mean, 1e-10)


CALIBRATED = [
    ("garnet", {"n_states": 20, "gamma": 0.9}, 60),
    ("garnet", {"n_states": 60, "gamma": 0.8, "seed": 3}, 30),
    ("gymnasium", {"id": "FrozenLake-v1", "gamma": 0.95}, 80),
    ("corridor", {}, 60),
    ("chain", {"length": 3}, 20),
]


@pytest.mark.parametrize(
    ("name", "given", "steps", "kind"),
    [(*case, kind) for i, case in enumerate(CALIBRATED) for kind in (TWO_KINDS if i else KINDS)],
    ids=str,
)
def test_simulation_agrees_in_standard_errors(name, given, steps, kind):
    """Mean along the gradient and trace of the variance of 4000 estimates; bound: 4.5 of them."""
    mdp = make_problem(name, **given)
    policy = make_kind(kind, mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=2, scale=0.5))
    for estimator in NAMES[: 5 if mdp.gamma == 1 else None]:
        arguments = (mdp, policy, truth.theta, estimator)
        exact = moments(*arguments, horizon=steps)
        sample = sample_gradients(*arguments, horizon=steps, replicates=4000, seed=7)
        assert np.abs(in_standard_errors(truth, exact, sample)).max() < 4.5, estimator


@pytest.mark.parametrize(("name", "given", "steps"), CALIBRATED[:2], ids=str)
@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 2), (2, 3), (4, 5)])
def test_moments_of_another_estimator_fail_the_same_check(name, given, steps, one, other):
    mdp = make_problem(name, **given)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=2, scale=0.5))
    exact = moments(mdp, policy, truth.theta, NAMES[one], horizon=steps)
    sample = sample_gradients(
        mdp, policy, truth.theta, NAMES[other], horizon=steps, replicates=4000, seed=7
    )
    assert np.abs(in_standard_errors(truth, exact, sample)).max() > 8


def in_standard_errors(truth, exact, sample):
    """z of the mean along ∇J, by the exact variance, and of the mean squared deviation."""
    R = len(sample)
    along = (sample - exact.mean) @ truth.gradient
    direction = along.mean() / along.std() * np.sqrt(R)
    squares = ((sample - exact.mean) ** 2).sum(axis=1)
    return np.array([direction, (squares.mean() - exact.trace) / squares.std() * np.sqrt(R)])


def test_trace_and_map_by_state(truth, horizon, tables):
    exact = table_moments(truth, tables, horizon)
    assert exact.trace == pytest.approx(exact.variance.sum())
    S, A = truth.pi.shape
    if exact.variance.size == S * A:
        close(exact.by_state(S), exact.variance.reshape(S, A).sum(axis=1))
        assert exact.by_state(S)[truth.mdp.terminal].sum() == 0
    else:
        with pytest.raises(ValueError, match="do not belong to"):
            exact.by_state(10**6)


@pytest.mark.parametrize("estimator", ["reinforce", "gae", "visitation_mc"])
@pytest.mark.parametrize("steps", [30, None])
@pytest.mark.parametrize("kind", ["softmax", "loglinear"])
def test_memory_is_known_beforehand(estimator, steps, kind):
    """What is allocated at most stays below what was said, and is of its order."""
    mdp = make_problem("garnet", n_states=300, gamma=0.9)
    policy = make_policy(kind, mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=0))
    given = {"lam": 0.9} if estimator == "gae" else {}
    tables = estimators()[estimator].make(truth, **given)
    if estimator == "reinforce":
        steps = 30
    size = moments_size(truth, tables, steps)
    tracemalloc.start()
    table_moments(truth, tables, steps, threads=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size.memory_bytes + 40 * tables.sigma.nbytes
    assert size.operations > 0


def test_too_large_is_said_with_its_size():
    mdp = make_problem("garnet", n_states=300)
    policy = make_policy("softmax", mdp)
    arguments = (mdp, policy, policy.initial(), "reward_to_go")
    small = Size(memory_bytes=1e9, operations=1e6)
    message = r"too large for exact moments: .* GiB and \d\.\de\+\d+ operations, more than the"
    with pytest.raises(TooLarge, match=message):
        moments(*arguments, horizon=30, limit=small)
    with pytest.raises(TooLarge, match=message):
        moments(*arguments, limit=Size(memory_bytes=1e3, operations=1e20))
    assert moments(*arguments, horizon=30).trace > 0


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_change_a_byte_of_exact_moments(threads):
    mdp = make_problem("garnet", n_states=200)
    policy = make_policy("softmax", mdp)
    arguments = (mdp, policy, policy.initial(), "gae")
    expected = moments(*arguments, lam=0.9, horizon=20).variance
    found = moments(*arguments, lam=0.9, horizon=20, threads=threads).variance
    np.testing.assert_array_equal(found, expected)


def test_horizon_must_be_positive():
    mdp = make_problem("two_state")
    policy = make_policy("softmax", mdp)
    with pytest.raises(ValueError, match="horizon is 0, must be an integer"):
        moments(mdp, policy, policy.initial(), "reinforce", horizon=0)


def test_estimators_that_differ_in_their_baseline_share_paths(monkeypatch):
    """The second one follows no path, and its moments are those it has on its own."""

    def made(*names):
        mdp = make_problem("garnet", n_states=30, gamma=0.9)
        policy = make_policy("softmax", mdp)
        truth = evaluate(mdp, policy, policy.initial(seed=4))
        return truth, *(estimators()[name].make(truth) for name in names)

    truth, own = made("baseline_value")
    alone = table_moments(truth, own, 25).variance
    truth, plain, less_value, td = made("reward_to_go", "baseline_value", "td")
    table_moments(truth, plain, 25)

    def none(*_):
        raise AssertionError("paths are followed again")

    monkeypatch.setattr(revisits, "returns_in", none)
    np.testing.assert_array_equal(table_moments(truth, less_value, 25).variance, alone)
    for horizon, tables in ((26, less_value), (25, td)):
        with pytest.raises(AssertionError, match="again"):
            table_moments(truth, tables, horizon)
