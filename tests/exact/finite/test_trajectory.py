"""Probabilities of trajectories, and forms (1) and (3) of the gradient as sums over all of them."""

import numpy as np
import pytest

from pgbench.exact import evaluate, log_probability
from pgbench.rollout.enumeration import trajectories
from tests.support.numbers import close, differentiate


def path(mdp, slots):
    """States (T + 1,), actions (T,) and rewards (T,) of a list of (s, a, slot) indices."""
    pairs = np.array(slots) // mdp.branching
    states, actions = pairs // mdp.n_actions, pairs % mdp.n_actions
    return np.append(states, mdp.successor.ravel()[slots[-1]]), actions, mdp.reward.ravel()[slots]


def test_probabilities_are_those_listed(truth, horizon):
    """Slots with the same successor are one transition, so their probabilities add up."""
    listed, found = {}, {}
    for p, _, slots in trajectories(truth.process, horizon):
        states, actions, _ = path(truth.mdp, slots)
        key = (*states, -1, *actions)
        listed[key] = listed.get(key, 0.0) + p
        found[key] = np.exp(log_probability(truth, states, actions))
    assert sum(listed.values()) == pytest.approx(1, rel=1e-13)
    for key, p in listed.items():
        assert found[key] == pytest.approx(p, rel=1e-12)


def test_forms_of_the_gradient_are_sums_over_all_trajectories(truth, horizon):
    """E[R(τ) Σψ] and E[Σ γ^t Q̂_t ψ_t] are ∇J_H; the scores here are finite differences."""
    mdp, gamma = truth.mdp, truth.mdp.gamma
    finite = evaluate(mdp, truth.policy, truth.theta, horizon)
    psi = truth.policy.scores(truth.theta)
    first, third, objective = np.zeros_like(truth.theta), np.zeros_like(truth.theta), 0.0
    late = np.zeros_like(truth.theta)
    for _, _, slots in trajectories(truth.process, horizon):
        states, actions, rewards = path(mdp, slots)
        p = slot_probability(truth, slots)
        scores = psi[states[:-1], actions]
        discounted = gamma ** np.arange(rewards.size) * rewards
        to_go = discounted[::-1].cumsum()[::-1]  # γ^t Q̂_t
        objective += p * discounted.sum()
        first += p * discounted.sum() * scores.sum(axis=0)
        third += p * to_go @ scores
        late += p * (to_go - discounted) @ scores
    assert objective == pytest.approx(finite.objective, rel=1e-12)
    close(first, finite.gradient, 1e-12)
    close(third, finite.gradient, 1e-12)
    if np.ptp(mdp.reward[~mdp.terminal]) > 0:  # else a step earlier or later is the same
        assert np.abs(late - finite.gradient).max() > 1e-3 * np.abs(finite.gradient).max()


def slot_probability(truth, slots):
    """P(τ) of a list of slots, multiplied out."""
    mdp = truth.mdp
    pairs = np.array(slots) // mdp.branching
    start = mdp.mu0[pairs[0] // mdp.n_actions]
    return start * truth.pi.ravel()[pairs].prod() * mdp.probability.ravel()[slots].prod()


def test_score_of_a_trajectory_is_the_gradient_of_its_log_probability(truth):
    """∇ log P(τ) = Σ_t ψ_t: what the likelihood-ratio method rests on."""
    _, _, slots = max(trajectories(truth.process, 3), key=lambda listed: len(listed[2]))
    states, actions, _ = path(truth.mdp, slots)
    policy = truth.policy

    def total(theta):
        return log_probability(evaluate(truth.mdp, policy, theta), states, actions)

    expected = policy.scores(truth.theta)[states[:-1], actions].sum(axis=0)
    close(differentiate(total, truth.theta, policy=policy), expected, 1e-8)


def test_many_trajectories_at_once(truth):
    rng = np.random.default_rng(0)
    states = rng.integers(truth.mdp.n_states, size=(2, 5, 4))
    actions = rng.integers(truth.mdp.n_actions, size=(2, 5, 3))
    together = log_probability(truth, states, actions)
    assert together.shape == (2, 5)
    for place in np.ndindex(2, 5):
        assert together[place] == log_probability(truth, states[place], actions[place])


@pytest.mark.parametrize(("problem", "kind"), [("ending", "softmax")])
def test_impossible_trajectories_have_probability_zero(truth):
    end = int(np.flatnonzero(truth.mdp.terminal)[0])
    assert log_probability(truth, [end], []) == -np.inf  # no start there
    assert log_probability(truth, [0, end, end], [0, 0]) == -np.inf
    assert np.isfinite(log_probability(truth, [0, 1, end], [0, 0]))


@pytest.mark.parametrize(("problem", "kind"), [("dense", "softmax")])
@pytest.mark.parametrize(
    ("states", "actions", "message"),
    [
        ([0, 1], [0, 1], r"states has shape \(2,\) and actions \(2,\), must be"),
        ([0, 3], [0], r"states\[1\] is 3, must be in \[0, 2\]"),
        ([0, 1], [-1], r"actions\[0\] is -1, must be in \[0, 1\]"),
        ([0.0, 1.0], [0], "states holds float64, must hold integers"),
    ],
)
def test_what_is_no_trajectory_is_refused(truth, states, actions, message):
    with pytest.raises(ValueError, match=message):
        log_probability(truth, states, actions)
