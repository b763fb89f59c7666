"""Neural softmax: what its networks are, where θ starts, and how large they may be."""

from itertools import pairwise

import numpy as np
import pytest

from pgbench.declared.parameters import ParameterError
from pgbench.exact import evaluate
from pgbench.policies import LogLinear, Neural, NotApplicable, Softmax, make_policy
from pgbench.policies.features import coordinates
from pgbench.problems import make_problem
from tests.support.numbers import close

PROBLEM = make_problem("random", n_states=5, n_actions=3)


def forward(x, theta, widths, f):
    """Outputs of a network for one input vector, layer by layer, unit by unit."""
    theta, h = list(theta), list(x)
    for layer, (n, m) in enumerate(pairwise(widths)):
        W = [[theta.pop(0) for _ in range(m)] for _ in range(n)]
        b = [theta.pop(0) for _ in range(m)]
        z = [sum(h[i] * W[i][j] for i in range(n)) + b[j] for j in range(m)]
        h = z if layer == len(widths) - 2 else [f(value) for value in z]
    assert not theta
    return h


ACTIVATIONS = {"tanh": np.tanh, "relu": lambda z: max(z, 0.0)}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
def test_probabilities_are_the_softmax_of_the_network(hidden, activation):
    x = np.random.default_rng(0).standard_normal((5, 2))
    policy = Neural(x, hidden, activation, n_actions=3)
    theta = np.random.default_rng(1).standard_normal(policy.n_parameters)
    widths = (2, *hidden, 3)
    logits = np.array([forward(row, theta, widths, ACTIVATIONS[activation]) for row in x])
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    close(policy.probabilities(theta), expected, 1e-14)


def test_a_network_for_pairs_is_applied_to_every_action():
    x = np.random.default_rng(0).standard_normal((5, 3, 2))
    policy = Neural(x, (4,))
    theta = np.random.default_rng(1).standard_normal(policy.n_parameters)
    logits = np.array([[forward(pair, theta, (2, 4, 1), np.tanh)[0] for pair in row] for row in x])
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    close(policy.probabilities(theta), expected, 1e-14)


@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
def test_one_hot_states_are_an_identity_matrix_of_inputs(hidden):
    table, matrix = (Neural(x, hidden, n_actions=3) for x in (5, np.eye(5)))
    assert table.n_parameters == matrix.n_parameters
    theta = table.initial(seed=1)
    np.testing.assert_array_equal(theta, matrix.initial(seed=1))
    weights = np.random.default_rng(0).standard_normal((2, 5, 3))
    close(table.probabilities(theta), matrix.probabilities(theta), 1e-14)
    close(table.pull_back(theta, weights), matrix.pull_back(theta, weights), 1e-13)
    close(table.push_forward(theta, theta), matrix.push_forward(theta, theta), 1e-13)
    close(table.scores(theta), matrix.scores(theta), 1e-13)


def test_without_hidden_layers_it_is_log_linear():
    x = np.random.default_rng(0).standard_normal((5, 3, 2))
    network, linear = Neural(x, ()), LogLinear(x)
    theta = network.initial(seed=1)
    network_truth, linear_truth = (
        evaluate(PROBLEM, policy, vector)
        for policy, vector in ((network, theta), (linear, theta[:2]))
    )
    close(network_truth.gradient[:2], linear_truth.gradient, 1e-12)


def test_one_hot_states_without_hidden_layers_are_tabular():
    network = Neural(5, (), n_actions=3)
    theta = network.initial(seed=1)
    gradient = evaluate(PROBLEM, network, theta).gradient
    tabular = evaluate(PROBLEM, Softmax(5, 3), theta[:15]).gradient
    close(gradient[:15], tabular)
    close(gradient[15:], tabular.reshape(5, 3).sum(axis=0), 1e-11)


@pytest.mark.parametrize("size", [1e3, -1e3])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_deep_networks_with_huge_weights_stay_finite(size, activation):
    policy = Neural(5, (32, 32, 32), activation, n_actions=3)
    for theta in (np.full(policy.n_parameters, size), size * np.sign(policy.initial(seed=1))):
        assert np.isfinite(policy.probabilities(theta)).all()
        assert np.isfinite(policy.pull_back(theta, np.eye(15).reshape(15, 5, 3))).all()
        assert np.isfinite(policy.push_forward(theta, np.ones(policy.n_parameters))).all()


