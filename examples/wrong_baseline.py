"""Wrong: the baseline is the mean return of the batch, each trajectory's own return included.

    python -m pgbench test examples/wrong_baseline.py

A trajectory's own return and its score go together; what they share is lost, 1/N of the gradient.
"""

import numpy as np


def estimate(batch):
    """(1/N) Σ_n (R_n - mean R) Σ_t ψ_t; shape (d,)."""
    returns = (batch.rewards * batch.gamma ** np.arange(batch.horizon)).sum(axis=1)
    advantages = returns - returns.mean()
    return (advantages[:, None] * batch.scores.sum(axis=1)).mean(axis=0)
