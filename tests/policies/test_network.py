"""Networks of any function: the same as by hand, honest about rounding, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.policies import Neural
from pgbench.policies.network import TOGETHER, Network, dimensions
from pgbench.problems import make_problem
from tests.support.networks import Perceptron, perceptron
from tests.support.numbers import close

S, A = 6, 3
RNG = np.random.default_rng(5)
X = RNG.standard_normal((S, 2))
ALLOWED = RNG.random((S, A)) < 0.7
ALLOWED[:, 0] = True


def with_biases(theta, width, outputs):
    """θ of the policy ``neural`` for that of a perceptron, whose biases are zero."""
    W, V = np.split(theta, [2 * width])
    return np.concatenate([W, np.zeros(width), V, np.zeros(outputs)])


def weights_of(g, width, outputs):
    """What of a gradient of ``neural`` belongs to weights."""
    end = 3 * width + width * outputs
    return np.concatenate([g[..., : 2 * width], g[..., 3 * width : end]], axis=-1)


@pytest.mark.parametrize("allowed", [None, ALLOWED], ids=["all", "some"])
def test_it_is_the_network_that_is_differentiated_by_hand(allowed):
    own, other = perceptron(X, A, allowed), Neural(X, (3,), n_actions=A, allowed=allowed)
    theta = own.initial(seed=1)
    full = with_biases(theta, 3, A)
    W, states = RNG.standard_normal((40, S, A)), np.array([4, 1])
    close(own.probabilities(theta), other.probabilities(full), 1e-14)
    close(own.pull_back(theta, W), weights_of(other.pull_back(full, W), 3, A), 1e-13)
    some = weights_of(other.pull_back(full, W[:, :2], states), 3, A)
    close(own.pull_back(theta, W[:, :2], states), some, 1e-13)
    close(own.scores(theta), weights_of(other.scores(full), 3, A), 1e-13)
    v = RNG.standard_normal(theta.size)
    close(own.push_forward(theta, v), other.push_forward(full, with_biases(v, 3, A)), 1e-13)


def test_no_weights_make_no_gradient():
    own = perceptron(X, A)
    theta = own.initial()
    assert own.pull_back(theta, np.zeros((0, S, A))).shape == (0, theta.size)
    nothing = own.pull_back(theta, np.zeros((2, 0, A)), np.zeros(0, int))
    np.testing.assert_array_equal(nothing, np.zeros((2, theta.size)))


def test_many_at_once_are_each_alone():
    own, m = perceptron(X, A, ALLOWED), TOGETHER + 3
    thetas, v = RNG.standard_normal((2, m, own.n_parameters))
    W = RNG.standard_normal((m, S, A))
    close(own.each_probabilities(thetas), [own.probabilities(t) for t in thetas], 1e-14)
    pulled = [own.pull_back(t, w) for t, w in zip(thetas, W, strict=True)]
    close(own.each_pull_back(thetas, W), pulled, 1e-13)
    pushed = [own.push_forward(t, u) for t, u in zip(thetas, v, strict=True)]
    close(own.each_push_forward(thetas, v), pushed, 1e-13)
    close(own.push_forwards(thetas[0], v), [own.push_forward(thetas[0], u) for u in v], 1e-13)


def test_its_own_start_is_the_functions():
    own = perceptron(X, A)
    np.testing.assert_array_equal(own.initial(3, "own"), own.outputs.initial(3))
    np.testing.assert_array_equal(own.initial(3, "own", 0.5), 0.5 * own.outputs.initial(3))


def longdouble(policy, theta, W):
    """π and the pull-back of W at 64 binary digits in place of 53."""
    f, h, o = policy.outputs.sizes
    x, theta, W = (z.astype(np.longdouble) for z in (policy.inputs, theta, W))
    first, second = theta[: f * h].reshape(f, h), theta[f * h :].reshape(h, o)
    hidden = np.tanh(x @ first)
    e = np.exp(hidden @ second)
    pi = e / e.sum(axis=1, keepdims=True)
    delta = W - pi * W.sum(axis=1, keepdims=True)
    by_first = x.T @ ((delta @ second.T) * (1 - hidden**2))
    return pi, np.concatenate([by_first.ravel(), (hidden.T @ delta).ravel()])


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no numbers of more digits")
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("width", [1, 3, 40])
def test_errors_are_within_their_bounds(scale, width):
    own = perceptron(X, A, width=width)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        theta, W = scale * rng.standard_normal(own.n_parameters), rng.standard_normal((S, A))
        pi, gradient = longdouble(own, theta, W)
        bound = own.table_error(theta)
        assert np.max(np.abs(own.probabilities(theta) - pi) / pi) <= bound < 1e-12 * (1 + scale)
        away = np.linalg.norm(own.pull_back(theta, W) - gradient)
        bound = own.pull_back_error(theta, W, np.zeros((S, A)))
        assert away <= bound <= 1e-10 * np.linalg.norm(gradient)


def test_an_error_of_weights_passes_to_the_gradient():
    own = perceptron(X, A, ALLOWED)
    theta, W = own.initial(), RNG.standard_normal((S, A))
    error = np.full((S, A), 1e-3)
    signs = RNG.choice([-1.0, 1.0], (200, S, A))
    moved = own.pull_back(theta, W + error * signs) - own.pull_back(theta, W)
    longest = np.linalg.norm(moved, axis=1).max()
    assert longest <= own.pull_back_error(theta, W, error) <= 10 * longest


class Wide(Perceptron):
    """Twice as many outputs as there are actions."""

    def at(self, thetas, rows):
        return np.concatenate([super().at(thetas, rows)] * 2, axis=-1)


class Infinite(Perceptron):
    """One row that is not finite."""

    def at(self, thetas, rows):
        return super().at(thetas, rows) + np.where(np.arange(len(rows)) == 2, np.inf, 0)[:, None]


class Single(Perceptron):
    """Computed in single precision."""

    def at(self, thetas, rows):
        return super().at(thetas.astype(np.float32), rows.astype(np.float32)).astype(np.float64)


class Random(Perceptron):
    """Half of its rows are dropped, at random."""

    def at(self, thetas, rows):
        kept = np.random.default_rng().random((len(thetas), len(rows), 1)) < 0.5
        return super().at(thetas, rows) * kept


class Detached(Perceptron):
    """No derivatives."""

    def jacobian(self, theta, rows):
        return 0 * super().jacobian(theta, rows)


class Centred(Perceptron):
    """Rows less their mean."""

    def at(self, thetas, rows):
        made = super().at(thetas, rows)
        return made - made.mean(axis=1, keepdims=True)

    def jacobian(self, theta, rows):
        made = super().jacobian(theta, rows)
        return made - made.mean(axis=0)


class Empty(Perceptron):
    """Nothing to train."""

    n_parameters = 0


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Wide, r"perceptron makes \(6, 6\) of features \(6, 2\), must make \(6, 3\)"),
        (Infinite, "perceptron: output 0 of row 2 of the features is inf, must be finite"),
        (Single, "computed in less than double precision"),
        (Random, "perceptron: logits do not move as their derivatives say"),
        (Detached, "perceptron: logits do not move as their derivatives say"),
        (Centred, "perceptron: logits of a state hang on which other states"),
        (Empty, "perceptron has 0 trainable parameters, must have from 1"),
    ],
)
def test_what_is_no_function_of_float64_is_refused(kind, message):
    with pytest.raises(ValueError, match=message):
        perceptron(X, A, kind=kind)


def test_theta_for_which_logits_overflow_is_refused():
    mdp = make_problem("random", n_states=S, n_actions=A)
    own = perceptron(1e10 * X, A)
    own_theta = np.full(own.n_parameters, 1e308)
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(ValueError, match=r"output \d of row \d of the features is -?(inf|nan)"),
    ):
        evaluate(mdp, own, own_theta)


def test_only_npy_files_are_read_where_the_library_has_none(tmp_path):
    own = perceptron(X, A)
    np.save(tmp_path / "theta.npy", own.initial(2))
    np.testing.assert_array_equal(own.read(tmp_path / "theta.npy"), own.initial(2))
    with pytest.raises(ValueError, match=r"net\.pt is no \.npy file, in which θ of perceptron"):
        own.read(Path("net.pt"))


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"allowed has shape \(6, 2\), must be \(6, 3\) bool"):
        Network(Perceptron(2, A), X, A, ALLOWED[:, :2])


@pytest.mark.parametrize(
    ("inputs", "n"), [("onehot", 50), ("coordinates", 1), ("auto", 50)], ids=str
)
def test_memory_grows_with_features(inputs, n):
    expected = dimensions(make_problem("garnet", n_states=50).dimensions, inputs)
    assert expected.memory == 8 * 4 * 50 * n
