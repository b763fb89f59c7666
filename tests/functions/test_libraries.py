"""Functions of θ in PyTorch and JAX: the numbers of NumPy, and the scores as their derivatives."""

import json

import numpy as np
import pytest

from pgbench.functions import drawn
from pgbench.functions.libraries import exp, library, like, log_softmax
from pgbench.policies import NotApplicable
from pgbench.trials.battery import cases
from pgbench.trials.case import SEQUENCES, Laboratory

REASON = "make test-autodiff installs it"


def of_torch(b):
    torch = pytest.importorskip("torch", reason=REASON)
    theta = torch.tensor(b.theta, requires_grad=True)
    log_prob, H = b.log_prob(theta), b.entropy(theta)
    log_prob.sum().backward()
    return log_prob.detach().numpy(), H.detach().numpy(), theta.grad.numpy()


def of_jax(b):
    jax = pytest.importorskip("jax", reason=REASON)
    theta = jax.numpy.asarray(b.theta)
    slope = jax.jit(jax.grad(lambda x: b.log_prob(x).sum()))(theta)
    return b.log_prob(theta), b.entropy(theta), slope


def of_numpy(b):
    return b.log_prob(b.theta), b.entropy(b.theta), b.scores.sum(axis=(0, 1))


@pytest.mark.parametrize(("of", "close"), [(of_numpy, 1e-12), (of_torch, 1e-12), (of_jax, 1e-5)])
def test_log_probabilities_and_entropies_are_differentiated_to_scores(of, close):
    """JAX is in single precision unless it is told otherwise."""
    for case in (*cases(), *cases(SEQUENCES)):
        b = drawn(case, 1, 0)[0]
        log_prob, H, slope = map(np.asarray, of(b))
        np.testing.assert_allclose(log_prob, b.log_probs, rtol=close, atol=close)
        rows = np.where(b.probabilities > 0, b.probabilities, 1.0)
        np.testing.assert_allclose(H, -(rows * np.log(rows)).sum(axis=-1), rtol=close, atol=close)
        scale = np.abs(b.scores).sum(axis=(0, 1)).max()
        np.testing.assert_allclose(slope, b.scores.sum(axis=(0, 1)), atol=close * scale)


NETWORK = """
import torch


class Net(torch.nn.Module):
    def __init__(self, n_features, n_actions):
        super().__init__()
        self.first = torch.nn.Linear(n_features, 3)
        self.last = torch.nn.Linear(3, n_actions)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))
"""


def test_a_network_of_the_users_is_differentiated_in_its_own_library(tmp_path):
    torch = pytest.importorskip("torch", reason=REASON)
    (tmp_path / "net.py").write_text(NETWORK, encoding="utf-8")
    own = json.dumps({"policy": "torch", "module": f"{tmp_path}/net.py:Net"})
    for case in cases(Laboratory(policy=own))[:2]:
        b = drawn(case, 1, 0)[0]
        log_prob, _, slope = of_torch(b)
        np.testing.assert_allclose(log_prob, b.log_probs, atol=1e-12)
        np.testing.assert_allclose(slope, b.scores.sum(axis=(0, 1)), atol=1e-11)
        np.testing.assert_allclose(b.log_prob(b.theta), b.log_probs, atol=1e-12)
        assert b.inputs.shape[0] == b.n_states
        with pytest.raises(NotApplicable, match="logits of Network are not linear"):
            b.features  # noqa: B018
        assert torch.get_default_dtype() == torch.float32


def test_what_is_of_no_library_is_numpys():
    assert library(np.zeros(2)) == library([1.0]) == "numpy"
    assert like(np.zeros(1, np.float32), [1, 2]).dtype == np.float32
    assert exp(np.zeros(2)).tolist() == [1.0, 1.0]
    np.testing.assert_allclose(log_softmax(np.zeros((2, 4))), np.full((2, 4), -np.log(4)))
