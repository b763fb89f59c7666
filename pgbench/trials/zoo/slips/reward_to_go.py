"""Reward-to-go: (1/N) Σ_n Σ_t γ^t Q̂_t ψ_t (Sutton, McAllester, Singh & Mansour 1999)."""

from typing import Any

import numpy as np

from pgbench.trials.zoo.slips.slip import DISCOUNTED, OTHERS, SUMMED, Slip, Written


def estimate(batch: Any) -> Any:
    """Discounted rewards to go times scores."""
    gamma, N, r = batch.gamma, batch.rewards.shape[-2], batch.rewards
    steps = np.arange(batch.horizon)
    to_go, later = np.zeros(r.shape), 0.0
    for t in reversed(range(batch.horizon)):
        later = r[..., t] + gamma * later
        to_go[..., t] = later
    weights = gamma**steps * to_go
    return np.einsum("...nt,...ntd->...d", weights, batch.scores) / N


written = Written(
    estimate,
    (
        *DISCOUNTED,
        *SUMMED,
        Slip("+ gamma * later", "+ later", "rewards to go not discounted"),
        Slip("+ gamma * later", "+ gamma**2 * later", "rewards to go discounted twice"),
        Slip("+ gamma * later", "- gamma * later", "sign of what follows"),
        Slip("+ gamma * later", "", "the own reward alone"),
        Slip("r[..., t] + gamma * later", "gamma * (r[..., t] + later)", "γ too many"),
        Slip("= later\n", "= later - r[..., t]\n", "begins after the own reward"),
        Slip("to_go[..., t] =", "to_go[..., -1 - t] =", "not put back in order"),
        Slip("reversed(range(batch.horizon))", "range(batch.horizon)", "rewards so far"),
        Slip("range(batch.horizon))", "range(batch.horizon - 1))", "the last step dropped"),
        Slip("range(batch.horizon))", "range(1, batch.horizon))", "the first step dropped"),
        Slip("later = r[..., t]", "later = r[..., t - 1]", "rewards one step late"),
        Slip("-2], batch.rewards", "-2], np.clip(batch.rewards, 0, 1)", "rewards clipped"),
        Slip("-2], batch.rewards", "-2], abs(batch.rewards)", "absolute rewards"),
        Slip("* to_go", "* to_go[..., :1]", "the whole return, and γ^t"),
        Slip("* to_go", "* (to_go - to_go.mean(axis=-2, keepdims=True))", "in-sample baseline"),
        Slip("* to_go", "* (to_go - to_go.mean(axis=-1, keepdims=True))", "centred over time"),
        Slip("* to_go", "* to_go[..., ::-1, :]", "returns of another trajectory"),
        Slip("* to_go", "* np.cumsum(to_go, axis=-2)", "summed over trajectories"),
    ),
    harmless={
        "every weight meets the scores of all trajectories": OTHERS,
        "summed over trajectories": "what other trajectories add has mean zero; noise alone",
    },
    claims="reward_to_go",
)
