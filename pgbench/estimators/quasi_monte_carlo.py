"""Reward-to-go on rollouts driven by randomised Sobol' points."""

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import FloatArray
from pgbench.estimators.antithetic import Value, like, reward_to_go
from pgbench.estimators.parts.estimator import DRIVEN, BatchEstimator
from pgbench.policies import NotApplicable
from pgbench.rollout.simulator import Simulator

LARGEST = 21201
"""Number of dimensions for which Joe & Kuo (2008) give directions."""

BITS = 32


def estimate(simulator: Simulator, *, value: Value = False) -> FloatArray:
    """Discounted reward-to-go times each score, on n Sobol' points in 2H+1 dimensions.

    Every replicate shifts all points by digits of its own (a random digital shift), so that each
    point alone is uniform. Powers of two are the best batch sizes.
    """
    dimensions = 2 * simulator.horizon + 1
    if dimensions > LARGEST:
        raise NotApplicable(
            f"rollouts of {simulator.horizon} steps need {dimensions} dimensions, Sobol' points"
            f" have at most {LARGEST}"
        )
    points = simulator.once("points", lambda: sobol(simulator.n, dimensions))
    shift = simulator.random_numbers(
        "digital shift",
        lambda rng, m: rng.integers(2**BITS, size=(m, 1, 1, dimensions), dtype=np.uint64),
    )
    return reward_to_go(simulator, ((points ^ shift) + 0.5) / 2**BITS, value)


def sobol(n: int, dimensions: int) -> NDArray[np.uint64]:
    """The first n Sobol' points as integers of 32 bits, (n, dimensions)."""
    from scipy.stats import qmc

    power = max(n - 1, 0).bit_length()
    points = qmc.Sobol(dimensions, scramble=False, bits=BITS).random_base2(power)[:n]
    return (points * 2.0**BITS).astype(np.uint64)


estimator = BatchEstimator(
    name="quasi_monte_carlo",
    estimate=estimate,
    like=like,
    bias=lambda value: ("truncation",),
    formula=lambda value: (
        r"\frac{1}{n}\sum_i \hat g(x_i \oplus \Delta),\,\hat g = \sum_t \gamma^t "
        + (r"(\hat Q_t - V(s_t))" if value else r"\hat Q_t")
        + r"\,\psi_t"
    ),
    reference="Sobol' 1967; L'Ecuyer & Lemieux 2002 (digital shifts)",
    drawing=DRIVEN,
    alone="",
)
