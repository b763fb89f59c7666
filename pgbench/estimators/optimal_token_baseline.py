"""The optimal token baseline: at every position the mean return weighted by the energy so far."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.by_trajectory import ratio
from pgbench.estimators.parts.estimator import BatchEstimator
from pgbench.rollout.simulator import Simulator


def estimate(simulator: Simulator) -> FloatArray:
    """Reward-to-go less a baseline per position, from the group's responses that got so far.

    The weight of a response is W_t, the sum up to t of the squared length of the gradient of
    log π in the logits, 1 - 2π(a_l) + Σ_b π(b)². That makes the baseline the optimal one where all
    tokens are scored in one place and their scores do not correlate. The response's own return is
    in it, as in common code.
    """
    batch, pi, m = simulator.batch(), simulator.truth.pi, simulator.m
    proxy = 1 - 2 * pi + (pi**2).sum(axis=-1, keepdims=True)
    energy = np.where(batch.mask, np.cumsum(batch.at(proxy), axis=2), 0.0)

    def of_group(x: FloatArray) -> FloatArray:
        """Sums over each group, for each of its responses."""
        groups = x.reshape(m, -1, simulator.group_size, x.shape[2])
        total = groups.sum(axis=2, keepdims=True)
        return np.broadcast_to(total, groups.shape).reshape(x.shape)

    baseline = ratio(of_group(energy * batch.to_go), of_group(energy))
    return simulator.pull_back(batch.tables(batch.discounts() * (batch.to_go - baseline)))


estimator = BatchEstimator(
    name="optimal_token_baseline",
    estimate=estimate,
    fewest=2,
    bias=lambda: ("batch", "truncation"),
    formula=(
        r"\frac{1}{n}\sum_i\sum_t \gamma^t (\hat Q_{i,t} - \frac{\sum_{j\in g(i)} W_{j,t}"
        r" \hat Q_{j,t}}{\sum_{j\in g(i)} W_{j,t}})\,\psi_{i,t},\quad"
        r" W_{j,t} = \sum_{l\leq t} (1 - 2\pi(a_{j,l}) + \sum_b \pi(b)^2)"
    ),
    reference="Li et al. 2026 (The optimal token baseline), with its logit-gradient proxy",
    alone="",
)
