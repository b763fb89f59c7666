"""V, Q, J, ∇J, Fisher information of a Gaussian policy on a linear-quadratic problem.

    P = Q̃ + K̃ᵀRK̃ + γ Ã_cᵀ P Ã_c        V(x) = -x̃ᵀPx̃        Ã_c = Ã + B̃K̃
    M = E[x̃_0x̃_0ᵀ] + γ/(1-γ) S + γ Ã_c M Ã_cᵀ        S = W + BΣBᵀ, M = Σ_t γ^t E[x̃_tx̃_tᵀ]
    ∇_K̃ J = -2 ((R + γB̃ᵀPB̃)K̃ + γB̃ᵀPÃ) M        ∇_Σ J = -(R + γBᵀPB)/(1-γ)

where the last entry of P also holds (tr RΣ + γ tr PS)/(1-γ). With x̃ = (x, 1) an offset of the mean
is one more column of K̃. (Fazel, Ge, Kakade & Mesbahi 2018, Lemma 1, for γ = 1 and Σ fixed)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import check_counts
from pgbench.exact.linear_quadratic.bounds import Enclosed, Ending, Endless
from pgbench.exact.linear_quadratic.lyapunov import lyapunov
from pgbench.exact.truth import Truth, evaluate
from pgbench.policies.gaussian import Gaussian
from pgbench.policies.law import Law
from pgbench.problems import LinearQuadratic
from pgbench.problems.problem import SolveError
from pgbench.problems.quadratic import Quadratic
from pgbench.process.process import GaussianProcess

FORMS_BYTES = 2**32
"""Most that the exact values of every step of a finite horizon may take."""

_OBJECT = 1000
"""Bytes that two forms take beside their numbers."""


@dataclass(frozen=True, eq=False)
class QuadraticTruth(Truth):
    """Exact quantities of one Gaussian policy on one linear-quadratic problem.

    Attributes are those of every truth; these have shapes of their own:

    Attributes
    ----------
    pi
        The law of actions.
    v, q
        Quadratic forms, unit reward; with a horizon the values with H steps to go.
    visitation
        (n+1, n+1) float64, Σ_{t<H} γ^t E[x̃_t x̃_tᵀ] of x̃ = (x, 1).
    weights
        (m+1, n+1+m) float64, the table whose pull-back is the gradient.
    error_bound
        Bound on the errors of the entries of V's matrix; NaN where none could be proven, and for
        truths that ``evaluate`` did not make.
    """

    mdp: LinearQuadratic
    policy: Gaussian
    pi: Law
    v: Quadratic
    q: Quadratic
    weights: FloatArray

    @cached_property
    def advantage(self) -> Quadratic:
        """A = Q - V, unit reward."""
        return self.q - self.v

    @cached_property
    def process(self) -> GaussianProcess:
        """The problem under the policy, what data come from."""
        return GaussianProcess(self.mdp, self.pi, self.pi)

    @cached_property
    def enclosed(self) -> Enclosed:
        """What is proven of the errors; see ``bounds``."""
        if self.horizon is None:
            return Endless(self)
        forms = [v.state for v, _ in finite_forms(self.mdp, self.pi, self.horizon)]
        P = np.concatenate([np.zeros((1, *forms[0].shape)), -np.stack(forms)])
        return Ending(self, P, occupancy(self.mdp, self.pi, self.horizon))

    @cached_property
    def objective_bound(self) -> float:
        """Proven bound on the error of J, unit reward; NaN where none could be proven."""
        return self.enclosed.objective_error()

    @cached_property
    def gradient_bound(self) -> float:
        """Proven bound on ‖δ∇J‖ of the gradient's error δ∇J; NaN where none could be proven."""
        return self.enclosed.gradient_error()

    def one(self, r: int) -> "QuadraticTruth":
        """Of a truth of several θ the exact quantities of one alone."""
        return replace(
            self,
            theta=self.theta[r],
            pi=Law(self.pi.gain[r], self.pi.covariance[r]),
            v=Quadratic(self.v.matrix[r], self.mdp.n),
            q=Quadratic(self.q.matrix[r], self.mdp.n),
            visitation=self.visitation[r],
            objective=float(np.asarray(self.objective)[r]),
            weights=self.weights[r],
            gradient=self.gradient[r],
        )

    def each(self, function: Callable[[Any], Any], *shape: int) -> Any:
        """``function`` of this truth; of several θ that of each, stacked to (m, *shape)."""
        if self.theta.ndim == 1:
            return function(self)
        found = np.empty((len(self.theta), *shape))
        for r in range(len(self.theta)):
            found[r] = function(self.one(r))
        return found

    def fisher(self) -> FloatArray:
        """F (d, d): one block for the mean, one for the covariance."""
        means, own = self.policy.fisher(self.theta, self.state_weights)
        k = len(means)
        F = np.zeros((k + len(own), k + len(own)))
        F[:k, :k], F[k:, k:] = means, own
        return F

    def natural(self, g: FloatArray) -> FloatArray:
        """F†g (..., d)."""
        return self.policy.natural(self.theta, self.state_weights, g)

    def kl(self, theta: Any) -> float:
        """E_{x~ρ} KL(π(·|x) ‖ π_θ(·|x)) to another θ (d,), in nats.

        ½ (tr Σ'⁻¹Σ - m + log |Σ'|/|Σ| + tr Σ'⁻¹ ΔK̃ E[x̃x̃ᵀ] ΔK̃ᵀ), ρ = (1-γ) times the visits.
        """
        own, other = self.pi, self.policy.law(self.policy.check(theta))
        moved = other.gain - own.gain
        apart = float(np.sum(other.precision * own.covariance) - self.mdp.m)
        shifted = float(np.sum(other.precision * (moved @ self.state_weights @ moved.T)))
        steps = float(self.state_weights[-1, -1])
        wider = float(other.log_volume - own.log_volume)
        return steps * (0.5 * apart + wider) + 0.5 * shifted

    def kl_expansion(self, delta: Any) -> float:
        """½ δᵀF δ, the divergence of a small step δ (d,)."""
        step = np.asarray(delta, np.float64)
        return float(0.5 * step @ self.fisher() @ step)


