"""REINFORCE: (1/N) Σ_n R_n Σ_t ψ_t (Williams 1992)."""

from typing import Any

import numpy as np

from pgbench.trials.zoo.slips.slip import OTHERS, SUMMED, Slip, Written


def estimate(batch: Any) -> Any:
    """Returns times all scores of the trajectory."""
    gamma, N = batch.gamma, batch.rewards.shape[-2]
    steps = np.arange(batch.horizon)
    returns = (gamma**steps * batch.rewards).sum(axis=-1)
    weights = returns[..., None] * batch.mask
    return np.einsum("...nt,...ntd->...d", weights, batch.scores) / N


written = Written(
    estimate,
    (
        *SUMMED,
        Slip("gamma**steps", "1.0", "returns not discounted"),
        Slip("gamma**steps", "gamma ** (steps + 1)", "γ^(t+1) for γ^t"),
        Slip("gamma**steps", "gamma ** (2 * steps)", "γ^t twice"),
        Slip("gamma**steps", "gamma ** steps[::-1]", "γ^t counted from the end"),
        Slip("rewards).sum(axis=-1)", "rewards)[..., 1:].sum(axis=-1)", "the first reward lost"),
        Slip("rewards).sum(axis=-1)", "rewards)[..., :-1].sum(axis=-1)", "the last reward lost"),
        Slip("rewards).sum(axis=-1)", "rewards).mean(axis=-1)", "mean for sum"),
        Slip("rewards).sum(axis=-1)", "rewards).max(axis=-1)", "largest for sum"),
        Slip("returns[..., None]", "returns[..., ::-1, None]", "returns of another trajectory"),
        Slip(
            "returns[..., None]",
            "(returns - returns.mean(axis=-1, keepdims=True))[..., None]",
            "in-sample baseline",
        ),
        Slip("returns[..., None]", "gamma**steps * returns[..., None]", "and γ^t"),
        Slip("returns[..., None]", "np.sign(returns)[..., None]", "signs of returns"),
        Slip("* batch.mask", "* batch.ended[..., None]", "trajectories that end alone"),
        Slip("* batch.mask", "* np.roll(batch.mask, -1, axis=-1)", "mask one step early"),
        Slip("* batch.mask", "* (steps > 0)", "the first score lost"),
        Slip("* batch.mask", "", "no mask"),
    ),
    harmless={
        "every weight meets the scores of all trajectories": OTHERS,
        "no mask": "where no step was taken scores are zero",
    },
    claims="reinforce",
)
