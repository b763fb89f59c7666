"""The exact advantage times the score: (1/N) Σ_n Σ_t γ^t (Q - V)(s_t, a_t) ψ_t."""

from typing import Any

import numpy as np

from pgbench.trials.zoo.slips.slip import DISCOUNTED, OTHERS, SUMMED, Slip, Written


def estimate(batch: Any) -> Any:
    """Exact advantages times scores."""
    gamma, N = batch.gamma, batch.rewards.shape[-2]
    steps = np.arange(batch.horizon)
    q, v = batch.q[batch.states, batch.actions], batch.v[batch.states]
    weights = gamma**steps * (q - v) * batch.mask
    return np.einsum("...nt,...ntd->...d", weights, batch.scores) / N


_NOISE = "V(s_t) is a baseline that no action has a say in; noise alone"
_EARLIER = "advantages and scores have mean zero given all earlier steps"
_CENTRED = "advantages have mean zero, so the term -π counts nothing"

written = Written(
    estimate,
    (
        *DISCOUNTED,
        *SUMMED,
        Slip(
            "batch.states, batch.actions]",
            "batch.next_states, batch.actions]",
            "Q of the next state",
        ),
        Slip(
            "batch.states, batch.actions]",
            "batch.states, batch.actions[..., ::-1]]",
            "actions in reverse order",
        ),
        Slip(
            "batch.q[batch.states, batch.actions]",
            "batch.q[batch.states].max(axis=-1)",
            "the largest Q",
        ),
        Slip("batch.v[batch.states]", "batch.v[batch.next_states]", "V of the next state"),
        Slip(
            "batch.v[batch.states]",
            "np.roll(batch.v[batch.states], -1, axis=-1)",
            "V one step early",
        ),
        Slip("(q - v)", "(v - q)", "sign of the advantage"),
        Slip("(q - v)", "v", "V alone"),
        Slip("(q - v)", "np.maximum(q - v, 0)", "good actions alone"),
        Slip("(q - v)", "abs(q - v)", "absolute advantages"),
        Slip("(q - v)", "np.sign(q - v)", "signs of advantages"),
        Slip("(q - v)", "(q - v) * (steps > 0)", "the first step lost"),
        Slip("* batch.mask", "* np.roll(batch.mask, -1, axis=-1)", "mask one step early"),
        Slip("* batch.mask", "* ~batch.ended[..., None]", "trajectories that are cut alone"),
        Slip("(q - v)", "(q + v)", "sign of V"),
        Slip("(q - v)", "q", "Q alone"),
        Slip("* batch.mask", "", "no mask"),
    ),
    harmless={
        "every weight meets the scores of all trajectories": OTHERS,
        "sign of V": _NOISE,
        "Q alone": _NOISE,
        "no mask": "where no step was taken scores are zero",
        "gradient of the logit for that of log π": _CENTRED,
        "every step's weight meets every step's score": _EARLIER,
    },
    claims="advantage_oracle",
)
