"""All actions of every state: (1/N) Σ_n Σ_t γ^t Σ_a Q(s_t,a) ∇π(a|s_t) (Sutton et al. 1999)."""

from typing import Any

import numpy as np

from pgbench.trials.zoo.slips.slip import DISCOUNTED, Slip, Written


def estimate(batch: Any) -> Any:
    """Exact action values times gradients of all actions' probabilities."""
    gamma, N = batch.gamma, batch.rewards.shape[-2]
    steps, pi = np.arange(batch.horizon), batch.probabilities
    q, phi = batch.q[batch.states], batch.features[batch.states]
    centred = q - (pi * q).sum(axis=-1, keepdims=True)
    weights = (gamma**steps * batch.mask)[..., None] * pi * centred
    return np.einsum("...nta,...ntad->...d", weights, phi) / N


_PI = "probabilities are zero where no step was taken"

written = Written(
    estimate,
    (
        *DISCOUNTED,
        Slip("return np", "return -np", "sign"),
        Slip("phi) / N", "phi)", "summed over the batch"),
        Slip("phi) / N", "phi) / (N * batch.horizon)", "divided by T as well"),
        Slip("phi) / N", "phi) / (N * batch.n_actions)", "mean over actions"),
        Slip(
            "phi) / N",
            "phi) / batch.mask.sum(axis=(-2, -1))[..., None]",
            "divided by the steps of the batch",
        ),
        Slip("phi) / N", "np.roll(phi, 1, axis=-3)) / N", "features one step late"),
        Slip("phi) / N", "phi[..., ::-1, :]) / N", "actions in reverse order"),
        Slip("phi) / N", "batch.features[batch.next_states]) / N", "features of the next state"),
        Slip("batch.q[batch.states]", "batch.q[batch.next_states]", "Q of the next state"),
        Slip(
            "batch.q[batch.states]",
            "np.log(np.where(batch.mask[..., None], pi, 1))",
            "log π for Q",
        ),
        Slip(
            "centred = q - (pi * q).sum(axis=-1, keepdims=True)",
            "centred = q",
            "gradient of the logits for that of π",
        ),
        Slip("q - (pi * q).sum(axis=-1", "q - q.mean(axis=-1", "the plain mean for V"),
        Slip("(pi * q).sum(axis=-1", "(pi * q).sum(axis=-2", "summed over steps"),
        Slip("* pi * centred", "* centred", "π missing"),
        Slip("* pi * centred", "* pi**2 * centred", "π twice"),
        Slip(
            "batch.q[batch.states]",
            "batch.q[batch.states] * (1 + np.log(np.where(batch.mask[..., None], pi, 1)))",
            "no stop-gradient: through the probabilities too",
        ),
        Slip("* pi * centred", "* pi * np.maximum(centred, 0)", "good actions alone"),
        Slip(
            "(gamma**steps * batch.mask)",
            "(gamma**steps * batch.mask * (steps > 0))",
            "the first step lost",
        ),
        Slip("* batch.mask)", "* batch.ended[..., None])", "trajectories that end alone"),
        Slip("* batch.mask)", "* np.roll(batch.mask, -1, axis=-1))", "mask one step early"),
        Slip(
            "(gamma**steps * batch.mask)",
            "np.broadcast_to(gamma**steps, batch.mask.shape)",
            "no mask",
        ),
    ),
    harmless={
        "no mask": _PI,
    },
    claims="all_action",
)