def test_a_hundred_thousand_states():
    policy = Neural(100_000, (4,), n_actions=2)
    theta = policy.initial(seed=1)
    weights = np.zeros((100_000, 2))
    weights[99_999] = 1.0, -1.0
    pulled = policy.pull_back(theta, weights)
    assert np.flatnonzero(pulled[:400_000]).min() == 399_996
    np.testing.assert_allclose(
        pulled @ theta, np.sum(weights * policy.push_forward(theta, theta)), rtol=1e-12
    )


def test_initial_weights_make_sums_of_unit_variance():
    """Var θ = 1/E‖x‖² in the first layer and 1/width in the second; biases are 0.

    Mean squares of k normals within four standard errors √(2/k).
    """
    x = 3 * np.random.default_rng(0).standard_normal((50, 40))
    policy = Neural(x, (60, 80), n_actions=5)
    theta = policy.initial(seed=1)
    squares = (x**2).sum(axis=1).mean()
    begin = 0
    for n, m, size in ((40, 60, squares), (60, 80, 60), (80, 5, 80)):
        W, b = theta[begin : begin + n * m], theta[begin + n * m : begin + (n + 1) * m]
        assert abs(np.mean(W**2) * size - 1) < 4 * np.sqrt(2 / W.size)
        np.testing.assert_array_equal(b, 0)
        begin += (n + 1) * m
    assert begin == theta.size
    one_hot = Neural(500, (10,), n_actions=2).initial(seed=1)[:5000]
    assert abs(np.mean(one_hot**2) - 1) < 4 * np.sqrt(2 / 5000)
    zero = Neural(np.zeros((5, 2)), (3,), n_actions=2).initial(seed=1)
    assert np.isfinite(zero).all()


def test_inputs_by_name():
    room, garnet = make_problem("gridworld", size=4), make_problem("garnet", n_states=6)
    corridor = make_problem("corridor")
    np.testing.assert_array_equal(make_policy("neural", room).inputs, coordinates(room))
    assert make_policy("neural", garnet).inputs == 6
    assert make_policy("neural", room, inputs="onehot").inputs == room.n_states
    line = make_policy("neural", garnet, inputs="coordinates").inputs
    np.testing.assert_allclose(line, np.linspace(-1, 1, 6)[:, None])
    own = make_policy("neural", corridor, inputs="own")
    np.testing.assert_array_equal(own.inputs, corridor.features)
    assert own.shape == (4, 2)
    with pytest.raises(NotApplicable, match="has no features of its own"):
        make_policy("neural", garnet, inputs="own")


@pytest.mark.parametrize(
    ("hidden", "widths"), [("64x32", (64, 32)), ("16", (16,)), (16, (16,)), ("3x2x1", (3, 2, 1))]
)
def test_hidden_layers_by_name(hidden, widths):
    assert make_policy("neural", PROBLEM, hidden=hidden).hidden == widths


def test_default_has_two_layers_of_32():
    assert make_policy("neural", PROBLEM).widths == (5, 32, 32, 3)


@pytest.mark.parametrize("hidden", ["", "x", "3x", "0x3", "03", "3X2", "3 x 2", "99999", 0, 10_000])
def test_wrong_hidden_layers_are_refused(hidden):
    message = r"neural\.hidden: .* must be an integer in \[1, 9999\] or widths such as 64x32"
    with pytest.raises(ParameterError, match=message):
        make_policy("neural", PROBLEM, hidden=hidden)


def test_absurd_sizes_are_refused():
    with pytest.raises(ValueError, match=r"widths 5x9999x9999x3 has 100079994 parameters"):
        make_policy("neural", PROBLEM, hidden="9999x9999")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": np.zeros(3)}, r"inputs has shape \(3,\), must be \(S, n\) or \(S, A, n\)"),
        ({"inputs": np.zeros((3, 0))}, r"inputs has shape \(3, 0\)"),
        ({"inputs": np.full((3, 2), np.inf)}, "inputs holds values that are not finite"),
        ({"inputs": 0}, "inputs is 0, must be an array or a number of states"),
        ({"inputs": "onehot"}, "inputs is 'onehot', must be an array"),
        ({"inputs": np.ones((3, 2)), "n_actions": None}, "n_actions is None, must be an integer"),
        ({"inputs": np.ones((3, 4, 2))}, r"n_actions is 2 but inputs has shape \(3, 4, 2\)"),
        ({"hidden": (3, 0)}, r"hidden is \(3, 0\), must be integers"),
        ({"activation": "sine"}, "activation is 'sine', must be tanh or relu"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Neural(**{"inputs": np.ones((3, 2)), "n_actions": 2, **arguments})