@evaluate.register
def evaluate_quadratic(
    mdp: LinearQuadratic, policy: Any, theta: Any, horizon: int | None = None
) -> QuadraticTruth:
    """Values, visits and gradient of a Gaussian policy on a linear-quadratic problem."""
    if not isinstance(policy, Gaussian):
        raise ValueError(
            f"policy is {policy!r}, must be made by make_policy for a linear-quadratic problem"
        )
    if (policy.problem.n, policy.problem.m) != (mdp.n, mdp.m):
        raise ValueError(
            f"the policy has (n, m) = {(policy.problem.n, policy.problem.m)}, the problem"
            f" {(mdp.n, mdp.m)}"
        )
    theta = policy.check(theta)
    if horizon is None:
        if mdp.gamma == 1:
            raise SolveError("gamma is 1: J is infinite over an infinite horizon; give a horizon")
        policy.require_stable(theta)
        with np.errstate(over="ignore", invalid="ignore"):
            truth = unending(mdp, policy, theta, lyapunov)
        truth = replace(truth, objective=float(truth.objective))
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            truth = ending(mdp, policy, theta, horizon)
    return replace(truth.finite(), error_bound=truth.enclosed.value_error())


def ending(
    mdp: LinearQuadratic, policy: Gaussian, theta: FloatArray, horizon: int
) -> QuadraticTruth:
    """The truth with a horizon."""
    check_counts(horizon=horizon)
    law = policy.law(theta)
    forms = finite_forms(mdp, law, horizon)
    v, q = forms[-1]
    M, weights = finite_sums(mdp, law, [form for _, form in forms])
    return QuadraticTruth(
        mdp=mdp,
        policy=policy,
        theta=theta,
        horizon=horizon,
        pi=law,
        v=v,
        q=q,
        visitation=M,
        objective=float((v.state * mdp.start).sum()),
        weights=weights,
        gradient=policy.pull_back(theta, weights),
        error_bound=np.nan,
    )


