"""Leave-one-out: (1/N) Σ_n (R_n - mean of the others) Σ_t ψ_t (Kool, van Hoof & Welling 2019)."""

from typing import Any

import numpy as np

from pgbench.trials.zoo.slips.slip import SUMMED, Slip, Written


def estimate(batch: Any) -> Any:
    """Returns less the mean return of the other trajectories, times all scores."""
    gamma, N = batch.gamma, batch.rewards.shape[-2]
    steps = np.arange(batch.horizon)
    returns = (gamma**steps * batch.rewards).sum(axis=-1)
    total = returns.sum(axis=-1, keepdims=True)
    baseline = (total - returns) / (N - 1)
    weights = (returns - baseline)[..., None] * batch.mask
    return np.einsum("...nt,...ntd->...d", weights, batch.scores) / N


_NOISE = "whatever the others' returns add has mean zero; noise alone"

written = Written(
    estimate,
    (
        *SUMMED,
        Slip("gamma**steps", "1.0", "returns not discounted"),
        Slip("gamma**steps", "gamma ** (steps + 1)", "γ^(t+1) for γ^t"),
        Slip("gamma**steps", "gamma ** steps[::-1]", "γ^t counted from the end"),
        Slip("rewards).sum(axis=-1)", "rewards)[..., 1:].sum(axis=-1)", "the first reward lost"),
        Slip("rewards).sum(axis=-1)", "rewards)[..., :-1].sum(axis=-1)", "the last reward lost"),
        Slip("rewards).sum(axis=-1)", "rewards).mean(axis=-1)", "mean for sum"),
        Slip("(total - returns) / (N - 1)", "total / N", "the own return in the mean"),
        Slip("(total - returns) / (N - 1)", "total / (N - 1)", "the own return not taken out"),
        Slip("(total - returns) / (N - 1)", "total / (N - 1) + returns", "the own return added"),
        Slip("(total - returns) /", "(total - 2 * returns) /", "the own return taken out twice"),
        Slip("(total - returns) / (N - 1)", "(total - returns) / N", "divided by N"),
        Slip("total - returns)", "returns - total)", "sign of the baseline"),
        Slip("(returns - baseline)", "baseline", "the baseline as the score's weight"),
        Slip("(returns - baseline)", "(baseline - returns)", "sign of the advantage"),
        Slip(
            "(returns - baseline)",
            "((returns - baseline) / returns.std(axis=-1, keepdims=True).clip(1e-6))",
            "divided by the deviation",
        ),
        Slip(
            "(returns - baseline)[..., None]",
            "gamma**steps * (returns - baseline)[..., None]",
            "and γ^t",
        ),
        Slip("* batch.mask", "* batch.ended[..., None]", "trajectories that end alone"),
        Slip("* batch.mask", "* (steps > 0)", "the first score lost"),
        Slip(
            "returns.sum(axis=-1, keepdims=True)",
            "returns.max(axis=-1, keepdims=True)",
            "largest for sum",
        ),
    ),
    harmless={
        "divided by N": _NOISE,
        "sign of the baseline": _NOISE,
    },
    claims="rloo",
)
