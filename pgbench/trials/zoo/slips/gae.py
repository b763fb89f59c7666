"""GAE(.95) with exact values (Schulman, Moritz, Levine, Jordan & Abbeel 2016, eq. 16)."""

from typing import Any

import numpy as np

from pgbench.trials.zoo.slips.slip import DISCOUNTED, OTHERS, SUMMED, Slip, Written


def estimate(batch: Any) -> Any:
    """TD errors summed with decay γλ up to the end or the time limit, times scores."""
    gamma, lam, N = batch.gamma, 0.95, batch.rewards.shape[-2]
    steps, r = np.arange(batch.horizon), batch.rewards
    last = steps == batch.mask.sum(axis=-1, keepdims=True) - 1
    done = last & batch.ended[..., None]
    v, after = batch.v[batch.states], batch.v[batch.next_states]
    advantage, later = np.zeros(r.shape), np.zeros(r.shape[:-1])
    for t in reversed(range(batch.horizon)):
        live = ~done[..., t]
        delta = r[..., t] + gamma * after[..., t] * live - v[..., t]
        later = (delta + gamma * lam * live * later) * batch.mask[..., t]
        advantage[..., t] = later
    weights = gamma**steps * advantage
    return np.einsum("...nt,...ntd->...d", weights, batch.scores) / N


_EXACT = "with exact values every λ has the same mean"
_ZERO = "exact values are zero in terminal states, and the mask ends the sum; see gae_critic"
_CENTRED = "advantages have mean zero, so the term -π counts nothing"

written = Written(
    estimate,
    (
        *DISCOUNTED,
        *SUMMED,
        Slip("lam * live", "live", "no λ"),
        Slip("gamma * lam * live", "lam * live", "decay λ for γλ"),
        Slip("+ gamma * lam * live * later", "", "δ alone"),
        Slip("gamma * lam * live * later", "later", "δ summed without decay"),
        Slip("gamma * after", "after", "γ missing before V(s')"),
        Slip("gamma * after", "gamma * lam * after", "λ before V(s')"),
        Slip("live - v[..., t]", "live + v[..., t]", "sign of V(s)"),
        Slip("live - v[..., t]", "live", "no V(s)"),
        Slip("delta = r[..., t] +", "delta =", "no reward"),
        Slip("delta = r[..., t]", "delta = r[..., t - 1]", "rewards one step late"),
        Slip("~done[..., t]", "True", "no (1 - done)"),
        Slip("~done[..., t]", "done[..., t]", "done for (1 - done)"),
        Slip("~done[..., t]", "~np.roll(done, -1, axis=-1)[..., t]", "done of the next step"),
        Slip(
            "~done[..., t]",
            "~np.roll(last, -1, axis=-1)[..., t]",
            "end of the next step, a time limit as the end",
        ),
        Slip("last & batch.ended[..., None]", "last", "a time limit as the end"),
        Slip("np.zeros(r.shape[:-1])", "after[..., -1]", "bootstrapped twice at the cut"),
        Slip(
            "gamma * after[..., t]",
            "gamma * np.where(last & ~done, v, after)[..., t]",
            "V of the state before, at the cut",
        ),
        Slip("batch.v[batch.next_states]", "batch.v[batch.states]", "V of the state before"),
        Slip(
            "batch.v[batch.next_states]",
            "np.roll(batch.v[batch.states], -1, axis=-1)",
            "V of the reset state at the cut",
        ),
        Slip(
            "batch.v[batch.next_states]",
            "np.where(last, batch.v[batch.states[..., :1]], batch.v[batch.next_states])",
            "V of the reset state at every end",
        ),
        Slip("reversed(range(batch.horizon))", "range(batch.horizon)", "summed forward"),
        Slip("range(batch.horizon))", "range(batch.horizon - 1))", "the last step dropped"),
        Slip("* batch.mask[..., t]", "", "no mask"),
        Slip("= later\n", "= later + v[..., t]\n", "V(s) not taken off"),
        Slip(
            "* advantage",
            "* (advantage - advantage.mean(axis=-1, keepdims=True))",
            "centred over time",
        ),
        Slip(
            "* advantage",
            "* advantage / advantage.std(axis=(-2, -1), keepdims=True).clip(1e-6)",
            "divided by the deviation",
        ),
    ),
    harmless={
        "every weight meets the scores of all trajectories": OTHERS,
        "no λ": _EXACT,
        "δ alone": _EXACT,
        "no (1 - done)": _ZERO,
        "no mask": "(1 - done) ends the sum",
        "V(s) not taken off": "V(s_t) is a baseline that no action has a say in; noise alone",
        "gradient of the logit for that of log π": _CENTRED,
        "decay λ for γλ": _EXACT,
        "δ summed without decay": _EXACT,
    },
    claims="gae",
    given={"lam": 0.95},
)
