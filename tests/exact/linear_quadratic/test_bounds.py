"""Bounds on the errors of V, J and ∇J against rational arithmetic."""

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.exact.linear_quadratic.lyapunov import lyapunov
from pgbench.exact.linear_quadratic.values import closed_loop, stage_cost
from pgbench.policies import make_policy
from pgbench.problems import LinearQuadratic, make_problem
from tests.support.numbers import rational_solve

fractions = np.vectorize(Fraction, otypes=[object])


def exponential(x):
    """exp x to 60 digits."""
    with localcontext() as context:
        context.prec = 60
        return Fraction(Decimal(float(x)).exp())


class Rational:
    """V's matrix, J and ∇J by the formulas of ``values``, exact for θ and the problem's floats."""

    def __init__(self, truth, solve):
        self.policy, self.theta, self.solve = truth.policy, truth.theta, solve
        mdp = self.mdp = truth.mdp
        n, self.gamma = mdp.n, Fraction(mdp.gamma)
        A, self.B = (fractions(x) for x in mdp.dynamics)
        self.A, self.K, self.R = A, fractions(truth.pi.gain), fractions(mdp.R)
        self.a = A + self.B @ self.K
        self.L, covariance = self._covariance()
        self.N = fractions(np.zeros((n + 1, n + 1)))
        self.N[:n, :n] = fractions(mdp.noise) + self.B[:n] @ covariance @ self.B[:n].T
        self.cost = self.K.T @ self.R @ self.K - fractions(mdp.reward.state)
        self.cost[n, n] += (self.R * covariance).sum()
        x = fractions(np.append(mdp.start_mean, 1.0))
        self.start = np.outer(x, x)
        self.start[:n, :n] += fractions(mdp.start_covariance)

    def _covariance(self):
        m, values = self.mdp.m, self.theta[self.policy.n_means :]
        L = fractions(np.zeros((m, m)))
        for i, j, x in zip(*self.policy.rows, values, strict=True):
            own = exponential(x) if self.policy.log_std and i == j else Fraction(x)
            L[i, j] = own
            if not self.policy.log_std:
                L[j, i] = own
        return (L, L @ L.T) if self.policy.log_std else (None, L)

    def later(self, P):
        """γaᵀPa + γ tr(PN) eeᵀ."""
        after = self.a.T @ P @ self.a
        after[-1, -1] += (P * self.N).sum()
        return self.gamma * after

    def fixed_point(self, constant, step):
        """X = constant + step(X), a linear system in the upper triangle of X."""
        k = len(constant)
        upper = list(zip(*np.triu_indices(k), strict=True))
        matrix = []
        for i, j in upper:
            unit = fractions(np.zeros((k, k)))
            unit[i, j] = unit[j, i] = Fraction(1)
            matrix.append([(unit - step(unit))[at] for at in upper])
        found = self.solve(np.array(matrix).T, [constant[at] for at in upper])
        X = fractions(np.zeros((k, k)))
        for (i, j), x in zip(upper, found, strict=True):
            X[i, j] = X[j, i] = x
        return X

    def slopes(self, P):
        after = self.gamma * (self.B.T @ P)
        curvature = after @ self.B + self.R
        return -2 * (curvature @ self.K + after @ self.A), -curvature

    def endless(self):
        """P, J and ∇J over the infinite horizon."""
        g = self.gamma
        P = self.fixed_point(self.cost, self.later)
        constant = self.start + g / (1 - g) * self.N
        M = self.fixed_point(constant, lambda X: g * (self.a @ X @ self.a.T))
        gain, covariance = self.slopes(P)
        return P, -(P * self.start).sum(), self.along(gain @ M, covariance / (1 - g))

    def ending(self, horizon):
        """The same with a horizon."""
        P, N = [0 * self.cost], [self.start]
        for _ in range(horizon):
            P.append(self.cost + self.later(P[-1]))
            N.append(self.a @ N[-1] @ self.a.T + self.N)
        slopes = [self.slopes(P[horizon - 1 - t]) for t in range(horizon)]
        gain = sum(self.gamma**t * (slopes[t][0] @ N[t]) for t in range(horizon))
        covariance = sum(self.gamma**t * slopes[t][1] for t in range(horizon))
        return P[-1], -(P[-1] * self.start).sum(), self.along(gain, covariance)

    def along(self, gain, covariance):
        n, rows = self.mdp.n, list(zip(*self.policy.rows, strict=True))
        pieces = [*gain[:, :n].ravel(), *(gain[:, n] if self.policy.affine else [])]
        if self.policy.log_std:
            slope = 2 * covariance @ self.L
            pieces += [slope[i, j] * (self.L[i, j] if i == j else 1) for i, j in rows]
        else:
            pieces += [covariance[i, j] * (1 if i == j else 2) for i, j in rows]
        return np.array(pieces)


def errors(truth, exact):
    """Largest error of V's matrix, error of J, norm of that of ∇J."""
    P, J, gradient = exact
    value = np.abs(fractions(-truth.v.state) - P).max()
    apart = fractions(truth.gradient) - gradient
    return (
        float(value),
        float(abs(Fraction(truth.objective) - J)),
        float(np.sqrt(float((apart**2).sum()))),
    )


