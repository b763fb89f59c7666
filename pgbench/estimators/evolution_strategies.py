"""Evolution strategies: returns at normally perturbed θ, weighed by the perturbation."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Choice, ParameterError, Range
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

INTEGRATED, NODES = 2, 24
"""Largest d whose smoothed objective is integrated exactly, by so many nodes per dimension."""

Sigma = Annotated[float, Range(0), "σ of the perturbations; 0 has exact moments only"]
Antithetic = Annotated[bool, "whether every perturbation is used with both signs"]


def estimate(
    simulator: Simulator,
    *,
    sigma: Sigma = 0.1,
    antithetic: Antithetic = True,
    shaping: Annotated[
        str,
        Choice(("none", "mean", "rank")),
        "returns as they are, less their mean, or their centred ranks in [-1/2, 1/2]",
    ] = "none",
) -> FloatArray:
    """Mean of return times perturbation, over σ; n rollouts, each at a θ of its own.

    With ``antithetic`` they are n/2 pairs, and a last odd rollout is left out.
    """
    noise, returns = perturbed(simulator, sigma, antithetic)
    if shaping == "mean":
        returns = returns - returns.mean(axis=1, keepdims=True)
    elif shaping == "rank":
        rank = np.argsort(np.argsort(returns, axis=1, kind="stable"), axis=1)
        returns = rank / max(returns.shape[1] - 1, 1) - 0.5
    return weighed(noise, returns, sigma)


def perturbed(
    simulator: Simulator, sigma: float, antithetic: bool
) -> tuple[FloatArray, FloatArray]:
    """Standard normal ξ (m, k, d), and the return of a rollout at θ + σξ, (m, k).

    With ``antithetic`` (m, 2k) returns: after these those at θ - σξ.
    """
    require_free(simulator.truth)
    if sigma == 0:
        raise ParameterError("sigma is 0; perturbations to simulate must have a σ above 0")
    sides = (sigma, -sigma) if antithetic else (sigma,)
    k, d = simulator.n // len(sides), simulator.truth.policy.n_parameters
    noise = simulator.random_numbers("perturbations", lambda rng, m: rng.standard_normal((m, k, d)))
    uniforms = np.split(simulator.uniforms("evolution", k * len(sides), 1), len(sides), axis=1)
    returns = [returns_at(simulator, noise, *own) for own in zip(sides, uniforms, strict=True)]
    return noise, np.concatenate(returns, axis=1)[:, :, 0]


def weighed(noise: FloatArray, returns: FloatArray, sigma: float) -> FloatArray:
    """Mean of return times perturbation over σ, (m, d); of both signs if there are 2k returns."""
    k = noise.shape[1]
    own = returns[:, :k] - returns[:, k:] if returns.shape[1] > k else returns
    return np.asarray(np.einsum("mk,mkd->md", own, noise) / (returns.shape[1] * sigma), np.float64)


def bias(sigma: float, antithetic: bool, shaping: str) -> tuple[str, ...]:
    """Causes of bias. Where perturbations come in pairs a mean has no say."""
    shaped = ("normalisation",) * (shaping == "rank")
    shaped += ("batch",) * (shaping == "mean" and not antithetic)
    return shaped + ("smoothing",) * (sigma > 0) + ("truncation",)


def moments(
    truth: Truth, horizon: int, batch_size: float, *, sigma: float, antithetic: bool, shaping: str
) -> Exact:
    """The gradient of the smoothed objective, where d ≤ 2; ∇J_H where σ is 0."""
    require_free(truth)
    if shaping == "rank":
        return Exact(None)
    share = 1 - 1 / batch_size if shaping == "mean" and not antithetic else 1.0
    mean = smoothed_gradient(truth, horizon, sigma)
    return Exact(None if mean is None else share * mean)


@remembered
def smoothed_gradient(truth: Truth, horizon: int, sigma: float) -> FloatArray | None:
    """E[J_H(θ + σξ) ξ]/σ (d,), ξ standard normal, by Gauss-Hermite; None for large d."""
    d = truth.theta.size
    if sigma == 0:
        return finite_gradient(truth, horizon)
    if d > INTEGRATED:
        return None
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    grid = np.stack(np.meshgrid(*[nodes] * d, indexing="ij"), axis=-1).reshape(-1, d)
    mass = np.prod(np.meshgrid(*[weights] * d, indexing="ij"), axis=0).ravel()
    values = [objective(truth, truth.theta + sigma * xi, horizon) for xi in grid]
    return np.asarray((mass * values / mass.sum()) @ grid / sigma, np.float64)


estimator = BatchEstimator(
    name="evolution_strategies",
    estimate=estimate,
    moments=moments,
    fewest=2,
    bias=bias,
    formula=lambda antithetic, shaping, **_: (
        r"\frac{1}{n\sigma}\sum_i "
        + {
            "none": r"R_i(\theta + \sigma\xi_i)",
            "mean": r"(R_i(\theta + \sigma\xi_i) - \bar R)",
            "rank": r"(\frac{rank\,R_i}{n - 1} - \frac{1}{2})",
        }[shaping]
        + r"\,\xi_i,\,\xi \sim N(0, I)"
        + (r",\,\xi_{i+n/2} = -\xi_i" if antithetic else "")
    ),
    reference="Salimans, Ho, Chen, Sidor & Sutskever 2017, Algorithm 1; Nesterov & Spokoiny 2017",
    cures={"smoothing": {"sigma": 0.0}, "normalisation": {"shaping": "none"}},
    own_data=OTHER_POLICIES,
    drawing=DRIVEN,
    alone="",
)
