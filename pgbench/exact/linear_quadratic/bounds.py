"""Proven bounds on the errors of V, J and ∇J of a Gaussian policy.

With x̃ = (x, 1) the matrix of -V is the fixed point P* of a linear map that keeps order,

    T(X) = C + S(X),   S(X) = γaᵀXa + γ tr(XN) eeᵀ,   a = Ã + B̃K̃,  N = W + BΣBᵀ

with e the last unit vector. A computed P leaves R = T(P) - P, and the error E = P* - P is what
E = R + S(E) says. With w_i the sums of the rows of |R|, R lies between ±diag w (Gershgorin), so

    -Y ⪯ E ⪯ Y,  Y = diag w + S(Y),   and   |E_ij| ≤ √(Y_ii Y_jj)

A computed Y ≻ 0 that leaves a residual between ±η diag w, η < 1, proves that S has a spectral
radius below 1 (Lyapunov), and Y/(1-η) bounds the exact one. This is the comparison of ``linear``
with matrices in place of vectors: the bound is as large as the inverse of 1 - S makes it, however
small the residual is. Second moments M of x̃ are bounded likewise, and with a horizon Y_h = diag w_h
+ S(Y_{h-1}) bounds the error of V_h. The rest follows in the arithmetic of ``balls``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.linear_quadratic.balls import Ball, norm, positive_definite
from pgbench.exact.linear_quadratic.lyapunov import lyapunov
from pgbench.exact.truth import Truth
from pgbench.policies.gaussian import Gaussian
from pgbench.problems import LinearQuadratic

Step = Callable[[Ball], Ball]
Sums = Callable[[FloatArray], FloatArray]

_EPS = float(np.finfo(np.float64).eps)

_POWER = 4 * _EPS
"""Relative error of a power or exponential, with a margin over the 4 ulp that NumPy promises."""


@dataclass(frozen=True, eq=False)
class Enclosed(ABC):
    """The quantities of a truth, its problem and its law as balls that hold the exact ones.

    Bounds are NaN where none could be proven.
    """

    truth: Truth

    @property
    def mdp(self) -> LinearQuadratic:
        """The problem."""
        problem: LinearQuadratic = self.truth.mdp
        return problem

    @property
    def policy(self) -> Gaussian:
        """The policy."""
        own: Gaussian = self.truth.policy
        return own

    @property
    @abstractmethod
    def value(self) -> Ball:
        """P* (n+1, n+1) with V = -x̃ᵀPx̃."""

    @property
    @abstractmethod
    def slope(self) -> tuple[Ball, Ball]:
        """∇J along K̃ (m, n+1) and along Σ (m, m)."""

    def value_error(self) -> float:
        """Bound on the errors of the entries of V's matrix, unit reward."""
        with np.errstate(over="ignore", invalid="ignore"):
            return _proven((-self.value).error_of(self.truth.v.state).max())

    def objective_error(self) -> float:
        """Bound on the error of J, unit reward."""
        with np.errstate(over="ignore", invalid="ignore"):
            J = -(self.value * self.start).total()
            return _proven(J.error_of(self.truth.objective))

    def gradient_error(self) -> float:
        """Bound on the Euclidean norm of the error of ∇J, reward per unit of θ."""
        with np.errstate(over="ignore", invalid="ignore"):
            errors = self._along_theta(*self.slope).error_of(self.truth.gradient)
            return _proven(norm(errors))

    @cached_property
    def closed(self) -> Ball:
        """Ã + B̃K̃ (n+1, n+1)."""
        A, B = self.mdp.dynamics
        return A + Ball.of(B) @ self.truth.pi.gain

    @cached_property
    def factor(self) -> Ball:
        """L (m, m) with Σ = LLᵀ, of a θ that holds logarithms."""
        rows, columns = self.policy.rows
        values, diagonal = self.truth.theta[self.policy.n_means :], rows == columns
        L, spread = np.zeros((2, self.mdp.m, self.mdp.m))
        L[rows, columns] = np.where(diagonal, np.exp(values), values)
        spread[rows, columns] = np.where(diagonal, _POWER * np.exp(values), 0.0)
        return Ball(L, spread)

    @cached_property
    def covariance(self) -> Ball:
        """Σ (m, m)."""
        if self.policy.log_std:
            return self.factor @ self.factor.T
        return Ball.of(self.truth.pi.covariance)

    @cached_property
    def spread(self) -> Ball:
        """N (n+1, n+1): the covariance that a step adds."""
        B = Ball.of(self.mdp.B)
        return _lifted(B @ self.covariance @ B.T + self.mdp.noise)

    @cached_property
    def positive(self) -> Ball:
        """N with so much of I added that |tr EN| is at most its trace with any Y ⪰ ±E.

        A given noise may have eigenvalues of -1e-12 of its size.
        """
        n, size = self.mdp.n, float(np.abs(self.mdp.noise).max())
        return self.spread + _lifted(Ball.of(2 * size * (1e-12 + 4 * n**2 * _EPS) * np.eye(n)))

    @cached_property
    def cost(self) -> Ball:
        """C (n+1, n+1): Q̃ + K̃ᵀRK̃, and tr RΣ in its last entry."""
        gain = Ball.of(self.truth.pi.gain)
        noise = (self.covariance * self.mdp.R).total()
        return gain.T @ self.mdp.R @ gain - self.mdp.reward.state + _last(noise, self.mdp.n)

    @cached_property
    def start(self) -> Ball:
        """E[x̃_0 x̃_0ᵀ] (n+1, n+1)."""
        x = Ball.of(np.append(self.mdp.start_mean, 1.0))
        return x[:, None] * x[None, :] + _lifted(Ball.of(self.mdp.start_covariance))

    def backward(self, X: Ball, spread: Ball) -> Ball:
        """S(X) of X (..., n+1, n+1) with another N."""
        later = _last((X * spread).total(), self.mdp.n)
        return self.mdp.gamma * (self.closed.T @ X @ self.closed + later)

    def moved(self, X: Ball) -> Ball:
        """aXaᵀ of X (..., n+1, n+1)."""
        return self.closed @ X @ self.closed.T

    def slopes(self, P: Ball) -> tuple[Ball, Ball]:
        """What moments of x̃ times is ∇_K̃ J, and ∇_Σ J of a step, where -x̃ᵀPx̃ follows."""
        A, B = (Ball.of(x) for x in self.mdp.dynamics)
        after = self.mdp.gamma * (B.T @ P)
        curvature = after @ B + self.mdp.R
        return -2.0 * (curvature @ self.truth.pi.gain + after @ A), -curvature

    def _along_theta(self, gain: Ball, covariance: Ball) -> Ball:
        """Slopes along θ (d,) from those along K̃ (m, n+1) and Σ (m, m)."""
        n, (rows, columns) = self.mdp.n, self.policy.rows
        pieces, diagonal = [gain[:, :n].ravel()], rows == columns
        if self.policy.affine:
            pieces.append(gain[:, n])
        if self.policy.log_std:
            L = self.factor[rows, columns]
            size = Ball(np.where(diagonal, L.mid, 1.0), np.where(diagonal, L.rad, 0.0))
            pieces.append((2.0 * (covariance @ self.factor))[rows, columns] * size)
        else:
            pieces.append(covariance[rows, columns] * np.where(diagonal, 1.0, 2.0))
        return Ball(
            np.concatenate([piece.mid for piece in pieces]),
            np.concatenate([piece.rad for piece in pieces]),
        )


