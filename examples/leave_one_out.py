"""Reward-to-go less the mean of the other trajectories' at the same step: unbiased for ∇J_H.

python -m pgbench test examples/leave_one_out.py
"""

import numpy as np


def estimate(batch):
    """ĝ = (1/N) Σ_n Σ_t γ^t (Q̂_t - b_t) ψ_t, with b_t from the N - 1 others; shape (d,)."""
    N, T = batch.rewards.shape
    to_go = np.zeros((N, T + 1))
    for t in reversed(range(T)):
        to_go[:, t] = batch.rewards[:, t] + batch.gamma * to_go[:, t + 1]
    to_go = to_go[:, :T]
    # What a trajectory did must not enter its own baseline.
    others = (to_go.sum(axis=0) - to_go) / (N - 1)
    weights = batch.gamma ** np.arange(T) * (to_go - others)
    # Scores are zero where a trajectory has ended, so nothing has to be masked.
    return np.einsum("nt,ntd->d", weights, batch.scores) / N
