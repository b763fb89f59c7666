"""Reward-to-go less the value of the state: (1/N) Σ_n Σ_t γ^t (Q̂_t - V(s_t)) ψ_t."""

from typing import Any

import numpy as np

from pgbench.trials.zoo.slips.slip import DISCOUNTED, OTHERS, SUMMED, Slip, Written


def estimate(batch: Any) -> Any:
    """Rewards to go less a baseline, times scores."""
    gamma, N = batch.gamma, batch.rewards.shape[-2]
    steps = np.arange(batch.horizon)
    to_go, later = np.zeros(batch.rewards.shape), 0.0
    for t in reversed(range(batch.horizon)):
        later = batch.rewards[..., t] + gamma * later
        to_go[..., t] = later
    baseline = batch.v[batch.states]
    weights = gamma**steps * (to_go - baseline)
    return np.einsum("...nt,...ntd->...d", weights, batch.scores) / N


_NOISE = "a baseline that no action has a say in takes nothing from the mean; noise alone"

written = Written(
    estimate,
    (
        *DISCOUNTED,
        *SUMMED,
        Slip("+ gamma * later", "+ later", "rewards to go not discounted"),
        Slip("= later\n", "= later - batch.rewards[..., t]\n", "begins after the own reward"),
        Slip("batch.v[batch.states]", "batch.v[batch.next_states]", "V of the next state"),
        Slip(
            "batch.v[batch.states]",
            "np.roll(batch.v[batch.states], -1, axis=-1)",
            "V one step early",
        ),
        Slip(
            "batch.v[batch.states]",
            "np.roll(batch.v[batch.states], 1, axis=-1)",
            "V one step late; the first step has that of the last",
        ),
        Slip("batch.v[batch.states]", "batch.q[batch.states, batch.actions]", "Q for V"),
        Slip("batch.v[batch.states]", "batch.q[batch.states, 0]", "Q of action 0"),
        Slip(
            "batch.v[batch.states]",
            "batch.q[batch.next_states, batch.actions]",
            "Q of the next state",
        ),
        Slip("batch.v[batch.states]", "batch.rewards", "the own reward as baseline"),
        Slip("batch.v[batch.states]", "gamma * batch.v[batch.next_states]", "γ V(s') for V(s)"),
        Slip("batch.v[batch.states]", "to_go.mean(axis=-2, keepdims=True)", "in-sample mean"),
        Slip("batch.v[batch.states]", "to_go[..., :1]", "the whole return"),
        Slip("batch.v[batch.states]", "batch.v[batch.states][..., ::-1]", "order of states"),
        Slip("to_go - baseline", "baseline", "the baseline alone"),
        Slip("to_go - baseline", "to_go + baseline", "sign of the baseline"),
        Slip(
            "gamma**steps * (to_go - baseline)",
            "gamma**steps * to_go - baseline",
            "the baseline not discounted",
        ),
        Slip("batch.v[batch.states]", "batch.v[batch.states[..., :1]]", "V of the start state"),
        Slip("batch.v[batch.states]", "batch.critic[batch.states]", "a critic that errs"),
    ),
    harmless={
        "every weight meets the scores of all trajectories": OTHERS,
        "Q of action 0": _NOISE,
        "sign of the baseline": _NOISE,
        "the baseline not discounted": _NOISE,
        "V of the start state": _NOISE,
        "a critic that errs": _NOISE,
    },
    claims="baseline_value",
)