class Endless(Enclosed):
    """Over the infinite horizon."""

    @cached_property
    def value(self) -> Ball:
        """P*, the fixed point of T."""
        P = -self.truth.v.state
        reached = self.cost + self.backward(Ball.of(P), self.spread)
        return _solution(P, reached, self._compared, self._compared_sum)

    @cached_property
    def moments(self) -> Ball:
        """M* = E[x̃_0x̃_0ᵀ] + γ/(1-γ) N + γaM*aᵀ."""
        gamma, M = self.mdp.gamma, self.truth.visitation
        longest = (1 - Ball.of(gamma)).inverse()
        reached = self.start + gamma * (longest * self.spread + self.moved(Ball.of(M)))
        back = self.closed.mid.T
        return _solution(
            M, reached, lambda Y: gamma * self.moved(Y), lambda c: lyapunov(back, c, gamma)
        )

    @property
    def slope(self) -> tuple[Ball, Ball]:
        """∇J along K̃ and Σ."""
        gain, covariance = self.slopes(self.value)
        return gain @ self.moments, covariance * (1 - Ball.of(self.mdp.gamma)).inverse()

    def _compared(self, Y: Ball) -> Ball:
        """S(Y), or more."""
        return self.backward(Y, self.positive)

    def _compared_sum(self, c: FloatArray) -> FloatArray:
        """Y = c + S(Y), computed."""
        gamma, Y = self.mdp.gamma, lyapunov(self.closed.mid, c, self.mdp.gamma)
        Y[-1, -1] += gamma * float(np.sum(Y * self.positive.mid)) / (1 - gamma)
        return Y


