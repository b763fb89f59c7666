"""Many Gaussian policies on one linear-quadratic problem, and everything exact about them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pgbench.ascent.crowd import Crowd, gather
from pgbench.exact.linear_quadratic import QuadraticTruth
from pgbench.exact.linear_quadratic.values import action_values, score_weights
from pgbench.policies import Gaussian, NotApplicable
from pgbench.policies.gaussian import Law
from pgbench.problems import LinearQuadratic
from pgbench.quadratic import Quadratic

FloatArray = NDArray[np.float64]

DOUBLINGS = 60
"""Most squarings of a closed loop: 2⁶⁰ steps."""


@dataclass(frozen=True, eq=False)
class QuadraticCrowd(Crowd):
    """m Gaussian policies on one linear-quadratic problem.

    Values of all of them are sums over steps, doubled until nothing is added any more (Anderson
    1978); single truths solve Lyapunov's equation instead.
    """

    mdp: LinearQuadratic
    policy: Gaussian
    theta: FloatArray
    entropy: float = 0.0

    def __post_init__(self) -> None:
        if self.entropy:
            raise NotApplicable("entropy is part of the objective for finite problems only")

    @cached_property
    def laws(self) -> list[Law | None]:
        """The laws of actions; None where θ has none."""
        found: list[Law | None] = []
        for theta in self.theta:
            try:
                found.append(self.policy.law(theta))
            except (ValueError, np.linalg.LinAlgError):
                found.append(None)
        return found

    @cached_property
    def stable(self) -> NDArray[np.bool_]:
        """Which gains are stable, (m,)."""
        return np.array([self.policy.stable(theta) for theta in self.theta])

    @cached_property
    def good(self) -> NDArray[np.bool_]:
        """Which replicates have a finite J: those that are stable and have a variance, (m,)."""
        return self.stable & np.array([law is not None for law in self.laws])

    @cached_property
    def _solved(self) -> tuple[FloatArray, FloatArray]:
        """P and M (m, n+1, n+1); NaN where J is not finite."""
        mdp, size = self.mdp, self.mdp.n + 1
        P, M = np.full((2, self.m, size, size), np.nan)
        if self.good.any():
            laws = [law for law, good in zip(self.laws, self.good, strict=True) if good and law]
            gain = np.stack([law.gain for law in laws])
            covariance = np.stack([law.covariance for law in laws])
            A, B = mdp.dynamics
            closed, back = A + B @ gain, np.swapaxes(gain, 1, 2)
            S = np.zeros_like(closed)
            S[:, :-1, :-1] = mdp.noise + mdp.B @ covariance @ mdp.B.T
            gamma = mdp.gamma
            own = _sum(closed, back @ mdp.R @ gain - mdp.reward.state, gamma)
            per_step = np.sum(mdp.R * covariance, axis=(1, 2)) + gamma * np.sum(own * S, (1, 2))
            own[:, -1, -1] += per_step / (1 - gamma)
            P[self.good] = own
            constant = mdp.start + gamma / (1 - gamma) * S
            M[self.good] = _sum(np.swapaxes(closed, 1, 2), constant, gamma)
        return P, M

    @cached_property
    def objective(self) -> FloatArray:
        """J (m,), unit reward; NaN where it is not finite."""
        return -np.einsum("mij,ij->m", self._solved[0], self.mdp.start)

    @cached_property
    def truths(self) -> list[QuadraticTruth | None]:
        """The exact quantities of every replicate, or None."""
        P, M = self._solved
        found: list[QuadraticTruth | None] = []
        for r, law in enumerate(self.laws):
            if law is None or not self.good[r]:
                found.append(None)
                continue
            v = Quadratic.of_state(-P[r], self.mdp.n, self.mdp.m)
            q = action_values(self.mdp, v)
            weights = score_weights(q, law, M[r])
            found.append(
                QuadraticTruth(
                    mdp=self.mdp,
                    policy=self.policy,
                    theta=self.theta[r],
                    horizon=None,
                    pi=law,
                    v=v,
                    q=q,
                    visitation=M[r],
                    objective=float(self.objective[r]),
                    weights=weights,
                    gradient=self.policy.pull_back(self.theta[r], weights),
                    error_bound=0.0,
                )
            )
        return found

    def truth(self, r: int) -> QuadraticTruth:
        """The exact quantities of replicate r alone, which must have some."""
        truth = self.truths[r]
        assert truth is not None
        return truth

    @cached_property
    def gradient(self) -> FloatArray:
        """∇J (m, d), reward per unit of θ; NaN where J is not finite."""
        return self._each(lambda truth, r: truth.gradient)

    @cached_property
    def natural_gradient(self) -> FloatArray:
        """F†∇J (m, d)."""
        return self._each(lambda truth, r: truth.natural_gradient())

    def natural(self, g: FloatArray) -> FloatArray:
        """F†g (m, d) of vectors g (m, d)."""
        return self._each(lambda truth, r: truth.natural(g[r]))

    def _each(self, function: Callable[[QuadraticTruth, int], FloatArray]) -> FloatArray:
        out = np.full(self.theta.shape, np.nan)
        for r, truth in enumerate(self.truths):
            if truth is not None:
                out[r] = function(truth, r)
        return out

    def squared_lengths(self, delta: FloatArray) -> FloatArray:
        """δᵀFδ (m,) of δ (m, d): twice the divergence of a small step."""
        return np.array(
            [
                np.nan if truth is None else d @ truth.fisher() @ d
                for truth, d in zip(self.truths, delta, strict=True)
            ]
        )

    @cached_property
    def differential_entropy(self) -> FloatArray:
        """½ log det(2πeΣ) (m,), in nats."""
        sizes = [
            np.nan
            if law is None
            else np.log(np.diagonal(law.factor)).sum() + 0.5 * self.mdp.m * np.log(2 * np.pi * np.e)
            for law in self.laws
        ]
        return np.array(sizes)


def _sum(a: FloatArray, c: FloatArray, decay: float) -> FloatArray:
    """Σ_k decay^k (aᵀ)^k c a^k (m, n, n), the solution X of X = c + decay aᵀXa."""
    X, step = c.copy(), np.sqrt(decay) * a
    for _ in range(DOUBLINGS):
        added = np.swapaxes(step, 1, 2) @ X @ step
        X = X + added
        if not (np.abs(added) > np.finfo(np.float64).eps * np.abs(X).max() / 4).any():
            break
        step = step @ step
    return (X + np.swapaxes(X, 1, 2)) / 2


gather.register(LinearQuadratic)(QuadraticCrowd)
