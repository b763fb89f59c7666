"""Policies: the table, the pull-back and its transpose, for every kind."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pgbench.declared.parameters import ParameterError
from pgbench.exact import evaluate
from pgbench.policies import Direct, LogLinear, Neural, NotApplicable, Softmax, kinds, make_policy
from pgbench.problems import make_problem
from tests.support.networks import perceptron
from tests.support.numbers import differentiate

S, A = 4, 3
PROBLEM = make_problem("random", n_states=S, n_actions=A)
RNG = np.random.default_rng(8)
POLICIES = {
    **{name: make_policy(name, PROBLEM) for name in ("direct", "loglinear", "softmax")},
    "loglinear tiles": make_policy("loglinear", PROBLEM, features="tiles", n_tiles=2, n_tilings=3),
    "neural onehot": make_policy("neural", PROBLEM, hidden=3),
    "neural coordinates": make_policy("neural", PROBLEM, inputs="coordinates", hidden="3x2"),
    "neural pairs": Neural(RNG.standard_normal((S, A, 2)), (4,), "tanh"),
    "neural relu": Neural(RNG.standard_normal((S, 3)), (4, 3), "relu", n_actions=A),
    "neural without hidden layer": Neural(RNG.standard_normal((S, 2)), (), "tanh", n_actions=A),
    "network": perceptron(RNG.standard_normal((S, 2)), A),
    "network of pairs": perceptron(RNG.standard_normal((S, A, 2)), A),
}
every_policy = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
smooth_policy = pytest.mark.parametrize(
    "policy",
    [policy for name, policy in POLICIES.items() if "relu" not in name],
    ids=[name for name in POLICIES if "relu" not in name],
)


def numbers(shape, size=10.0):
    """Arrays of numbers that are zero or at least 10⁻⁴, so that no product underflows."""
    return arrays(np.float64, shape, elements=st.floats(-size, size).map(lambda x: round(x, 4)))


def allowed(policy, vector, floor=0.5):
    """A θ the policy allows from any vector: itself, or rows of at least ``floor``/A."""
    if not isinstance(policy, Direct):
        return vector
    pi = Softmax(S, A).probabilities(vector)
    return (floor / A + (1 - floor) * pi).ravel()


def extreme(policy, size):
    """±1000 in every other parameter; for probabilities a vertex of the simplex in every state."""
    theta = np.zeros(policy.n_parameters)
    theta[::2] = size
    return allowed(policy, theta, floor=0.0)


@every_policy
@given(st.data())
def test_pull_back_is_the_transpose_of_push_forward(policy, data):
    theta, direction = (data.draw(numbers(policy.n_parameters)) for _ in range(2))
    theta = allowed(policy, theta)
    weights = data.draw(numbers((S, A)))
    back = policy.pull_back(theta, weights) @ direction
    forward = np.sum(weights * policy.push_forward(theta, direction))
    scale = np.abs(weights).sum() * np.abs(direction).sum() * np.abs(policy.scores(theta)).max()
    np.testing.assert_allclose(back, forward, rtol=0, atol=1e-13 * scale)


@smooth_policy
@given(st.data())
def test_pull_back_is_the_transpose_of_the_jacobian(policy, data):
    theta = allowed(policy, data.draw(numbers(policy.n_parameters, size=1.5)))
    weights = data.draw(numbers((S, A)))
    jacobian = differentiate(
        lambda x: np.log(policy.probabilities(x)), theta, step=1e-3, policy=policy
    )
    expected = np.einsum("sa,sak->k", weights, jacobian)
    scale = np.abs(weights).sum()
    np.testing.assert_allclose(
        policy.pull_back(theta, weights), expected, rtol=0, atol=1e-9 * scale
    )


@every_policy
def test_scores_are_derivatives_of_log_probabilities(policy):
    theta = policy.initial(seed=4)
    jacobian = differentiate(
        lambda x: np.log(policy.probabilities(x)), theta, step=1e-3, policy=policy
    )
    np.testing.assert_allclose(policy.scores(theta), jacobian, rtol=0, atol=1e-9)


@every_policy
def test_scores_are_the_pull_backs_of_unit_tables(policy):
    theta = policy.initial(seed=4)
    pulled = policy.pull_back(theta, np.eye(S * A).reshape(S, A, S, A))
    np.testing.assert_allclose(policy.scores(theta), pulled, rtol=0, atol=1e-14)


@every_policy
def test_local_scores_are_the_scores_of_a_state_in_its_own_parameters(policy):
    theta = policy.initial(seed=4)
    local = policy.local_scores(theta)
    scores = policy.scores(theta)
    shared = any(np.count_nonzero(np.abs(scores).sum(axis=1)[:, k]) > 1 for k in range(len(theta)))
    assert (local is None) == shared
    if local is not None:
        table = scores.reshape(S, A, S, -1)
        for s in range(S):
            np.testing.assert_array_equal(table[s, :, s], local[s])


@every_policy
def test_scores_have_mean_zero(policy):
    theta = policy.initial(seed=5)
    mean = np.einsum("sa,sak->sk", policy.probabilities(theta), policy.scores(theta))
    np.testing.assert_allclose(mean, 0, atol=2e-15)


@every_policy
@given(st.data())
def test_rows_are_distributions(policy, data):
    theta = allowed(policy, data.draw(numbers(policy.n_parameters, size=700.0)), floor=0.0)
    pi = policy.probabilities(theta)
    assert pi.shape == (S, A)
    assert (pi >= 0).all()
    np.testing.assert_allclose(pi.sum(axis=1), 1, rtol=1e-15)


@every_policy
@pytest.mark.parametrize("size", [1e3, -1e3])
def test_extreme_parameters_stay_finite(policy, size):
    theta = extreme(policy, size)
    ones = np.ones(policy.n_parameters)
    assert np.isfinite(policy.probabilities(theta)).all()
    assert np.isfinite(policy.scores(theta)).all()
    assert np.isfinite(policy.push_forward(theta, ones)).all()
    truth = evaluate(PROBLEM, policy, theta)
    assert np.isfinite(truth.gradient).all()
    if policy.local_scores(theta) is not None:
        assert np.isfinite(truth.natural_gradient()).all()


@every_policy
def test_pull_back_of_many_tables_is_that_of_each(policy):
    theta = policy.initial(seed=6)
    tables = np.random.default_rng(0).standard_normal((2, 5, S, A))
    stacked = policy.pull_back(theta, tables)
    assert stacked.shape == (2, 5, policy.n_parameters)
    single = [[policy.pull_back(theta, table) for table in row] for row in tables]
    np.testing.assert_allclose(stacked, single, rtol=0, atol=1e-13)


@every_policy
def test_initial_parameters_follow_from_the_seed(policy):
    np.testing.assert_array_equal(policy.initial(seed=1), policy.initial(seed=1))
    assert not np.array_equal(policy.initial(seed=1), policy.initial(seed=2))
    assert not np.array_equal(policy.initial(seed=1), policy.initial(seed=1, scale=0.5))
    np.testing.assert_allclose(
        policy.probabilities(policy.initial(init="zeros")), 1 / A, rtol=1e-15
    )
    with pytest.raises(ValueError, match="init is 'ones', must be normal, zeros or own"):
        policy.initial(init="ones")


@every_policy
def test_scale_multiplies_the_initial_logits(policy):
    """For the direct policy these are the logarithms of the probabilities, less a constant."""
    one, half = policy.initial(seed=1), policy.initial(seed=1, scale=0.5)
    if isinstance(policy, Direct):
        one, half = (np.log(x).reshape(S, A) for x in (one, half))
        one, half = (x - x.mean(axis=1, keepdims=True) for x in (one, half))
    np.testing.assert_allclose(half, one / 2, rtol=0, atol=1e-14)


@every_policy
def test_wrong_parameters_are_refused(policy):
    d = policy.n_parameters
    with pytest.raises(ValueError, match=rf"theta has shape \({d + 1},\), must be \({d},\)"):
        evaluate(PROBLEM, policy, np.zeros(d + 1))
    with pytest.raises(ValueError, match=rf"theta has shape \(1, {d}\)"):
        evaluate(PROBLEM, policy, np.zeros((1, d)))
    for bad in (np.nan, np.inf, -np.inf):
        theta = np.zeros(d)
        theta[1] = bad
        with pytest.raises(ValueError, match=rf"theta\[1\] is {bad}, must be finite"):
            evaluate(PROBLEM, policy, theta)


@every_policy
def test_policy_of_another_problem_is_refused(policy):
    other = make_problem("random", n_states=S + 1, n_actions=A)
    with pytest.raises(ValueError, match=r"the policy has \(S, A\) = \(4, 3\), the problem \(5, 3"):
        evaluate(other, policy, policy.initial())


@pytest.mark.parametrize("name", kinds())
def test_kind_describes_itself(name):
    kind = kinds()[name]
    assert kind.name == name
    assert kind.summary
    assert kind.formula
    assert kind.reference


def test_log_linear_with_unit_features_is_tabular_softmax():
    tabular, linear = Softmax(S, A), LogLinear(np.eye(S * A).reshape(S, A, S * A))
    theta = tabular.initial(seed=7)
    np.testing.assert_allclose(
        evaluate(PROBLEM, linear, theta).gradient,
        evaluate(PROBLEM, tabular, theta).gradient,
        rtol=1e-12,
        atol=1e-15,
    )


def test_own_features_are_taken_where_there_are_any():
    corridor = make_problem("corridor")
    for choice in ("auto", "own"):
        policy = make_policy("loglinear", corridor, features=choice)
        np.testing.assert_array_equal(policy.features, corridor.features)
    assert make_policy("loglinear", corridor, features="random").n_parameters == 8
    with pytest.raises(NotApplicable, match="has no features of its own"):
        make_policy("loglinear", PROBLEM, features="own")


def test_random_features_have_the_stated_variance():
    """N(0, 1/d): the squares of S·A·d features have mean 1/d, standard error √2/(d√(SAd))."""
    wide = make_problem("garnet", n_states=500)
    phi = make_policy("loglinear", wide, n_features=16, seed=1).features
    z = (np.mean(phi**2) - 1 / 16) / (np.sqrt(2) / 16 / np.sqrt(phi.size))
    assert abs(z) < 4
    other = make_policy("loglinear", wide, n_features=16, seed=2).features
    assert not np.array_equal(phi, other)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((2, 3)), r"features has shape \(2, 3\), must be \(S, A, d\)"),
        (np.zeros((2, 3, 0)), r"features has shape \(2, 3, 0\)"),
        (np.full((2, 3, 1), np.nan), "features holds values that are not finite"),
    ],
)
def test_wrong_features_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        LogLinear(features)


@pytest.mark.parametrize(
    ("given_parameters", "message"),
    [
        ({"features": "fourier"}, r"loglinear\.features: 'fourier' is unknown"),
        ({"n_features": 0}, r"loglinear\.n_features: 0 is out of range"),
        ({"n_feature": 3}, r"loglinear\.n_feature: unknown parameter, did you mean n_features"),
    ],
)
def test_wrong_declared_parameters_are_refused(given_parameters, message):
    with pytest.raises(ParameterError, match=message):
        make_policy("loglinear", PROBLEM, **given_parameters)


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"unknown policy 'softmx', did you mean softmax\?"):
        make_policy("softmx", PROBLEM)


def evaluated(mdp, kind, chosen):
    policy = make_policy(kind, mdp, **chosen)
    return evaluate(mdp, policy, policy.initial()).resolved


@pytest.mark.parametrize(
    ("problem", "kind", "chosen"),
    [
        ("garnet", "direct", {}),
        ("garnet", "loglinear", {"n_features": 100}),
        ("garnet", "loglinear", {"features": "polynomial", "degree": 30}),
        ("garnet", "loglinear", {"features": "tiles", "n_tiles": 50}),
        ("garnet", "neural", {"hidden": "128x128"}),
        ("gridworld", "loglinear", {"features": "polynomial", "degree": 6}),
        ("gridworld", "neural", {"hidden": 256}),
        ("corridor", "neural", {"inputs": "own", "hidden": 64}),
    ],
    ids=str,
)
def test_memory_is_what_evaluating_takes(problem, kind, chosen):
    size = {
        "garnet": {"n_states": 2000},
        "gridworld": {"size": 30},
        "corridor": {"length": 2000, "gamma": 0.99},
    }
    mdp = make_problem(problem, **size[problem])
    evaluated(make_problem(problem, **size[problem]), kind, chosen)
    tracemalloc.start()
    evaluated(mdp, kind, chosen)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    expected = kinds()[kind].expected(mdp.dimensions, chosen)
    assert held / 3 < mdp.dimensions.memory + expected.memory < 3 * held


@pytest.mark.parametrize(
    ("problem", "kind", "chosen"),
    [
        ("garnet", "softmax", {}),
        ("garnet", "direct", {}),
        ("garnet", "loglinear", {}),
        ("garnet", "loglinear", {"features": "polynomial", "degree": 3}),
        ("garnet", "loglinear", {"features": "tiles", "n_tiles": 4}),
        ("garnet", "neural", {}),
        ("garnet", "neural", {"inputs": "coordinates", "hidden": 7}),
        ("corridor", "loglinear", {}),
        ("corridor", "loglinear", {"features": "random"}),
        ("corridor", "loglinear", {"features": "polynomial"}),
        ("corridor", "neural", {"hidden": "3x2"}),
        ("corridor", "neural", {"inputs": "own", "hidden": "3x2"}),
        ("lqg_random", "gaussian", {}),
        ("lqg_random", "gaussian", {"mean": "affine", "covariance": "full"}),
    ],
    ids=str,
)
def test_number_of_parameters_is_known_beforehand(problem, kind, chosen):
    size = {"garnet": {"n_states": 20}, "corridor": {}, "lqg_random": {"n": 3, "m": 2}}
    mdp = make_problem(problem, **size[problem])
    expected = kinds()[kind].expected(mdp.dimensions, chosen)
    assert expected.n_parameters == make_policy(kind, mdp, **chosen).n_parameters


def test_nothing_is_expected_of_a_policy_where_it_makes_no_sense():
    assert kinds()["neural"].expected(make_problem("lqg").dimensions, {}) is None
    assert kinds()["gaussian"].expected(make_problem("corridor").dimensions, {}) is None
