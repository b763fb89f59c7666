"""The divergence between two policies of one family, and its expansion in the Fisher information.

    D(θ, θ') = E_{s~ρ} KL(π_θ(s,·) ‖ π_θ'(s,·))        D(θ, θ + δ) = ½ δᵀF(θ)δ + O(‖δ‖³)

with ρ of θ, weighted as in the Fisher information: ρ = (1-γ) d, and d itself for γ = 1.
(Amari 1998; Kakade 2001. Texts that leave the ½ out of the expansion are wrong by it.)
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from pgbench.arrays import FloatArray

if TYPE_CHECKING:
    from pgbench.exact.truth import Truth


def expected_kl(truth: "Truth", theta: Any) -> float:
    """Σ_s ρ(s) KL(π(s,·) ‖ π_θ(s,·)), from the policy of ``truth`` to that of ``theta`` (d,).

    Infinite where π_θ gives probability 0 to an action that is taken in a visited state; a
    probability that underflows is 0. Raises ValueError if θ does not fit.
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
    """KL(p ‖ q) of each row, shape (S,), as Σ_a [q - p - p log(q/p)].

    No term is negative, so none cancel. Where q is near p a term is p (u - log(1 + u)) with
    u = (q - p)/p, which keeps the digits of a small divergence: p log(p/q) is of first order in u.
    """
    with np.errstate(all="ignore"):  # log 0, where support is lost, and what is not selected
        u = (q - p) / p
        near = p * (u - np.log1p(u))
        far = (q - p) - p * (np.log(q) - np.log(p))
    terms = np.where(p > 0, np.where(np.abs(u) < 0.5, near, far), q)
    return np.asarray(terms.sum(axis=1))
