"""Batches of continuous actions hold what they say, with functions of θ."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench.declared.claims import Claims
from pgbench.functions import ContinuousBatch
from pgbench.functions.fields import fields
from pgbench.trials.continuous.cases import cases
from pgbench.trials.continuous.policy import LINEAR
from tests.support.numbers import differentiate

CASES = {case.name: case for case in cases()}
EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
FIELDS = fields(ContinuousBatch)


@EVERY
def test_steps_hold_what_a_loss_needs(case):
    b, system, theta = case.drawn(3, 0)[2], case.system, case.theta
    N, T = case.batch_size, case.horizon
    assert b.states.shape == b.actions.shape == b.env_actions.shape == (N, T, 1)
    assert b.covariances.shape == (N, T, 1, 1)
    assert (b.law, b.bound, b.horizon) == (system.law, system.bound, T)
    for n, t in zip(*np.nonzero(b.mask), strict=True):
        x, u, e, after = (
            getattr(b, name)[n, t, 0]
            for name in ("states", "actions", "env_actions", "next_states")
        )
        last = t == b.mask[n].sum() - 1
        assert e == system.applied(np.array(u))
        assert b.rewards[n, t] == system.reward(x, e)
        assert last or after == b.states[n, t + 1, 0]
        assert b.terminated[n, t] == (abs(after) > system.limit)
        assert b.truncated[n, t] == (t == T - 1 and not b.terminated[n, t])
        assert b.means[n, t, 0] == pytest.approx(LINEAR.mean(theta, x), rel=1e-14)
        assert b.scales[n, t, 0] == np.exp(theta[2])
        assert b.covariances[n, t, 0, 0] == pytest.approx(np.exp(theta[2]) ** 2, rel=1e-14)
        assert (b.scores[n, t] == LINEAR.score(theta, x, u)).all()
    assert (b.ended == b.terminated.any(axis=1)).all()
    for name in FIELDS:
        value = getattr(b, name)
        if isinstance(value, np.ndarray) and value.shape[:2] == b.mask.shape:
            assert not value[~b.mask].any(), name
            assert not value.flags.writeable


@EVERY
def test_values_are_those_of_the_truth_and_the_critic(case):
    b, exact = case.drawn(2, 0)[1], case.truth.values
    x, u, after = (getattr(b, name)[..., 0] for name in ("states", "actions", "next_states"))
    pairs = [
        (b.exact_values, exact.v(x)),
        (b.exact_next_values, exact.v(after)),
        (b.exact_action_values, exact.q(x, u)),
        (b.values, case.critic(x)),
        (b.next_values, case.critic(after)),
    ]
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected * b.mask, rtol=1e-10)
    assert not b.exact_next_values[b.terminated].any()
    assert b.next_values[b.terminated].all()


@EVERY
def test_functions_of_theta_are_those_of_the_gaussian_law(case):
    b = case.drawn(2, 0)[1]
    theta = case.theta + np.array([0.1, -0.2, 0.15])
    middle, sigma = theta[0] * b.states + theta[1], np.exp(theta[2])
    np.testing.assert_allclose(b.mean(theta), middle * b.mask[..., None], atol=1e-14)
    z = (b.actions - middle)[..., 0] / sigma
    law = np.exp(-(z**2) / 2) / (sigma * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(np.exp(b.log_prob(theta))[b.mask], law[b.mask], rtol=1e-13)
    grid = np.linspace(-9, 9, 2001)
    density = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    entropy = -np.trapezoid(density * np.log(density / sigma), grid)
    np.testing.assert_allclose(b.entropy(theta), entropy * b.mask, rtol=1e-10)
    np.testing.assert_allclose(differentiate(b.log_prob, b.theta), b.scores, atol=1e-7)
    assert (b.log_probs == b.log_prob(b.theta)).all()
    weights = np.random.default_rng(4).standard_normal(b.mask.shape)
    np.testing.assert_allclose(
        b.pull_back(weights), np.einsum("nt,ntd->d", weights, b.scores), atol=1e-12
    )


@EVERY
def test_log_probabilities_of_squashed_actions_have_their_jacobian(case):
    """The slope of what is applied where that is squashed; no other law has one."""
    b, h = case.drawn(2, 0)[1], 1e-6
    squashed = case.system.law == "squashed"
    slope = (case.system.applied(b.actions + h) - case.system.applied(b.actions - h)) / (2 * h)
    expected = np.where(b.mask & squashed, slope[..., 0], 1.0)
    np.testing.assert_allclose(np.exp(b.log_jacobians), expected, rtol=1e-8)
    np.testing.assert_allclose(b.env_log_probs, b.log_probs - b.log_jacobians, atol=1e-14)


@EVERY
def test_many_batches_are_those_one_by_one(case):
    every = case.drawn(4, 0)
    whole = every.at_once()
    for name in FIELDS:
        field = getattr(whole, name)
        if isinstance(field, np.ndarray) and field.shape[:1] == (4,):
            assert all((field[r] == getattr(every[r], name)).all() for r in range(4)), name
    led = every.claimed(Claims(vectorised=True))[2]
    assert (led.scores[0] == every[2].scores).all()
    assert every[2].rng.random() == every.only(slice(1, 4))[1].rng.random()


def test_all_floats_are_single_where_that_is_claimed():
    every = replace(CASES["squashed"].drawn(2, 0), dtype="float32")
    for name in FIELDS:
        value = getattr(every[1], name)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            assert value.dtype == np.float32, name
    assert every[1].pull_back(every[1].mask).dtype == np.float32


def test_the_stream_is_the_steps_taken():
    b = CASES["limit"].drawn(3, 0)[2]
    flat = b.flat
    assert len(flat) == b.mask.sum() < b.mask.size
    again = np.zeros_like(b.actions)
    again[flat.trajectory, flat.times] = flat.actions
    assert (again == b.actions).all()
    for name in ("log_prob", "entropy", "mean"):
        assert (getattr(flat, name)(b.theta) == getattr(b, name)(b.theta)[b.mask]).all()


def test_every_field_is_documented_and_what_finite_problems_have_is_unknown():
    for field in FIELDS:
        assert field in (ContinuousBatch.__doc__ or "")
    b = CASES["limit"].drawn(1, 0)[0]
    with pytest.raises(AttributeError, match="no 'probabilities'"):
        b.probabilities  # noqa: B018
    with pytest.raises(AttributeError, match=r"no 'env_action', did you mean env_actions\?"):
        b.env_action  # noqa: B018


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pytorch_differentiates_log_probabilities_to_scores(dtype):
    torch = pytest.importorskip("torch", reason="make test-autodiff installs it")
    for case in CASES.values():
        b = case.drawn(1, 0)[0]
        theta = torch.tensor(np.array(b.theta, dtype), requires_grad=True)
        weights = np.random.default_rng(1).standard_normal(b.mask.shape)
        loss = (b.log_prob(theta) * torch.tensor(weights.astype(dtype))).sum()
        loss = loss + b.entropy(theta).sum() + b.mean(theta).sum()
        loss.backward()
        expected = b.pull_back(weights) + b.mask.sum() * np.eye(3)[2]
        expected += np.array([b.states.sum(), b.mask.sum(), 0.0])
        np.testing.assert_allclose(theta.grad.numpy(), expected, rtol=2e-4, atol=2e-4)


def test_jax_differentiates_log_probabilities_to_scores():
    jax = pytest.importorskip("jax", reason="make test-autodiff installs it")
    for case in CASES.values():
        b = case.drawn(1, 0)[0]
        found = jax.jacobian(b.log_prob)(jax.numpy.asarray(b.theta))
        np.testing.assert_allclose(np.asarray(found), b.scores, rtol=2e-3, atol=2e-3)
