"""One-step actor-critic: (1/N) Σ_n Σ_t γ^t (r_t + γ V(s_{t+1}) - V(s_t)) ψ_t."""

from typing import Any

import numpy as np

from pgbench.estimators.parts.estimator import CRITIC_NOISE
from pgbench.trials.zoo.slips.slip import DISCOUNTED, OTHERS, SUMMED, Slip, Written


def estimate(batch: Any) -> Any:
    """TD errors times scores, nothing bootstrapped from terminal states."""
    gamma, N = batch.gamma, batch.rewards.shape[-2]
    steps = np.arange(batch.horizon)
    last = steps == batch.mask.sum(axis=-1, keepdims=True) - 1
    done = last & batch.ended[..., None]
    v, after = batch.critic[batch.states], batch.critic[batch.next_states]
    weights = gamma**steps * (batch.rewards + gamma * after * ~done - v)
    return np.einsum("...nt,...ntd->...d", weights, batch.scores) / N


_NOISE = "V(s_t) is a baseline that no action has a say in; noise alone"

written = Written(
    estimate,
    (
        *DISCOUNTED,
        *SUMMED,
        Slip("gamma * after * ~done", "gamma * after", "no (1 - done)"),
        Slip("gamma * after * ~done", "gamma * after * done", "done for (1 - done)"),
        Slip("gamma * after * ~done", "after * ~done", "γ missing before V(s')"),
        Slip("gamma * after * ~done", "gamma**2 * after * ~done", "γ² before V(s')"),
        Slip("+ gamma * after", "- gamma * after", "sign of V(s')"),
        Slip("+ gamma * after * ~done", "", "nothing bootstrapped"),
        Slip("batch.rewards + gamma", "gamma", "no reward"),
        Slip("batch.rewards + gamma", "2 * batch.rewards + gamma", "the reward twice"),
        Slip("last & batch.ended[..., None]", "last", "a time limit as the end"),
        Slip(
            "last & batch.ended[..., None]",
            "np.roll(last & batch.ended[..., None], -1, axis=-1)",
            "done of the next step",
        ),
        Slip(
            "last & batch.ended[..., None]",
            "np.roll(last & batch.ended[..., None], 1, axis=-1)",
            "done of the step before",
        ),
        Slip(
            "last & batch.ended[..., None]",
            "np.broadcast_to(batch.ended[..., None], last.shape)",
            "done at all steps",
        ),
        Slip("keepdims=True) - 1", "keepdims=True)", "the end one step late"),
        Slip(
            "batch.critic[batch.next_states]",
            "batch.critic[batch.states]",
            "V of the state before",
        ),
        Slip(
            "after * ~done",
            "np.where(last, v, after) * ~done",
            "V of the state before, at the cut",
        ),
        Slip(
            "batch.critic[batch.next_states]",
            "np.roll(batch.critic[batch.states], -1, axis=-1)",
            "V of the reset state at the cut",
        ),
        Slip("~done - v", "~done + v", "sign of V(s)"),
        Slip("~done - v", "~done", "no V(s)"),
    ),
    harmless={
        "every weight meets the scores of all trajectories": OTHERS,
        "sign of V(s)": _NOISE,
        "no V(s)": _NOISE,
    },
    claims="td",
    given={"critic_noise": CRITIC_NOISE},
)
