"""Advantages standardised over all steps of the batch, as code for PPO does."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.estimators import gae
from pgbench.estimators.parts.by_trajectory import ratio
from pgbench.estimators.parts.estimator import (
    EVERYWHERE,
    BatchEstimator,
    Discounted,
    Exact,
    step_discount,
    step_power,
)
from pgbench.exact.remember import remembered
from pgbench.exact.table_moments import table_moments
from pgbench.exact.truth import Truth
from pgbench.process.batch import Batch
from pgbench.rollout.simulator import Simulator

EPSILON = 1e-8
"""Added to the standard deviation."""

Lam = Annotated[float, Range(0, 1), "λ of GAE: 1 is reward-to-go less V, the end bootstrapped"]
Normalised = Annotated[bool, "whether advantages are standardised; without it this is gae"]


def estimate(
    simulator: Simulator,
    *,
    lam: Lam = 0.95,
    normalised: Normalised = True,
    discounted: Discounted = True,
) -> FloatArray:
    """GAE(λ) with exact V, less its mean over all steps of the batch, over its deviation.

    Every step of the batch counts the same, whatever its γ^t; the standard deviation has the
    number of steps below, and 1e-8 is added. Code for PPO leaves γ^t out: ``discounted: false``.
    """
    truth, batch = simulator.truth, simulator.batch()
    advantage = batch.backward(batch.td_errors(truth.v), truth.mdp.gamma * lam)
    if normalised:
        advantage = standardised(batch, advantage)
    delta = step_discount(truth, discounted)
    return simulator.pull_back(batch.tables(batch.discounts(delta) * advantage))


def standardised(batch: Batch, x: FloatArray, axes: tuple[int, ...] = (1, 2)) -> FloatArray:
    """x (m, n, T) less its mean over the steps along the axes, over its deviation plus 1e-8.

    x is zero where no step is taken. By default all steps of a replicate are taken together.
    """
    y = centred(batch, x, axes)
    square = ratio((y**2).sum(axis=axes, keepdims=True), batch.mask.sum(axis=axes, keepdims=True))
    return np.asarray(y / (np.sqrt(square) + EPSILON), np.float64)


def centred(batch: Batch, x: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """x (m, n, T) less its mean over the steps along the axes; zero where no step is taken."""
    mean = ratio(x.sum(axis=axes, keepdims=True), batch.mask.sum(axis=axes, keepdims=True))
    return np.where(batch.mask, x - mean, 0.0)


def bias(lam: float, normalised: bool, discounted: bool) -> tuple[str, ...]:
    """Causes of bias."""
    own = ("normalisation", "batch") if normalised else ()
    return own + ("discount",) * (not discounted) + ("tail",)


def moments(
    truth: Truth,
    horizon: int,
    batch_size: float,
    *,
    lam: float,
    normalised: bool,
    discounted: bool,
) -> Exact:
    """Without normalisation those of ``gae``; else nothing is known."""
    if normalised:
        return Exact(None)
    mean, variance = gae_moments(truth, horizon, lam, discounted)
    return Exact(mean, variance / batch_size)


@remembered
def gae_moments(
    truth: Truth, horizon: int, lam: float, discounted: bool
) -> tuple[FloatArray, FloatArray]:
    """Mean and variance (d,) of GAE with exact V over one trajectory."""
    tables = gae.tables(truth, lam=lam, discounted=discounted)
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
    cures={"normalisation": {"normalised": False}, "discount": {"discounted": True}},
    on=EVERYWHERE,
    alone="",
)
