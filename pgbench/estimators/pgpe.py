"""Parameter-exploring policy gradients: the mean of a normal distribution over θ is improved."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Choice
from pgbench.estimators.evolution_strategies import (
    Sigma,
    perturbed,
    smoothed_gradient,
    weighed,
)
from pgbench.estimators.parts.by_trajectory import others
from pgbench.estimators.parts.estimator import DRIVEN, BatchEstimator, Exact
from pgbench.estimators.parts.perturbation import OTHER_POLICIES, require_free
from pgbench.exact.truth import Truth
from pgbench.rollout.simulator import Simulator


def estimate(
    simulator: Simulator,
    *,
    sigma: Sigma = 0.1,
    baseline: Annotated[
        str,
        Choice(("leave_one_out", "optimal")),
        "mean of the other returns; or of all, weighed by ‖ξ‖², as in Zhao et al. 2012",
    ] = "leave_one_out",
) -> FloatArray:
    """Gradient in the mean of N(θ, σ²I): score of each perturbation times return less a baseline.

    σ is held fixed. The controllers keep drawing actions at random, as those of a softmax policy
    do; in the source they are deterministic. Without its baselines this is
    ``evolution_strategies`` with perturbations of one sign.
    """
    noise, returns = perturbed(simulator, sigma, antithetic=False)
    if baseline == "optimal":
        size = (noise**2).sum(axis=2)
        b = (returns * size).sum(axis=1, keepdims=True) / size.sum(axis=1, keepdims=True)
    else:
        b = others(returns) / (returns.shape[1] - 1)
    return weighed(noise, returns - b, sigma)


def moments(truth: Truth, horizon: int, batch_size: float, *, sigma: float, baseline: str) -> Exact:
    """The gradient of the smoothed objective, where d ≤ 2, if the baseline is independent."""
    require_free(truth)
    if baseline == "optimal" and np.isfinite(batch_size):
        return Exact(None)
    return Exact(smoothed_gradient(truth, horizon, sigma))


estimator = BatchEstimator(
    name="pgpe",
    estimate=estimate,
    moments=moments,
    fewest=2,
    bias=lambda sigma, baseline: (
        ("batch",) * (baseline == "optimal") + ("smoothing",) * (sigma > 0) + ("truncation",)
    ),
    formula=lambda baseline, **_: (
        r"\frac{1}{n\sigma}\sum_i (R_i(\theta + \sigma\xi_i) - b_i)\,\xi_i,\,b_i = "
        + (
            r"\frac{1}{n-1}\sum_{j\neq i} R_j"
            if baseline == "leave_one_out"
            else r"\sum_j R_j |\xi_j|^2\,/\,\sum_j |\xi_j|^2"
        )
    ),
    reference="Sehnke et al. 2010; Zhao, Hachiya, Niu & Sugiyama 2012 (baseline)",
    cures={"smoothing": {"sigma": 0.0}},
    own_data=OTHER_POLICIES,
    drawing=DRIVEN,
    alone="",
)
