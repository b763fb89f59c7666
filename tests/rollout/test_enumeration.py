"""The list of all trajectories, itself checked against matrix powers."""

import numpy as np
import pytest

from pgbench.rollout.enumeration import trajectories
from tests.support.numbers import close
from tests.support.truths import WEIGHTS_OF


@WEIGHTS_OF
def test_probabilities_sum_to_one(truth, horizon):
    assert sum(p for p, _, _ in trajectories(truth.process, horizon)) == pytest.approx(1, rel=1e-13)


@WEIGHTS_OF
def test_no_trajectory_is_listed_twice(truth, horizon):
    listed = [tuple(slots) for p, _, slots in trajectories(truth.process, horizon) if p > 0]
    assert len(set(listed)) == len(listed)


@WEIGHTS_OF
def test_steps_follow_one_another(truth, horizon):
    mdp = truth.mdp
    for _, pairs, slots in trajectories(truth.process, horizon):
        assert [slot // mdp.branching for slot in slots] == pairs
        states = [pair // mdp.n_actions for pair in pairs]
        successors = mdp.successor.ravel()[slots]
        np.testing.assert_array_equal(states[1:], successors[:-1])
        assert not mdp.terminal[states].any()
        assert len(pairs) == horizon or mdp.terminal[successors[-1]]


@WEIGHTS_OF
def test_marginals_are_those_of_the_markov_chain(truth, horizon):
    """Pr(s_t = s, a_t = a) = (μ0 P_πᵗ)(s) π(s, a) over states that are not terminal."""
    S, A = truth.pi.shape
    P = truth.mdp.transitions.toarray().reshape(S, A, S)
    step = np.einsum("sa,sat->st", truth.pi, P)
    marginal = np.zeros((horizon, S * A))
    for p, pairs, _ in trajectories(truth.process, horizon):
        marginal[np.arange(len(pairs)), pairs] += p
    for t in range(horizon):
        u = truth.mdp.mu0 @ np.linalg.matrix_power(step, t) * ~truth.mdp.terminal
        close(marginal[t].reshape(S, A), u[:, None] * truth.pi)


@WEIGHTS_OF
def test_slots_come_with_their_probabilities(truth):
    """One step: Pr(slot) = μ0(s) π(s, a) P(slot | s, a)."""
    mdp = truth.mdp
    drawn = np.zeros(mdp.probability.size)
    for p, _, slots in trajectories(truth.process, 1):
        drawn[slots] += p
    expected = (mdp.mu0[:, None] * truth.pi)[:, :, None] * mdp.probability
    close(drawn, expected.ravel())