Solver = Callable[[FloatArray, FloatArray, float], FloatArray]
"""From a, c (..., n, n) and a decay to X = c + decay·aᵀXa."""


def unending(
    mdp: LinearQuadratic, policy: Gaussian, theta: FloatArray, solve: Solver
) -> QuadraticTruth:
    """The truth of the infinite horizon; of several θ (m, d) if the solver can do with that.

    θ must be stable. J is an array then, without axes of one θ.
    """
    law = policy.law(theta)
    P = solve(closed_loop(mdp, law), stage_cost(mdp, law), mdp.gamma)
    v = Quadratic.of_state(-with_constant(mdp, law, P), mdp.n, mdp.m)
    q, M = action_values(mdp, v), visits(mdp, law, solve=solve)
    weights = score_weights(q, law, M)
    return QuadraticTruth(
        mdp=mdp,
        policy=policy,
        theta=theta,
        horizon=None,
        pi=law,
        v=v,
        q=q,
        visitation=M,
        objective=(v.state * mdp.start).sum(axis=(-2, -1)),
        weights=weights,
        gradient=policy.pull_back(theta, weights),
        error_bound=np.nan,
    )


def closed_loop(mdp: LinearQuadratic, law: Law) -> FloatArray:
    """Ã_c = Ã + B̃K̃ (n+1, n+1)."""
    A, B = mdp.dynamics
    return np.asarray(A + B @ law.gain, np.float64)


def spread(mdp: LinearQuadratic, law: Law) -> FloatArray:
    """S̃ (n+1, n+1): the covariance W + BΣBᵀ that a step adds."""
    S = np.zeros((*law.covariance.shape[:-2], mdp.n + 1, mdp.n + 1))
    S[..., : mdp.n, : mdp.n] = mdp.noise + mdp.B @ law.covariance @ mdp.B.T
    return S


def stage_cost(mdp: LinearQuadratic, law: Law) -> FloatArray:
    """Q̃ + K̃ᵀRK̃ (n+1, n+1)."""
    return np.swapaxes(law.gain, -1, -2) @ mdp.R @ law.gain - mdp.reward.state


def with_constant(mdp: LinearQuadratic, law: Law, P: FloatArray) -> FloatArray:
    """P with (tr RΣ + γ tr PS)/(1-γ) added to its last entry."""
    gamma, added = mdp.gamma, np.zeros_like(P)
    per_step = _trace(mdp.R, law.covariance) + gamma * _trace(P, spread(mdp, law))
    added[..., -1, -1] = per_step / (1 - gamma)
    return P + added


def _trace(a: FloatArray, b: FloatArray) -> FloatArray:
    """tr ab of symmetric matrices (..., k, k)."""
    return np.asarray(np.sum(a * b, axis=(-2, -1)), np.float64)


def visits(
    mdp: LinearQuadratic, law: Law, decay: float | None = None, solve: Solver = lyapunov
) -> FloatArray:
    """M (n+1, n+1) = Σ_t δ^t E[x̃_t x̃_tᵀ] over the infinite horizon; δ is γ if not given."""
    delta = mdp.gamma if decay is None else decay
    constant = mdp.start + delta / (1 - delta) * spread(mdp, law)
    return solve(np.swapaxes(closed_loop(mdp, law), -1, -2), constant, delta)


def action_values(mdp: LinearQuadratic, v: Quadratic, decay: float | None = None) -> Quadratic:
    """r(x, u) + γ E[v(x')] as a form of (x, u)."""
    return mdp.reward + (mdp.gamma if decay is None else decay) * following(mdp, v)


def following(mdp: LinearQuadratic, v: Quadratic) -> Quadratic:
    """E[v(x') | x, u] as a form of (x, u)."""
    move = np.concatenate(mdp.dynamics, axis=1)
    form = Quadratic(move.T @ v.state @ move, mdp.n)
    return form + _trace(v.state[..., : mdp.n, : mdp.n], mdp.noise)


