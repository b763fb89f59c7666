"""Reward-to-go less the others' mean at the same step (Kool, van Hoof & Welling 2019)."""

from typing import Any

import numpy as np

from pgbench.trials.zoo.slips.slip import DISCOUNTED, SUMMED, Slip, Written


def estimate(batch: Any) -> Any:
    """Rewards to go less their mean over the other trajectories, times scores."""
    gamma, N = batch.gamma, batch.rewards.shape[-2]
    steps = np.arange(batch.horizon)
    to_go, later = np.zeros(batch.rewards.shape), 0.0
    for t in reversed(range(batch.horizon)):
        later = batch.rewards[..., t] + gamma * later
        to_go[..., t] = later
    total = to_go.sum(axis=-2, keepdims=True)
    baseline = (total - to_go) / (N - 1)
    weights = gamma**steps * (to_go - baseline)
    return np.einsum("...nt,...ntd->...d", weights, batch.scores) / N


_NOISE = "whatever the others add has mean zero; noise alone"

written = Written(
    estimate,
    (
        *DISCOUNTED,
        *SUMMED,
        Slip("+ gamma * later", "+ later", "rewards to go not discounted"),
        Slip("+ gamma * later", "", "the own reward alone"),
        Slip("= later\n", "= later - batch.rewards[..., t]\n", "begins after the own reward"),
        Slip(
            "later = batch.rewards[..., t]",
            "later = batch.rewards[..., t - 1]",
            "rewards one step late",
        ),
        Slip("(total - to_go) / (N - 1)", "total / N", "itself in the mean"),
        Slip("(total - to_go) / (N - 1)", "total / (N - 1)", "itself not taken out"),
        Slip("(total - to_go) /", "(total - 2 * to_go) /", "itself taken out twice"),
        Slip("(total - to_go) / (N - 1)", "(total - to_go) / N", "divided by N"),
        Slip("total - to_go)", "to_go - total)", "sign of the baseline"),
        Slip("sum(axis=-2", "sum(axis=-1", "summed over time"),
        Slip(
            "to_go.sum(axis=-2, keepdims=True)",
            "to_go[..., :1, :]",
            "the first trajectory for the sum",
        ),
        Slip("(to_go - baseline)", "baseline", "the baseline alone"),
        Slip(
            "(to_go - baseline)",
            "(to_go - baseline) / to_go.std(axis=-2, keepdims=True).clip(1e-6)",
            "divided by the deviation",
        ),
        Slip("(to_go - baseline)", "to_go - baseline", "the baseline not discounted"),
    ),
    harmless={
        "divided by N": _NOISE,
        "sign of the baseline": _NOISE,
        "the baseline not discounted": _NOISE,
    },
    claims="baseline_per_time",
    given={"fit": "leave_one_out"},
)
