"""Exact values and gradients of a Gaussian policy on a linear system, and means of estimators.

    Q_h(x, u) = r(x, e) + γ E_w V_{h-1}(a x + b e + w)        V_h(x) = E_u Q_h(x, u),  V_0 = 0
    J_H = E V_H(x_0)        ∇J_H = Σ_{t<H} γ^t E[Q_{H-t}(x_t, u_t) ψ_t]

V is zero in terminal states. An estimator by wrong scores χ has the mean Σ_t γ^t E[Q_{H-t} χ_t],
and another one if V is taken off, as E_u χ is not zero.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import check_counts
from pgbench.trials.continuous.policy import LINEAR, GaussianPolicy
from pgbench.trials.continuous.quadrature import FINE, Grid, Resolution
from pgbench.trials.continuous.system import System
from pgbench.trials.continuous.tables import Tables, solved
from pgbench.trials.continuous.values import Values

Shares = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
"""From states (...) and actions (...) as drawn to α and β (...) of what stands in place of ψ.

That is α ∇μ + β ∇log σ.
"""

TO_GO, ADVANTAGE, GAE, TOTAL = "to go", "advantage", "gae", "total"

WEIGHTS = (TO_GO, ADVANTAGE, GAE, TOTAL)
"""What multiplies the score of step t, given x_t and u_t: the expected reward to go Q_{H-t}; that
less V_{H-t}; Q - V over an endless horizon, as of GAE with exact critic; the total return, which is
Q_{H-t} and what was collected before."""


@dataclass(frozen=True, eq=False)
class ContinuousTruth:
    """Everything exact about one policy on one system, to a relative error of about 1e-12.

    Attributes
    ----------
    system, theta, horizon
        θ (d,), of the linear policy (k, c, log σ); H ≥ 1 steps.
    resolution
        Numbers of nodes. The truth at ``resolution.doubled`` shows how large the error is.
    policy
        Mean and deviation of actions as functions of θ and the state.
    """

    system: System
    theta: FloatArray
    horizon: int
    resolution: Resolution = FINE
    policy: GaussianPolicy = LINEAR

    def __post_init__(self) -> None:
        if self.policy is LINEAR and np.shape(self.theta) != (3,):
            raise ValueError(f"theta has shape {np.shape(self.theta)}, must be (3,)")
        check_counts(horizon=self.horizon)

    @cached_property
    def grid(self) -> Grid:
        """The nodes, n states and m actions at each."""
        return Grid(self.system, self.theta, self.resolution, self.policy)

    @cached_property
    def values(self) -> Values:
        """V and Q as functions of any state and action."""
        return Values(self.grid, self._tables)

    @property
    def objective(self) -> float:
        """J_H, unit reward."""
        return float(self.grid.start @ self._tables.v[-1])

    @cached_property
    def gradient(self) -> FloatArray:
        """∇J_H (d,), reward per unit of θ."""
        return self.mean()

    @cached_property
    def endless_gradient(self) -> FloatArray:
        """∇J (d,) over an endless horizon."""
        return self._endless_visits @ self._over_actions(self._tables.q_endless, self.shares)

    @property
    def without_tail(self) -> FloatArray:
        """Σ_{t<H} γ^t E[A ψ] (d,): ∇J less the score terms beyond step H."""
        return self.mean(weight=GAE)

    @property
    def undiscounted(self) -> FloatArray:
        """Σ_{t<H} E[Q_{H-t} ψ_t] (d,): what is left without the factor γ^t of step t."""
        return self.mean(decay=1.0)

    def shares(self, x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        """α and β (...) of ψ, of states and actions as drawn."""
        return self.policy.shares(self.theta, x, u)

    def score(self, x: FloatArray, u: FloatArray) -> FloatArray:
        """ψ (..., d) of states and actions as drawn."""
        return self.policy.score(self.theta, x, u)

    def mean(
        self,
        chi: Shares | None = None,
        *,
        weight: str | FloatArray = TO_GO,
        decay: float | None = None,
    ) -> FloatArray:
        """Σ_{t<H} δ^t E[w_t χ_t] (d,): the mean of an estimator with χ in place of scores.

        Parameters
        ----------
        chi
            α and β of χ; those of the scores themselves if not given.
        weight
            One of ``WEIGHTS``, or E[w_t | x_t, u_t] on the nodes, (H, n, m) or (1, n, m). The total
            return takes no factor δ^t.
        decay
            δ; γ if not given.
        """
        chi = self.shares if chi is None else chi
        if isinstance(weight, str) and weight == TOTAL:
            shares = self._over_actions(np.ones_like(self.grid.u), chi)
            return self.mean(chi) + self._collected.sum(axis=0) @ shares
        weights = self.weights(weight) if isinstance(weight, str) else weight
        weighed = self._over_actions(weights, chi)
        return np.einsum("t,tn,tnk->k", self._powers(decay), self.visits, weighed)

    def entropy_bonus(self, *, jacobian: bool = True, decay: float | None = None) -> FloatArray:
        """Σ_{t<H} δ^t E[∇_θ H(π(·|x_t))] (d,), states held fixed, as entropies in losses are.

        H is the entropy of e, or that of u without the Jacobian's E log de/du; the same under the
        laws ``gaussian`` and, as a clipped action has no density, ``clipped``.
        """
        moved = self._over_actions(self.system.log_jacobian(self.grid.u), self.shares)
        return self._over_visits(jacobian * moved + self._slopes[1], decay)

    def fisher(self) -> FloatArray:
        """F = (1-γ) Σ_{t<H} γ^t E[ψψᵀ] (d, d) of visited states, whatever the law."""
        return (1 - self.system.gamma) * self._information(self._powers(None) @ self.visits)

    def endless_fisher(self) -> FloatArray:
        """F (d, d), the same sum over an endless horizon."""
        return (1 - self.system.gamma) * self._information(self._endless_visits)

    def fisher_of_steps(self) -> FloatArray:
        """E[ψψᵀ] (d, d) over the steps that are taken, all alike, as the mean over a batch."""
        taken = self.visits.sum(axis=0)
        return self._information(taken / taken.sum())

    def _information(self, visits: FloatArray) -> FloatArray:
        """Σ_x d(x) E_u[ψψᵀ] (d, d) of weights d (n,) on the nodes: ∇μ∇μᵀ/σ² + 2 ∇log σ ∇log σᵀ."""
        (of_mean, of_scale), sigma = self._slopes, self.policy.scale(self.theta, self.grid.x)
        by_mean = (visits / sigma**2)[:, None] * of_mean
        by_scale = (2 * visits)[:, None] * of_scale
        return np.asarray(of_mean.T @ by_mean + of_scale.T @ by_scale)

    @cached_property
    def _slopes(self) -> tuple[FloatArray, FloatArray]:
        """∇μ and ∇log σ (n, d) on the nodes."""
        return self.policy.slopes(self.theta, self.grid.x)

    @cached_property
    def _endless_visits(self) -> FloatArray:
        """Σ_t γ^t Pr(x_t) (n,) on the nodes."""
        transitions = self._tables.P
        kept = np.eye(len(transitions)) - self.system.gamma * transitions.T
        return np.asarray(np.linalg.solve(kept, self.grid.start))

    @cached_property
    def visits(self) -> FloatArray:
        """(H, n) probabilities of being in the nodes of the state at step t, the end not met."""
        visits = [self.grid.start]
        for _ in range(self.horizon - 1):
            visits.append(visits[-1] @ self._tables.P)
        return np.stack(visits)

    @cached_property
    def _tables(self) -> Tables:
        return solved(self.grid, self.horizon)

    def weights(self, weight: str) -> FloatArray:
        """E[w_t | x_t, u_t] (H, n, m) on the nodes, or the same for every t, (1, n, m).

        Of all ``WEIGHTS`` but the total return, which hangs on what was collected before.
        """
        if weight not in WEIGHTS:
            raise ValueError(f"weight is {weight!r}, must be one of {', '.join(WEIGHTS)}")
        tables = self._tables
        if weight == GAE:
            own: FloatArray = (tables.q_endless - tables.v_endless[:, None])[None]
            return own
        baseline = tables.v[:0:-1, :, None] if weight == ADVANTAGE else 0.0
        return np.asarray(tables.q[::-1] - baseline)

    @cached_property
    def _collected(self) -> FloatArray:
        """(H, n) E[Σ_{m<t} γ^m r_m; x_t] on the nodes."""
        found = [np.zeros(len(self.grid.x))]
        for power, visits in zip(self._powers(None)[:-1], self.visits, strict=False):
            found.append(found[-1] @ self._tables.P + power * (visits @ self._tables.earned))
        return np.stack(found)

    def _powers(self, decay: float | None) -> FloatArray:
        delta = self.system.gamma if decay is None else decay
        return np.asarray(delta ** np.arange(self.horizon))

    def _over_visits(self, values: FloatArray, decay: float | None) -> FloatArray:
        """Σ_{t<H} δ^t E[f(x_t)] of f (n, ...) on the nodes."""
        return np.tensordot(self._powers(decay) @ self.visits, values, axes=1)

    def _over_actions(self, weights: FloatArray, chi: Shares) -> FloatArray:
        """E_u[w χ] (..., n, d) of weights (..., n, m) on the nodes."""
        x = np.broadcast_to(self.grid.x[:, None], self.grid.u.shape)
        both = chi(x, self.grid.u)
        alpha, beta = (np.einsum("...nm,nm->...n", weights, self.grid.chances * c) for c in both)
        of_mean, of_scale = self._slopes
        return np.asarray(alpha[..., None] * of_mean + beta[..., None] * of_scale)
