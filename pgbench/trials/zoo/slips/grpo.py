"""GRPO: (1/N) Σ_i A_i/|τ_i| Σ_t ψ_{i,t}, A_i standardised in its group (Shao et al. 2024)."""

from typing import Any

import numpy as np

from pgbench.trials.case import SEQUENCES
from pgbench.trials.zoo.slips.slip import SUMMED, Slip, Written


def estimate(batch: Any) -> Any:
    """Returns standardised over their group, times the mean score of each response."""
    G, N = batch.group_size, batch.rewards.shape[-2]
    returns = batch.rewards.sum(axis=-1)
    groups = returns.reshape(*returns.shape[:-1], N // G, G)
    centred = groups - groups.mean(axis=-1, keepdims=True)
    spread = groups.std(axis=-1, ddof=1, keepdims=True)
    advantages = (centred / (spread + 1e-4)).reshape(returns.shape)
    lengths = batch.mask.sum(axis=-1)
    weights = (advantages / lengths)[..., None] * batch.mask
    return np.einsum("...nt,...ntd->...d", weights, batch.scores) / N


written = Written(
    estimate,
    (
        *SUMMED,
        Slip("groups.mean(axis=-1,", "groups.mean(axis=-2,", "mean over prompts"),
        Slip("groups.mean(axis=-1,", "groups.mean(axis=(-2, -1),", "mean of the batch"),
        Slip("groups.mean(axis=-1,", "np.median(groups, axis=-1,", "median for mean"),
        Slip("groups.mean(axis=-1,", "groups.max(axis=-1,", "largest for mean"),
        Slip("groups.std(axis=-1,", "groups.std(axis=(-2, -1),", "deviation of the batch"),
        Slip("groups.std(axis=-1,", "groups.var(axis=-1,", "variance for deviation"),
        Slip("ddof=1", "ddof=0", "deviation with G below"),
        Slip("groups - groups.mean", "groups - 2 * groups.mean", "mean taken off twice"),
        Slip("(centred / (spread + 1e-4))", "centred", "not divided by the deviation"),
        Slip("(centred / (spread + 1e-4))", "(groups / (spread + 1e-4))", "mean not taken off"),
        Slip("spread + 1e-4", "np.sqrt(spread**2 + 1)", "a large ε, below the root"),
        Slip(
            "(spread + 1e-4)).reshape(",
            "(spread + 1e-4)).swapaxes(-1, -2).reshape(",
            "groups put back in another order",
        ),
        Slip(
            "(spread + 1e-4)).reshape(",
            "(spread + 1e-4))[..., ::-1, :].reshape(",
            "advantages of another prompt",
        ),
        Slip("rewards.sum(axis=-1)", "rewards[..., -1]", "the reward at the end of the padding"),
        Slip("rewards.sum(axis=-1)", "rewards[..., :-1].sum(axis=-1)", "the last place lost"),
        Slip(
            "rewards.sum(axis=-1)",
            "rewards.sum(axis=-1) * ~batch.truncated.any(axis=-1)",
            "cut responses are worth nothing",
        ),
        Slip(
            "rewards.sum(axis=-1)",
            "rewards.sum(axis=-1) + batch.truncated.any(axis=-1)",
            "cut responses count as right",
        ),
        Slip("rewards.sum(axis=-1)", "outcomes[..., -1]", "whether it ended for whether right"),
        Slip(
            "lengths = batch.mask.sum(axis=-1)", "lengths = batch.horizon", "divided by the limit"
        ),
        Slip("mask.sum(axis=-1)", "mask.sum(axis=-1) + 1", "one token of the prompt in the length"),
        Slip("(advantages / lengths)", "advantages", "not divided by the length"),
        Slip("(advantages / lengths)", "(advantages * lengths)", "times the length"),
        Slip(
            "[..., None] * batch.mask",
            "[..., None] * ~batch.truncated.any(axis=-1)[..., None]",
            "cut ones left out",
        ),
        Slip(
            "[..., None] * batch.mask",
            "[..., None] * (np.arange(batch.horizon) > 0)",
            "first token unscored",
        ),
        Slip(
            "[..., None] * batch.mask",
            "[..., None] * np.roll(batch.mask, -1, axis=-1)",
            "last token unscored",
        ),
    ),
    harmless={},
    claims="grpo",
    battery=SEQUENCES,
)
