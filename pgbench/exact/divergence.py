"""The divergence between two policies of one family, and its expansion in the Fisher information.

    D(θ, θ') = E_{s~ρ} KL(π_θ(s,·) ‖ π_θ'(s,·))        D(θ, θ + δ) = ½ δᵀF(θ)δ + O(‖δ‖³)

with ρ of θ, weighted as in the Fisher information: ρ = (1-γ) d, and d itself for γ = 1.
(Amari 1998; Kakade 2001. Texts that leave the ½ out of the expansion are wrong by it.)
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pgbench.exact.values import Truth

FloatArray = NDArray[np.float64]


def expected_kl(truth: "Truth", theta: Any) -> float:
    """Σ_s ρ(s) KL(π(s,·) ‖ π_θ(s,·)), from the policy of ``truth`` to that of ``theta`` (d,).

    Infinite where θ never takes an action that is taken in a visited state, be it that its
    probability is too small for floating point. Raises ValueError if θ does not fit.
    """
    policy = truth.policy
    seen = truth.state_weights > 0
    other = policy.probabilities(policy.check(theta))[seen]
    return float(truth.state_weights[seen] @ _divergences(truth.pi[seen], other))


def quadratic(truth: "Truth", delta: Any) -> float:
    """½ δᵀF δ for a step δ (d,), as ½ Σ_s ρ(s) Σ_a π(s,a) (ψ(s,a)·δ)²: F is never formed.

    Raises ValueError if δ has another shape than θ.
    """
    step = np.asarray(delta, dtype=np.float64)
    if step.shape != truth.theta.shape:
        raise ValueError(f"delta has shape {step.shape}, must be {truth.theta.shape}")
    slopes = truth.policy.push_forward(truth.theta, step)
    return 0.5 * float(truth.state_weights @ (truth.pi * slopes**2).sum(axis=1))


def _divergences(p: FloatArray, q: FloatArray) -> FloatArray:
    """KL(p ‖ q) of each row, shape (S,), as Σ_a p (u - log(1 + u)) with u = q/p - 1.

    No term is negative, so none cancel, and a small divergence keeps its digits: the terms
    p log(p/q) are of first order in q - p, their sum is of second. Where p = 0 a term is q.
    """
    taken = p > 0
    u = np.divide(q - p, p, out=np.zeros_like(p), where=taken)
    with np.errstate(divide="ignore"):  # log 0, where support is lost
        terms = np.where(taken, p * (u - np.log1p(u)), q)
    return np.asarray(terms.sum(axis=1))
