"""Trajectories: right estimators agree with the exact gradient on them, wrong ones do not."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench.trials.continuous.cases import PLANS, cases
from pgbench.trials.continuous.mistakes import score_of_applied
from pgbench.trials.continuous.policy import LINEAR
from pgbench.trials.continuous.simulation import simulate
from pgbench.trials.continuous.truth import ADVANTAGE, GAE, TO_GO, TOTAL

CASES = {case.name: case for case in cases()}
STANDARD_ERRORS = 4.0


def rewards_to_go(batch, gamma):
    """Σ_{m≥t} γ^{m-t} r_m (..., T)."""
    found = np.zeros_like(batch.rewards)
    later = np.zeros(batch.rewards.shape[:-1])
    for t in reversed(range(found.shape[-1])):
        found[..., t] = later = batch.rewards[..., t] + gamma * later
    return found


def generalised_advantages(batch, v, gamma, lam):
    """GAE(λ) (..., T) of a critic that is zero in terminal states."""
    delta = (batch.rewards + gamma * v(batch.next_states) - v(batch.states)) * batch.mask
    found, later = np.zeros_like(delta), np.zeros(delta.shape[:-1])
    for t in reversed(range(delta.shape[-1])):
        found[..., t] = later = delta[..., t] + gamma * lam * later
    return found


def scores(truth, batch, chi):
    """What stands in place of scores (R, N, T, 3)."""
    both = chi(batch.states, batch.actions)
    return LINEAR.combined(truth.theta, batch.states, *both) * batch.mask[..., None]


def distance(weights, psi, exact):
    """Largest |mean - exact| of the estimates Σ_t w_t χ_t in standard errors."""
    estimates = np.einsum("...t,...tk->...k", weights, psi).reshape(-1, 3)
    error = estimates.std(axis=0) / np.sqrt(len(estimates))
    return np.abs((estimates.mean(axis=0) - exact) / error).max()


@pytest.mark.parametrize("name", CASES)
def test_estimators_agree_with_what_is_exact(name):
    case = CASES[name]
    truth, batch = case.truth, case.simulate(2000, seed=1, batch_size=100)
    gamma, T = truth.system.gamma, truth.horizon
    powers, to_go = gamma ** np.arange(T), rewards_to_go(batch, gamma)
    totals = np.broadcast_to(to_go[..., :1], to_go.shape)
    chi = score_of_applied(truth.system, LINEAR, truth.theta)
    wrong = scores(truth, batch, chi)
    for weights, weight in ((totals, TOTAL), (powers * to_go, TO_GO)):
        assert (
            distance(weights, scores(truth, batch, truth.shares), truth.gradient) < STANDARD_ERRORS
        )
        assert distance(weights, wrong, truth.mean(chi, weight=weight)) < STANDARD_ERRORS
        seen = distance(weights, wrong, truth.gradient) > 2 * STANDARD_ERRORS
        assert seen == (name not in ("regulator", "long"))
    assert distance(to_go, scores(truth, batch, truth.shares), truth.undiscounted) < STANDARD_ERRORS


@pytest.mark.parametrize("name", ["squashed", "limit"])
def test_a_baseline_changes_the_mean_of_wrong_scores(name):
    case = CASES[name]
    truth, batch = case.truth, case.simulate(1000, seed=3, batch_size=100)
    chi = score_of_applied(truth.system, LINEAR, truth.theta)
    wrong = scores(truth, batch, chi)
    T, own = truth.horizon, truth.values
    baseline = np.stack([own.v(batch.states[..., t], T - t) for t in range(T)], axis=-1)
    gains = rewards_to_go(batch, truth.system.gamma) - baseline
    weights = truth.system.gamma ** np.arange(T) * gains
    assert distance(weights, wrong, truth.mean(chi, weight=ADVANTAGE)) < STANDARD_ERRORS
    assert distance(weights, wrong, truth.mean(chi, weight=TO_GO)) > 2 * STANDARD_ERRORS


@pytest.mark.parametrize("name", ["squashed", "limit"])
@pytest.mark.parametrize("lam", [0.0, 0.95])
def test_advantages_by_the_exact_critic(name, lam):
    case = CASES[name]
    truth, batch = case.truth, case.simulate(1000, seed=2, batch_size=100)
    gamma = truth.system.gamma
    advantages = generalised_advantages(batch, truth.values.v, gamma, lam)
    weights = gamma ** np.arange(truth.horizon) * advantages
    assert (
        distance(weights, scores(truth, batch, truth.shares), truth.without_tail) < STANDARD_ERRORS
    )
    chi = score_of_applied(truth.system, LINEAR, truth.theta)
    wrong = scores(truth, batch, chi)
    assert distance(weights, wrong, truth.mean(chi, weight=GAE)) < STANDARD_ERRORS
    assert distance(weights, wrong, truth.without_tail) > 2 * STANDARD_ERRORS


def test_what_a_batch_holds():
    case = CASES["limit"]
    system = case.truth.system
    batch = case.simulate(50, seed=0)
    mask, x, u = batch.mask, batch.states, batch.actions
    assert x.shape == (50, 4, 6)
    np.testing.assert_array_equal(batch.env_actions, np.clip(u, -0.8, 0.8))
    assert (np.abs(u) > 0.8).any()
    np.testing.assert_array_equal(batch.rewards, system.reward(x, batch.env_actions) * mask)
    goes_on = mask[..., 1:]
    np.testing.assert_array_equal(x[..., 1:][goes_on], batch.next_states[..., :-1][goes_on])
    for array in (x, u, batch.env_actions, batch.rewards, batch.next_states):
        assert not array[~mask].any()


def test_episodes_end_beyond_the_limit_alone():
    batch = CASES["limit"].simulate(200, seed=0)
    left = (np.abs(batch.next_states) > 1.0) & batch.mask
    assert (left.sum(axis=-1) == batch.ended).all()
    steps = batch.mask.sum(axis=-1)
    assert (batch.mask == (np.arange(6) < steps[..., None])).all()
    last = np.take_along_axis(left, steps[..., None] - 1, axis=-1)[..., 0]
    assert (last == batch.ended).all()
    assert (steps[~batch.ended] == 6).all()
    assert 0 < batch.ended.mean() < 1


def test_starts_beyond_the_limit_take_no_step():
    plan = PLANS["limit"]
    batch = simulate(replace(plan.system, start_mean=3.0), np.array(plan.theta), 3, 2, 2, seed=0)
    assert batch.ended.all()
    assert not batch.mask.any()


def test_the_same_seed_draws_the_same():
    case = CASES["clipped"]
    one, same, other = (case.simulate(3, seed=s) for s in (5, 5, 6))
    np.testing.assert_array_equal(one.next_states, same.next_states)
    assert not (one.next_states == other.next_states).any()


def test_first_replicates_do_not_hang_on_how_many_there_are():
    few, many = (CASES["limit"].simulate(r, seed=5) for r in (3, 40))
    np.testing.assert_array_equal(few.next_states, many.next_states[:3])
    np.testing.assert_array_equal(few.actions, many.actions[:3])


def test_cases_and_replicates_have_streams_of_their_own():
    plan = PLANS["clipped"]
    batches = [simulate(plan.system, np.array(plan.theta), 5, 2, 4, 0, stream) for stream in (0, 1)]
    states = np.concatenate([batch.states.ravel() for batch in batches])
    assert len(np.unique(states)) == states.size


def test_counts_are_checked():
    with pytest.raises(ValueError, match="replicates is 0, must be an integer ≥ 1"):
        CASES["clipped"].simulate(0, seed=0)
