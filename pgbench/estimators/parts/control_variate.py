"""What control variates share: an approximate Q, and its expected gradient at visited states."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.exact.truth import Truth
from pgbench.process.batch import Batch

QNoise = Annotated[
    float, Range(0), "error of the approximate Q: Q + noise·rms(Q)·ξ(s,a), ξ ~ N(0, 1) fixed"
]


def approximate_q(truth: Truth, noise: float) -> FloatArray:
    """q̃ (S, A) = Q + noise·rms(Q)·ξ with fixed standard normal ξ; zero on terminal states.

    Of several policies (m, S, A), each with its own rms.
    """
    shape = truth.q.shape[-2:]
    xi = np.random.default_rng(20170427).standard_normal(shape)
    square = np.mean(truth.q.reshape(*truth.q.shape[:-2], -1) ** 2, axis=-1)
    q = truth.q + noise * np.sqrt(square)[..., None, None] * xi
    return np.where(truth.mdp.terminal[:, None], 0.0, q)


def expected_scores(batch: Batch, truth: Truth, q: FloatArray, weights: FloatArray) -> FloatArray:
    """Weight tables (m, S, A) of Σ_t weights_t Σ_a π(a|s_t) q(s_t,a) ψ(s_t,a)."""
    return batch.state_tables(weights)[:, :, None] * (truth.pi * q)
