"""Reward-to-go less its mean at the same time step."""

from collections.abc import Iterator

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.baseline_per_coordinate import Fit
from pgbench.estimators.parts.by_trajectory import others, ratio
from pgbench.estimators.parts.estimator import BatchEstimator, Exact
from pgbench.exact.finite.horizon import occupancies
from pgbench.exact.finite.powers import descending
from pgbench.exact.finite.walk import Walk
from pgbench.exact.remember import remembered
from pgbench.exact.truth import Truth
from pgbench.rollout.simulator import Simulator


def estimate(simulator: Simulator, *, fit: Fit = "exact") -> FloatArray:
    """Discounted reward-to-go less its mean at step t over those still under way, times each score.

    A trajectory that has ended has no part in the mean of a later step. Left out one at a time, a
    step that none of the others reaches has the baseline 0.
    """
    batch = simulator.batch()
    to_go, taken = batch.to_go, batch.mask.astype(np.float64)
    if fit == "exact":
        H = simulator.horizon
        values = np.asarray(simulator.truth.each(lambda one: time_values(one, H), H))
        b = values[..., None, : batch.shape[2]]
    elif fit == "in_sample":
        b = ratio(to_go.sum(axis=1, keepdims=True), taken.sum(axis=1, keepdims=True))
    else:
        b = ratio(others(to_go), others(taken))
    return simulator.pull_back(batch.tables(batch.discounts() * (to_go - b)))


def steps(truth: Truth, horizon: int) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Pr(s_t = s) (S,) of states that are not terminal, and Q_{H-t} (S, A), for t = 0, ..., H-1."""
    mdp = truth.mdp
    walk = Walk.of(mdp, truth.pi)

    def q(v: FloatArray) -> FloatArray:
        return mdp.expected_reward + mdp.gamma * walk.following(v)

    later = descending(lambda v: walk.mean(q(v)), np.zeros(mdp.n_states), horizon)
    for u, v in zip(occupancies(mdp, truth.pi, 1.0), later, strict=False):
        yield u, q(v)


@remembered
def time_values(truth: Truth, horizon: int) -> FloatArray:
    """b_t = E[Q̂_t | step t is taken] (H,), unit reward; 0 where it never is."""
    b = np.zeros(horizon)
    for t, (u, q) in enumerate(steps(truth, horizon)):
        reached = u.sum()
        b[t] = u @ (truth.pi * q).sum(axis=1) / reached if reached > 0 else 0.0
    return b


@remembered
def known_mean(truth: Truth, horizon: int, batch_size: float, fit: str) -> FloatArray:
    """Mean (d,) from what a trajectory's own reward-to-go and the baseline have left of them.

    Inside the simplex scores have no mean, and with them the baseline has none.
    """
    weights, b = np.zeros(truth.pi.shape), time_values(truth, horizon)
    for t, (u, q) in enumerate(steps(truth, horizon)):
        p = min(float(u.sum()), 1.0)
        if p == 0:
            break
        own, baseline = shares(p, batch_size, fit)
        weights += truth.mdp.gamma**t * own * u[:, None] * truth.pi * q
        if truth.unseen:
            weights -= truth.mdp.gamma**t * baseline * b[t] * u[:, None] * truth.pi
    return truth.policy.pull_back(truth.theta, weights)


def shares(p: float, batch_size: float, fit: str) -> tuple[float, float]:
    """What is left of the own reward-to-go, and of b_t, at a step that is taken with probability p.

    With means over the batch a trajectory meets its own reward-to-go with weight 1/N_t. The number
    of others under way is binomial, so E[1/N_t] = (1 - (1-p_t)^n)/(n p_t). Left out one at a time,
    there is no baseline where none of the others is under way.
    """
    n = batch_size - 1 if fit == "leave_one_out" else batch_size
    none = (1 - p) ** n if p < 1 else 0.0
    if fit == "in_sample":
        left = 1 - (1 - none) / (n * p)
        return left, left
    return 1.0, 1.0 if fit == "exact" else 1 - none


def moments(truth: Truth, horizon: int, batch_size: float, *, fit: str) -> Exact:
    """The mean where it is not the declared one: with means over the batch, or on the boundary."""
    known = fit == "in_sample" or truth.unseen
    return Exact(known_mean(truth, horizon, batch_size, fit) if known else None)


estimator = BatchEstimator(
    name="baseline_per_time",
    estimate=estimate,
    moments=moments,
    fewest=2,
    bias=lambda fit: ("batch", "truncation") if fit == "in_sample" else ("truncation",),
    formula=lambda fit: (
        r"\frac{1}{n}\sum_i\sum_t \gamma^t (\hat Q_{i,t} - b_t)\,\psi_{i,t},\,b_t = "
        + {
            "exact": r"E[\hat Q_t]",
            "in_sample": r"mean_j\,\hat Q_{j,t}",
            "leave_one_out": r"mean_{j\neq i}\,\hat Q_{j,t}",
        }[fit]
    ),
    reference="Peters & Schaal 2008 (Neural Networks), the baseline of each time step",
    alone="",
)