@dataclass(frozen=True, eq=False)
class Ending(Enclosed):
    """Values and occupancies of a finite horizon, enclosed.

    Attributes
    ----------
    values
        (H+1, n+1, n+1) float64, computed P_h with 0, ..., H steps to go.
    occupied
        (H, n+1, n+1) float64, computed E[x̃_t x̃_tᵀ].
    """

    values: FloatArray
    occupied: FloatArray

    @cached_property
    def followed(self) -> Ball:
        """P*_h with 0, ..., H steps to go."""
        P, nothing = self.values, np.zeros_like(self.values[:1])
        reached = self.cost + self.backward(Ball.of(P[:-1]), self.spread)
        errors = _errors(reached.error_of(P[1:]), lambda Y: self.backward(Y, self.positive))
        return Ball(P, np.concatenate([nothing, errors]))

    @property
    def value(self) -> Ball:
        """P*_H."""
        return self.followed[-1]

    @property
    def slope(self) -> tuple[Ball, Ball]:
        """∇J_H along K̃ and Σ."""
        N = self.occupied
        ahead = self.moved(Ball.of(N[:-1])) + self.spread
        left = np.concatenate([self.start.error_of(N[0])[None], ahead.error_of(N[1:])])
        gain, covariance = self.slopes(self.followed[-2::-1])
        powers = self.mdp.gamma ** np.arange(float(len(N)))
        discounts = Ball(powers, _POWER * powers)[:, None, None]
        moments = Ball(N, _errors(left, self.moved))
        return (
            (discounts * (gain @ moments)).total(axis=0),
            (discounts * covariance).total(axis=0),
        )


def _proven(error: FloatArray | float) -> float:
    """The bound, or NaN where it is not finite."""
    return float(error) if np.isfinite(error) else float("nan")


def _solution(X: FloatArray, reached: Ball, step: Step, solve: Sums) -> Ball:
    """A ball around X that holds the fixed point, where X leads to ``reached``.

    step
        The linear part S, or more of it.
    solve
        From c (n+1, n+1) to a computed Y with Y = c + S(Y).
    """
    residual = _symmetric(reached.error_of(X))
    rows = _row_sums(residual)
    size = float(rows.max())
    if np.isfinite(size) and size > 0:
        for weights in (np.maximum(rows / size, 2.0**-40), np.ones_like(rows)):
            Y = solve(np.diag(weights))
            left = _symmetric((np.diag(weights) + step(Ball.of(Y))).error_of(Y))
            share = float((_row_sums(left) / weights).max())
            if share < 0.5 and positive_definite(Y):
                return Ball(X, size * _entries(Y) / (1 - share) * (1 + 8 * _EPS))
    return Ball(X, np.full_like(X, 0.0 if size == 0 else np.inf))


def _errors(residuals: FloatArray, step: Step) -> FloatArray:
    """Bounds (H, n+1, n+1) on errors E_h = R_h + S(E_{h-1}), from those on R_h."""
    Y, found = np.zeros_like(residuals[0]), np.empty_like(residuals)
    for h, residual in enumerate(residuals):
        after = step(Ball.of(Y))
        middle = (after.mid + after.mid.T) / 2
        more = _symmetric(residual) + _symmetric(after.rad) + _EPS * np.abs(middle)
        Y = middle + np.diag(_row_sums(more) + _EPS * np.abs(np.diagonal(middle)))
        found[h] = _entries(Y) * (1 + 8 * _EPS)
    return found


def _symmetric(bound: FloatArray) -> FloatArray:
    """Bounds on entries that hold for a symmetric matrix."""
    return np.maximum(bound, bound.T)


def _row_sums(bound: FloatArray) -> FloatArray:
    """Sums of rows, rounded up."""
    return np.asarray(bound.sum(axis=1) * (1 + (len(bound) + 2) * _EPS), np.float64)


def _entries(Y: FloatArray) -> FloatArray:
    """√(Y_ii Y_jj) (n, n)."""
    root = np.sqrt(np.diagonal(Y))
    return np.asarray(root[:, None] * root, np.float64)


def _lifted(block: Ball) -> Ball:
    """The block of x as one of x̃, with zeros."""
    edge = ((0, 1), (0, 1))
    return Ball(np.pad(block.mid, edge), np.pad(block.rad, edge))


def _last(value: Ball, n: int) -> Ball:
    """Matrices (..., n+1, n+1) with numbers (...) in their last entry, zeros elsewhere."""
    mid, rad = np.zeros((2, *value.mid.shape, n + 1, n + 1))
    mid[..., n, n], rad[..., n, n] = value.mid, value.rad
    return Ball(mid, rad)
