"""Simultaneous perturbation: all coordinates of θ are moved at once, each by a random sign."""

from itertools import product
from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import ParameterError, Range
from pgbench.estimators.parts.estimator import DRIVEN, BatchEstimator, Exact
from pgbench.estimators.parts.perturbation import (
    OTHER_POLICIES,
    objective,
    require_free,
    returns_at,
)
from pgbench.exact.horizon import finite_gradient
from pgbench.exact.remember import remembered
from pgbench.exact.truth import Truth
from pgbench.rollout.simulator import Simulator

ENUMERATED = 8
"""Largest d whose 2^d vectors of signs are listed for the exact mean."""

Step = Annotated[float, Range(0), "c: how far every coordinate is moved; 0 has exact moments only"]


def estimate(simulator: Simulator, *, step: Step = 0.1) -> FloatArray:
    """Differences of returns at θ ± cΔ over 2cΔ, Δ random signs; n pairs of rollouts.

    The two rollouts of a pair are driven by the same random numbers; every pair has its own Δ.
    """
    signs, slopes = differences(simulator, step)
    return np.asarray((slopes * signs).mean(axis=1), np.float64)


def differences(simulator: Simulator, step: float) -> tuple[FloatArray, FloatArray]:
    """Signs Δ (m, n, d), and differences of returns at θ ± cΔ over 2c, (m, n, 1)."""
    require_free(simulator.truth)
    if step == 0:
        raise ParameterError("spsa.step is 0; a step to simulate must be above 0")
    n, d = simulator.n, simulator.truth.policy.n_parameters
    signs = simulator.random_numbers(
        "signs", lambda rng, m: rng.choice([-1.0, 1.0], size=(m, n, d))
    )
    uniforms = simulator.uniforms("spsa", n, 1)
    up, down = (returns_at(simulator, signs, c, uniforms) for c in (step, -step))
    return signs, (up - down) / (2 * step)


def moments(truth: Truth, horizon: int, batch_size: float, *, step: float) -> Exact:
    """The mean over all vectors of signs, where d ≤ 8; ∇J_H for a step of 0."""
    require_free(truth)
    if step == 0:
        return Exact(finite_gradient(truth, horizon))
    return Exact(_mean(truth, horizon, step) if truth.theta.size <= ENUMERATED else None)


@remembered
def _mean(truth: Truth, horizon: int, step: float) -> FloatArray:
    total = np.zeros(truth.theta.size)
    # Δ and -Δ give the same difference.
    halves = [np.array([1.0, *rest]) for rest in product((-1.0, 1.0), repeat=total.size - 1)]
    for signs in halves:
        ends = [objective(truth, truth.theta + c * signs, horizon) for c in (step, -step)]
        total += (ends[0] - ends[1]) / (2 * step) * signs
    return total / len(halves)


estimator = BatchEstimator(
    name="spsa",
    estimate=estimate,
    moments=moments,
    bias=lambda step: ("smoothing",) * (step > 0) + ("truncation",),
    formula=r"\frac{1}{n}\sum_i \frac{R_i(\theta + c\Delta_i) - R_i(\theta - c\Delta_i)}{2c}"
    r"\,\Delta_i^{-1}",
    reference="Spall 1992, eq. 2.2",
    cures={"smoothing": {"step": 0.0}},
    own_data=OTHER_POLICIES,
    drawing=DRIVEN,
    alone="",
)