def mean_over_actions(q: Quadratic, law: Law) -> Quadratic:
    """E[q(x, u) | x] as a form of the state."""
    *several, m, k = law.gain.shape
    lift = np.concatenate([np.broadcast_to(np.eye(k), (*several, k, k)), law.gain], axis=-2)
    form = Quadratic.of_state(np.swapaxes(lift, -1, -2) @ q.matrix @ lift, q.n, m)
    return form + _trace(q.action, law.covariance)


def score_weights(q: Quadratic, law: Law, M: FloatArray) -> FloatArray:
    """E[q (e, 1)(x̃, e)ᵀ] (m+1, n+1+m) with x̃x̃ᵀ of mean M, less what no pull-back sees.

    E[q e x̃ᵀ] = Σ 2(q_ux + q_uu K̃) M, and E[q (eeᵀ - Σ)] = 2 Σ q_uu Σ times the number of steps.
    """
    *several, m, columns = law.gain.shape
    table = np.zeros((*several, m + 1, columns + m))
    table[..., :m, :columns] = law.covariance @ q.action_slope(law.gain) @ M
    steps = M[..., -1:, -1:]
    table[..., :m, columns:] = 2 * law.covariance @ q.action @ law.covariance * steps
    return table


def finite_forms(mdp: LinearQuadratic, law: Law, horizon: int) -> list[tuple[Quadratic, Quadratic]]:
    """V_h and Q_h for h = 1, ..., H steps to go; ValueError where they are too many to hold."""
    needed = horizon * (_OBJECT + 16 * (mdp.n + 1 + mdp.m) ** 2)
    if needed > FORMS_BYTES:
        raise ValueError(
            f"horizon is {horizon}: the values of every step take {needed / 2**30:.3g} GiB, at most"
            f" {FORMS_BYTES / 2**30:g} GiB are allowed, {FORMS_BYTES * horizon // needed} steps"
            f" with {mdp.n} states and {mdp.m} actions"
        )
    v = Quadratic.of_state(np.zeros((mdp.n + 1, mdp.n + 1)), mdp.n, mdp.m)
    found = []
    for _ in range(horizon):
        q = action_values(mdp, v)
        v = mean_over_actions(q, law)
        found.append((v, q))
    return found


def occupancy(mdp: LinearQuadratic, law: Law, horizon: int) -> FloatArray:
    """E[x̃_t x̃_tᵀ], t = 0, ..., H-1, shape (H, n+1, n+1)."""
    closed, S = closed_loop(mdp, law), spread(mdp, law)
    out = np.empty((horizon, mdp.n + 1, mdp.n + 1))
    N = mdp.start
    for t in range(horizon):
        out[t] = N
        N = closed @ N @ closed.T + S
    return out


def finite_visits(
    mdp: LinearQuadratic, law: Law, horizon: int, decay: float | None = None
) -> FloatArray:
    """Σ_t δ^t E[x̃_t x̃_tᵀ], t < H, shape (n+1, n+1); δ is γ if not given."""
    delta = mdp.gamma if decay is None else decay
    return np.tensordot(delta ** np.arange(horizon), occupancy(mdp, law, horizon), axes=1)


def finite_sums(
    mdp: LinearQuadratic, law: Law, forms: list[Quadratic], decay: float | None = None
) -> tuple[FloatArray, FloatArray]:
    """Σ_t δ^t E[x̃_tx̃_tᵀ], and the weights Σ_t δ^t E[q_{H-t} (e, 1)(x̃, e)ᵀ], t < H.

    forms are q_1, ..., q_H, by the number of steps to go.
    """
    delta = mdp.gamma if decay is None else decay
    horizon = len(forms)
    N = occupancy(mdp, law, horizon)
    discounts = delta ** np.arange(horizon)
    weights = np.zeros((mdp.m + 1, mdp.n + 1 + mdp.m))
    for t in range(horizon):
        weights += discounts[t] * score_weights(forms[horizon - 1 - t], law, N[t])
    return np.tensordot(discounts, N, axes=1), weights
