"""Gaussian policies by networks of one's own are as exact as the linear one."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

import pgbench
from pgbench.declared.parameters import ParameterError
from pgbench.policies.network import Outputs
from pgbench.trials.case import CONTINUOUS, Laboratory
from pgbench.trials.continuous import policy as policies
from pgbench.trials.continuous.cases import PLANS, cases, laboratory_cases
from pgbench.trials.continuous.policy import LINEAR, OwnGaussian, own_gaussian
from pgbench.trials.continuous.truth import ContinuousTruth
from pgbench.trials.examination import examine_code
from pgbench.trials.user_file import UserCode
from pgbench.trials.wording.conclusion import conclusion

STANDARD_ERRORS = 4.0


class ByHand(Outputs):
    """Two outputs of a state whose derivatives are written down."""

    def __init__(self, name, theta, outputs, jacobian):
        self.name, self.theta = name, np.array(theta)
        self.outputs, self.derivative = outputs, jacobian

    @property
    def n_parameters(self):
        return self.theta.size

    def at(self, thetas, rows):
        return np.stack([np.stack(self.outputs(t, rows[:, 0]), axis=-1) for t in thetas])

    def jacobian(self, theta, rows):
        return np.stack([np.stack(d, axis=-1) for d in self.derivative(theta, rows[:, 0])], axis=1)

    def initial(self, seed):
        return self.theta

    def pull_back(self, theta, rows, weights):
        return np.einsum("kno,nod->kd", weights, self.jacobian(theta, rows))

    def each_pull_back(self, thetas, rows, weights):
        raise NotImplementedError

    def each_push_forward(self, thetas, rows, directions):
        raise NotImplementedError


def linear(theta):
    return ByHand(
        "linear", theta,
        lambda t, x: (t[0] * x + t[1], np.full(x.shape, np.exp(t[2]))),
        lambda t, x: (
            (x, 1 + 0 * x, 0 * x), (0 * x, 0 * x, np.exp(t[2]) + 0 * x),
        ),
    )  # fmt: skip


def bent():
    """μ = a tanh(b x + c), σ = exp(d + e tanh x)."""
    return ByHand(
        "bent", [-0.6, 0.9, -0.4, -0.6, 0.2],
        lambda t, x: (t[0] * np.tanh(t[1] * x + t[2]), np.exp(t[3] + t[4] * np.tanh(x))),
        lambda t, x: (
            (np.tanh(t[1] * x + t[2]), t[0] * x / np.cosh(t[1] * x + t[2]) ** 2,
             t[0] / np.cosh(t[1] * x + t[2]) ** 2, 0 * x, 0 * x),
            (0 * x, 0 * x, 0 * x, np.exp(t[3] + t[4] * np.tanh(x)),
             np.tanh(x) * np.exp(t[3] + t[4] * np.tanh(x))),
        ),
    )  # fmt: skip


NETWORKS = {
    "bent": bent,
    "kinked": lambda: ByHand(
        "kinked", [0.5, 0.3],
        lambda t, x: (-t[0] * np.maximum(x, -0.2), t[1] + 0 * x),
        lambda t, x: ((-np.maximum(x, -0.2), 0 * x), (0 * x, 1 + 0 * x)),
    ),
    "runaway": lambda: ByHand(
        "runaway", [2.0, 0.3],
        lambda t, x: (t[0] * x, t[1] + 0 * x),
        lambda t, x: ((x, 0 * x), (0 * x, 1 + 0 * x)),
    ),
    "negative": lambda: ByHand(
        "negative", [1.0, -0.3],
        lambda t, x: (t[0] * x, t[1] + 0 * x),
        lambda t, x: ((x, 0 * x), (0 * x, 1 + 0 * x)),
    ),
    "narrow": lambda: ByHand("narrow", [1.0], lambda t, x: (t[0] * x,), None),
    "wide": lambda: ByHand("wide", np.ones(41), None, None),
}  # fmt: skip


@pytest.fixture
def networks(monkeypatch):
    monkeypatch.setitem(policies.MAKERS, "torch", lambda module, *rest: NETWORKS[module]())
    laboratory_cases.cache_clear()
    yield
    laboratory_cases.cache_clear()


@pytest.mark.parametrize("name", PLANS)
def test_a_network_that_is_linear_is_the_linear_policy(name):
    plan = PLANS[name]
    theta = np.array(plan.theta)
    own = ContinuousTruth(plan.system, theta, plan.horizon, policy=OwnGaussian(linear(theta)))
    exact = ContinuousTruth(plan.system, theta, plan.horizon)
    for quantity in ("objective", "gradient", "endless_gradient", "without_tail", "undiscounted"):
        found, expected = getattr(own, quantity), getattr(exact, quantity)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
    for method in ("fisher", "endless_fisher", "fisher_of_steps", "entropy_bonus"):
        found, expected = getattr(own, method)(), getattr(exact, method)()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", PLANS)
def test_the_gradient_of_a_network_is_the_slope_of_the_objective(name):
    """Central differences of the sixth order along a direction."""
    plan, net, h = PLANS[name], bent(), 1e-2
    truth = ContinuousTruth(plan.system, net.theta, plan.horizon, policy=OwnGaussian(net))
    direction = np.array([0.5, -0.3, 0.4, 0.6, -0.35])
    weights = {1: 45 / 60, 2: -9 / 60, 3: 1 / 60}
    slope = sum(
        w * s * replace(truth, theta=net.theta + s * k * h * direction).objective / h
        for k, w in weights.items()
        for s in (1, -1)
    )
    np.testing.assert_allclose(truth.gradient @ direction, slope, rtol=1e-8)


@pytest.mark.parametrize("name", ["regulator", "squashed", "limit"])
def test_samples_of_a_network_have_the_exact_means(networks, name):
    every = laboratory_cases(Laboratory(CONTINUOUS, policy='{"policy":"torch","module":"bent"}'))
    case = {case.name: case for case in every}[name]
    batch = case.drawn(4000, 1).at_once()
    powers = case.gamma ** np.arange(case.horizon)
    returns = (batch.rewards * powers).sum(axis=-1)
    made = np.einsum("rn,rntd->rd", returns, batch.scores) / case.batch_size
    error = made.std(axis=0) / np.sqrt(len(made))
    assert np.abs((made.mean(axis=0) - case.finite) / error).max() < STANDARD_ERRORS
    assert np.abs((made.mean(axis=0) - 0.5 * case.finite) / error).max() > STANDARD_ERRORS


def test_scores_are_the_slopes_of_log_densities():
    own, theta, h = OwnGaussian(bent()), bent().theta, 1e-5
    x, u = np.array([-0.9, 0.2, 0.8]), np.array([1.1, -0.4, 0.05])
    slopes = [
        (own.log_density(theta + s, x, u) - own.log_density(theta - s, x, u)) / (2 * h)
        for s in h * np.eye(5)
    ]
    np.testing.assert_allclose(own.score(theta, x, u), np.stack(slopes, axis=-1), atol=1e-8)


def judged(function, **given):
    code = UserCode(Path("mine.py"), "mine", pgbench.estimates(actions="continuous")(function))
    return examine_code(code, 250, notices=StringIO(), **given)


def _to_go(b):
    y = np.array(b.rewards)
    for t in reversed(range(b.horizon - 1)):
        y[:, t] += b.gamma * y[:, t + 1]
    return b.gamma ** np.arange(b.horizon) * y


@pytest.mark.slow
def test_functions_are_judged_under_a_network(networks):
    bent_one = json.dumps({"policy": "torch", "module": "bent"})

    def right(b):
        assert b.theta.shape == (5,)
        np.testing.assert_allclose(b.log_prob(b.theta), b.log_probs)
        return b.pull_back(_to_go(b)) / len(b.mask)

    def applied(b):
        """ψ at what the environment sees, by ψ = (z/σ) ∇μ + (z² - 1) ∇log σ."""
        net = OwnGaussian(bent())
        psi = net.score(b.theta, b.states[..., 0], b.env_actions[..., 0]) * b.mask[..., None]
        return np.einsum("nt,ntd->d", _to_go(b), psi) / len(b.mask)

    assert "equals reward_to_go in all" in conclusion(judged(right, policy=bent_one))
    found = judged(applied, policy=bent_one)
    assert not found.passed
    assert "score_of_applied" in conclusion(found)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("kinked", r"'clipped' under this policy: its gradient by quadrature is known to .*smooth"),
        ("runaway", "may drive the state beyond .* no interval was found"),
        ("negative", r"the deviation -0\.3 of the state -1"),
        ("narrow", r"makes \(3, 1\) of features \(3, 1\), must make \(3, 2\)"),
        ("wide", "has 41 trainable parameters, must have from 1 to 40"),
    ],
)
def test_what_is_no_smooth_gaussian_policy_is_refused(networks, monkeypatch, name, said):
    # Where no law bounds actions a kinked policy is tried last.
    kept = [n for n in PLANS if name != "kinked" or n == "clipped"]
    monkeypatch.setattr(policies.__package__ + ".cases.PLANS", {n: PLANS[n] for n in kept})
    laboratory = Laboratory(CONTINUOUS, policy=json.dumps({"policy": "torch", "module": name}))
    with pytest.raises(ValueError, match=said):
        laboratory_cases(laboratory)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("softmax", "policy needs a module"),
        ('{"policy": "softmax", "module": "a.py:B"}', "policy is 'softmax', must be one of jax"),
        ('{"policy": "torch", "module": "a.py:B", "inputs": "own"}', "policy has no 'inputs'"),
    ],
)
def test_a_choice_that_is_no_network_is_named(choice, said):
    with pytest.raises(ParameterError, match=said):
        laboratory_cases(Laboratory(CONTINUOUS, policy=choice))


NET = """
import torch
from torch import nn

class Gauss(nn.Module):
    def __init__(self, n_features, n_outputs, width=6):
        super().__init__()
        self.first, self.last = nn.Linear(n_features, width), nn.Linear(width, n_outputs)

    def forward(self, x):
        y = self.last(torch.tanh(self.first(x)))
        return torch.stack([y[:, 0], nn.functional.softplus(y[:, 1]) + 0.1], dim=1)
"""


def test_losses_go_through_a_pytorch_network(tmp_path):
    torch = pytest.importorskip("torch", reason="make test-autodiff installs it")
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")

    def loss(b):
        theta = torch.tensor(b.theta, requires_grad=True)
        (torch.tensor(_to_go(b)) * b.log_prob(theta)).sum().div(len(b.mask)).backward()
        return theta.grad

    own = json.dumps({"policy": "torch", "module": f"{tmp_path}/net.py:Gauss"})
    assert "equals reward_to_go in all" in conclusion(judged(loss, policy=own))


def test_the_linear_policy_needs_no_network():
    assert all(case.policy is LINEAR for case in cases())
    assert own_gaussian.__doc__