def bounds_of(truth):
    return truth.error_bound, truth.objective_bound, truth.gradient_bound


def scaled_to(radius, n, m, seed, gamma=0.9, mean="affine", covariance="full", scale="log_std"):
    """A random problem, its policy, and a θ with √γ·(spectral radius of A + BK) as given."""
    rng = np.random.default_rng(seed)
    K = 0.3 * rng.standard_normal((m, n))
    B = rng.standard_normal((n, m))
    closed = rng.standard_normal((n, n))
    closed *= radius / np.sqrt(gamma) / np.abs(np.linalg.eigvals(closed)).max()
    roots = rng.standard_normal((3, n, n))
    mdp = LinearQuadratic(
        A=closed - B @ K,
        B=B,
        Q=roots[0] @ roots[0].T,
        R=np.eye(m) + 0.5,
        noise=roots[1] @ roots[1].T,
        start_mean=rng.standard_normal(n),
        start_covariance=roots[2] @ roots[2].T,
        gamma=gamma,
    )
    policy = make_policy("gaussian", mdp, mean=mean, covariance=covariance, scale=scale)
    theta = 0.3 * rng.standard_normal(policy.n_parameters)
    theta[: m * n] = K.ravel()
    if scale == "variance":
        own = theta[policy.n_means :]
        own[policy.rows[0] == policy.rows[1]] = 1.0 + rng.random(m)
    return mdp, policy, theta


KINDS = [
    {"mean": "linear", "covariance": "diagonal", "scale": "variance"},
    {"mean": "affine", "covariance": "full", "scale": "variance"},
    {"mean": "affine", "covariance": "full", "scale": "log_std"},
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: "-".join(k.values()))
@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("radius", [0.5, 0.99, 1 - 1e-6])
def test_errors_are_within_the_bounds(n, m, radius, kind):
    mdp, policy, theta = scaled_to(radius, n, m, seed=10 * n + m, **kind)
    truth = evaluate(mdp, policy, theta)
    exact = Rational(truth, rational_solve).endless()
    found, proven = errors(truth, exact), bounds_of(truth)
    assert all(0 <= e <= b for e, b in zip(found, proven, strict=True))
    # The bound says something: digits are lost as stability is, and not many more.
    sizes = np.abs(truth.v.matrix).max(), abs(truth.objective), np.linalg.norm(truth.gradient)
    lost = 1e-9 / (1 - radius) ** 2 * np.array([1e-3, 1e-3, 1])
    if radius < 0.999:
        assert (np.array(proven) <= lost * sizes).all()


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: "-".join(k.values()))
@pytest.mark.parametrize(("n", "radius"), [(1, 0.9), (2, 1.3), (3, 0.95)])
def test_errors_with_a_horizon_are_within_the_bounds(n, radius, kind):
    """Also of a gain that is not stable."""
    mdp, policy, theta = scaled_to(radius, n, 1, seed=n, **kind)
    truth = evaluate(mdp, policy, theta, horizon=9)
    found, proven = errors(truth, Rational(truth, rational_solve).ending(9)), bounds_of(truth)
    assert all(0 <= e <= b for e, b in zip(found, proven, strict=True))
    sizes = np.abs(truth.v.matrix).max(), abs(truth.objective), np.linalg.norm(truth.gradient)
    assert (np.array(proven) <= 1e-11 * np.array(sizes)).all()


@pytest.mark.parametrize("slack", [None, 1e-6, 1e-9])
def test_a_residual_over_one_less_gamma_is_no_bound(slack):
    """A closed loop of 1.02 with γ = .95, and scalars that are nearly unstable.

    The residual over 1-γ, which holds for finite problems, is below the error there.
    """
    a = 1.02 if slack is None else (1 - slack) / np.sqrt(0.95)
    mdp = LinearQuadratic(a + 0.5, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.95)
    truth = evaluate(mdp, make_policy("gaussian", mdp), [-0.5, 0.5])
    exact = Rational(truth, rational_solve).endless()
    error = float(abs(Fraction(float(-truth.v.state[0, 0])) - exact[0][0, 0]))
    closed, cost = closed_loop(mdp, truth.pi), stage_cost(mdp, truth.pi)
    P = lyapunov(closed, cost, mdp.gamma)
    residual = float(np.abs(cost - P + mdp.gamma * closed.T @ P @ closed).max())
    assert residual / (1 - mdp.gamma) < error
    assert error <= truth.error_bound
    assert errors(truth, exact)[0] <= truth.error_bound


def test_nothing_is_called_proven_where_rounding_hides_stability():
    mdp = LinearQuadratic(1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1 - 2.0**-52)
    truth = evaluate(mdp, make_policy("gaussian", mdp), [-(2.0**-60), 1.0])
    assert np.isnan([truth.error_bound, truth.objective_bound, truth.gradient_bound]).all()


def test_larger_problems_have_bounds_too():
    mdp = make_problem("lqg_random", n=30, m=3, seed=2)
    policy = make_policy("gaussian", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1, scale=0.1))
    assert 0 < truth.error_bound <= 1e-9 * np.abs(truth.v.matrix).max()
    assert 0 < truth.gradient_bound <= 1e-8 * np.linalg.norm(truth.gradient)
