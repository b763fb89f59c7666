"""A residual block with layer norm: derivatives, and bounds on errors, against more digits."""

import numpy as np
import pytest

from pgbench.policies import make_policy
from pgbench.problems import make_problem
from tests.support import layer_norm
from tests.support.numbers import close, differentiate

SOURCES = {"torch": layer_norm.TORCH, "jax": layer_norm.JAX}


@pytest.fixture(params=SOURCES)
def block(request, folder):
    pytest.importorskip(request.param, reason="make test-autodiff installs it")
    (folder / "block.py").write_text(SOURCES[request.param], encoding="utf-8")
    return make_policy(request.param, make_problem("gridworld", size=3), module="block.py:Block")


def test_scores_are_derivatives(block):
    x, A = block.inputs, block.n_actions
    theta = block.initial(3, "own") + 0.1 * block.initial(4)
    close(np.log(block.probabilities(theta)), layer_norm.log_probabilities(theta, x, A), 1e-13)
    scores = block.scores(theta)
    numerical = differentiate(lambda t: np.log(block.probabilities(t)), theta, step=1e-3)
    np.testing.assert_allclose(scores, numerical, rtol=0, atol=1e-8)
    W, v = np.random.default_rng(0).standard_normal((5, *block.shape)), block.initial(5)
    close(block.pull_back(theta, W), np.tensordot(W, scores, axes=2), 1e-13)
    close(block.push_forward(theta, v), scores @ v, 1e-12)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no numbers of more digits")
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_errors_are_within_their_bounds(block, scale):
    """The gradient along directions by differences of 64 digits, which are right to 1e-14."""
    x, A = block.inputs, block.n_actions
    for seed in range(3):
        rng = np.random.default_rng(seed)
        theta, W = scale * rng.standard_normal(block.n_parameters), rng.standard_normal(block.shape)
        wide = theta.astype(np.longdouble)
        log_pi = layer_norm.log_probabilities(wide, x, A)
        pi, right = block.probabilities(theta), np.exp(log_pi)
        away = np.abs(pi - right)[right > 1e-300] / right[right > 1e-300]
        assert away.max() <= block.table_error(theta) < 1e-11 * (1 + scale**2)
        bound = block.pull_back_error(theta, W, np.zeros(block.shape))
        gradient = block.pull_back(theta, W)
        assert bound <= 1e-10 * scale**2 * max(1.0, np.linalg.norm(gradient))
        u = rng.standard_normal(theta.size)
        u /= np.linalg.norm(u)

        def along(t, u=u, wide=wide, W=W):
            return (W * layer_norm.log_probabilities(wide + t[0] * u, x, A)).sum()

        numerical = differentiate(along, np.zeros(1, np.longdouble), step=np.longdouble(1e-4))
        assert abs(float(gradient @ u - numerical[0])) <= bound + 1e-11 * np.linalg.norm(gradient)
