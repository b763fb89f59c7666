"""GAE(.95) with a critic that errs, in terminal states too: (1 - done) must stand in δ."""

from typing import Any

import numpy as np

from pgbench.estimators.parts.estimator import CRITIC_NOISE
from pgbench.trials.zoo.slips.slip import DISCOUNTED, OTHERS, SUMMED, Slip, Written


def estimate(batch: Any) -> Any:
    """TD errors of the critic summed with decay γλ, times scores."""
    gamma, lam, N = batch.gamma, 0.95, batch.rewards.shape[-2]
    steps = np.arange(batch.horizon)
    last = steps == batch.mask.sum(axis=-1, keepdims=True) - 1
    done = last & batch.ended[..., None]
    v, after = batch.critic[batch.states], batch.critic[batch.next_states]
    delta = (batch.rewards + gamma * after * ~done - v) * batch.mask
    advantage, later = np.zeros(delta.shape), 0.0
    for t in reversed(range(batch.horizon)):
        later = delta[..., t] + gamma * lam * later
        advantage[..., t] = later
    weights = gamma**steps * advantage
    return np.einsum("...nt,...ntd->...d", weights, batch.scores) / N


written = Written(
    estimate,
    (
        *DISCOUNTED,
        *SUMMED,
        Slip("gamma * after * ~done", "gamma * after", "no (1 - done)"),
        Slip("gamma * after * ~done", "gamma * after * done", "done for (1 - done)"),
        Slip("gamma * after * ~done", "after * ~done", "γ missing before v(s')"),
        Slip("last & batch.ended[..., None]", "last", "a time limit as the end"),
        Slip(
            "last & batch.ended[..., None]",
            "np.roll(last & batch.ended[..., None], -1, axis=-1)",
            "done of the next step",
        ),
        Slip(
            "last & batch.ended[..., None]",
            "np.roll(last, -1, axis=-1)",
            "end of the next step, a time limit as the end",
        ),
        Slip("last & batch.ended[..., None]", "batch.ended[..., None]", "done at all steps"),
        Slip("keepdims=True) - 1", "keepdims=True)", "the end one step late"),
        Slip("), 0.0", "), after[..., -1] * batch.mask[..., -1]", "bootstrapped twice"),
        Slip(
            "after * ~done",
            "np.where(last, v, after) * ~done",
            "v of the state before, at the cut",
        ),
        Slip(
            "batch.critic[batch.next_states]",
            "batch.critic[batch.states]",
            "v of the state before",
        ),
        Slip(
            "batch.critic[batch.next_states]",
            "np.roll(batch.critic[batch.states], -1, axis=-1)",
            "v of the reset state at the cut",
        ),
        Slip("- v) * batch.mask", "- v)", "no mask: δ of what never happened"),
        Slip("- v) * batch.mask", "+ v) * batch.mask", "sign of v(s)"),
        Slip("gamma * lam * later", "lam * later", "decay λ for γλ"),
        Slip("+ gamma * lam * later", "", "δ alone"),
        Slip("(batch.rewards + gamma", "(gamma", "no reward"),
        Slip("range(batch.horizon))", "range(batch.horizon - 1))", "the last step dropped"),
        Slip("= later\n", "= later + v[..., t]\n", "v(s) not taken off"),
    ),
    harmless={
        "every weight meets the scores of all trajectories": OTHERS,
        "v(s) not taken off": "v(s_t) is a baseline that no action has a say in; noise alone",
    },
    claims="gae",
    given={"lam": 0.95, "critic_noise": CRITIC_NOISE},
)
