"""Advantages standardised over all steps of the batch, as code for PPO does."""

from typing import Annotated, Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.estimators import gae
from pgbench.estimators.parts.advantages import beyond_rounding
from pgbench.estimators.parts.by_trajectory import ratio
from pgbench.estimators.parts.estimator import (
    EVERYWHERE,
    BatchEstimator,
    CriticNoise,
    Discounted,
    Exact,
    noisy_critic,
    step_discount,
    step_power,
)
from pgbench.exact.remember import remembered
from pgbench.exact.table_moments import table_moments
from pgbench.exact.truth import Truth
from pgbench.process.batch import Batch
from pgbench.rollout.simulator import Simulator

EPSILON = 1e-8
"""Added to the standard deviation by default."""

Lam = Annotated[float, Range(0, 1), "λ of GAE: 1 is reward-to-go less V, the end bootstrapped"]
Eps = Annotated[float, Range(0), "added to the standard deviation, unit reward"]
Correction = Annotated[int, Range(0, 1), "the deviation has the number of steps less this below"]
Normalised = Annotated[bool, "whether advantages are standardised; without it this is gae"]


def estimate(
    simulator: Simulator,
    *,
    lam: Lam = 0.95,
    normalised: Normalised = True,
    discounted: Discounted = True,
    critic_noise: CriticNoise = 0.0,
    eps: Eps = EPSILON,
    correction: Correction = 0,
) -> FloatArray:
    """GAE(λ) less its mean over all steps, over its deviation; v is exact unless critic_noise > 0.

    Every step of the batch counts the same, whatever its γ^t. Code for PPO leaves γ^t out,
    ``discounted: false``, and where it has PyTorch's deviation one step less below,
    ``correction: 1``.
    """
    truth, batch = simulator.truth, simulator.batch()
    v = noisy_critic(truth, critic_noise)
    advantage = batch.backward(batch.td_errors(v), truth.mdp.gamma * lam)
    if normalised:
        advantage = standardised(batch, advantage, eps=eps, correction=correction)
    delta = step_discount(truth, discounted)
    return simulator.pull_back(batch.tables(batch.discounts(delta) * advantage))


def standardised(
    batch: Batch,
    x: FloatArray,
    axes: tuple[int, ...] = (1, 2),
    eps: float = EPSILON,
    correction: int = 0,
) -> FloatArray:
    """x (m, n, T) less its mean over the steps along the axes, over its deviation plus ε.

    x is zero where no step is taken. By default all steps of a replicate are taken together.
    """
    y = centred(batch, x, axes)
    count = batch.mask.sum(axis=axes, keepdims=True)
    below = np.maximum(count - correction, np.minimum(count, 1))
    square = ratio((y**2).sum(axis=axes, keepdims=True), below)
    return np.asarray(ratio(y, np.sqrt(square) + eps), np.float64)


def centred(batch: Batch, x: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """x (m, n, T) less its mean over the steps along the axes; zero where no step is taken.

    Zero too where nothing but rounding is left: without ε it would be divided by itself.
    """
    mean = ratio(x.sum(axis=axes, keepdims=True), batch.mask.sum(axis=axes, keepdims=True))
    return np.where(batch.mask, beyond_rounding(x - mean, x, axes), 0.0)


def bias(
    lam: float, normalised: bool, discounted: bool, critic_noise: float, **_: Any
) -> tuple[str, ...]:
    """Causes of bias."""
    own = ("normalisation", "batch") * normalised + ("critic",) * (critic_noise > 0)
    return own + ("discount",) * (not discounted) + ("tail",)


def moments(
    truth: Truth,
    horizon: int,
    batch_size: float,
    *,
    lam: float,
    normalised: bool,
    discounted: bool,
    critic_noise: float,
    **_: Any,
) -> Exact:
    """Without normalisation those of ``gae``; else nothing is known."""
    if normalised:
        return Exact(None)
    mean, variance = gae_moments(truth, horizon, lam, discounted, critic_noise)
    return Exact(mean, variance / batch_size)


@remembered
def gae_moments(
    truth: Truth, horizon: int, lam: float, discounted: bool, critic_noise: float
) -> tuple[FloatArray, FloatArray]:
    """Mean and variance (d,) of GAE over one trajectory."""
    tables = gae.tables(truth, lam=lam, discounted=discounted, critic_noise=critic_noise)
    exact = table_moments(truth, tables, horizon)
    return exact.mean, exact.variance


estimator = BatchEstimator(
    name="advantage_normalised",
    estimate=estimate,
    moments=moments,
    bias=bias,
    formula=lambda normalised, discounted, **_: (
        r"\frac{1}{n}\sum_i\sum_t "
        + step_power(discounted)
        + r"\psi_{i,t}\,"
        + (
            r"\frac{\hat A_{i,t} - mean(\hat A)}{std(\hat A) + \epsilon}"
            if normalised
            else r"\hat A_{i,t}"
        )
    ),
    reference="Schulman et al. 2017 (PPO), as implemented; Andrychowicz et al. 2021",
    cures={
        "normalisation": {"normalised": False},
        "critic": {"critic_noise": 0.0},
        "discount": {"discounted": True},
    },
    on=EVERYWHERE,
    alone="",
)
