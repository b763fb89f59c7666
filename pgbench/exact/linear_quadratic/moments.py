"""Exact variances of estimators on small linear-quadratic problems, without sampling.

Everything an estimator adds up is a polynomial of the state and the noise of its step, so expected
values given the state are polynomials of the state, with linear recursions in the number of steps
to go. With

    x_t = σ_t + κ x_{t+1},   G_t = (σ'_t + κ' x_{t+1}) φ_t + δ G_{t+1}

(σ' = σ - β, κ' = κ and φ = ψ for estimators by scores) the recursion follows E[x], E[x²], E[G],
E[xG] and E[G²], of degree six at most; of a total return E[x^i Z^j], i, j ≤ 2, with Z = Σ ψ.
Ratios of importance sampling multiply everything, so first moments are those under the policy and
second moments those under a Gaussian law with precision 2Σ⁻¹ - Σ_b⁻¹, times a constant.
"""

from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.expectation import expectation
from pgbench.exact.linear_quadratic.polynomials import NODES, Polynomials, nodes
from pgbench.exact.linear_quadratic.values import QuadraticTruth
from pgbench.exact.returns import Return, return_moments
from pgbench.exact.table_moments import (
    SUMS_LIMIT,
    Moments,
    NoFiniteVariance,
    Size,
    TooLarge,
    directional_variance,
    fits,
    moments_size,
    table_moments,
    truncation_bias,
)
from pgbench.problems.quadratic import Quadratic
from pgbench.process.tables import Forms

DEGREE = 6
"""Of the polynomials: that of the square of a quadratic times a linear score."""

ENTRIES = 2**25
"""Numbers of the largest array of the recursion: 256 MiB."""


@dataclass(frozen=True, eq=False)
class Step:
    """A step of a Gaussian policy as polynomials of the state, at every node of its noise.

    truth says problem and policy. ``covariance`` (m, m) is that of the actions' noise, ``factor``
    what expectations are multiplied by. States are scaled by their typical size.
    """

    truth: QuadraticTruth
    covariance: FloatArray
    factor: float = 1.0

    @cached_property
    def algebra(self) -> Polynomials:
        """Polynomials of the scaled state."""
        return Polynomials(self.truth.mdp.n, DEGREE)

    @cached_property
    def scale(self) -> FloatArray:
        """Typical size of every coordinate of the state, (n,)."""
        sizes = np.sqrt(np.diagonal(self.truth.state_weights)[:-1])
        return np.where(sizes > 0, sizes, 1.0)

    @cached_property
    def _lift(self) -> FloatArray:
        """(n+1, n+1) from scaled (y, 1) to (x, 1)."""
        return np.diag(np.append(self.scale, 1.0))

    @cached_property
    def _noise(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """e (q, m), w (q, n) and the weights (q,) of the nodes."""
        mdp = self.truth.mdp
        L, F = np.linalg.cholesky(self.covariance), mdp.noise_factor
        points, weights = nodes(mdp.m + F.shape[1])
        return points[:, : mdp.m] @ L.T, points[:, mdp.m :] @ F.T, self.factor * weights

    @property
    def weights(self) -> FloatArray:
        """Weights of the nodes, (q,)."""
        return self._noise[2]

    @cached_property
    def next(self) -> FloatArray:
        """(q, size, size): f to f(x') at every node."""
        mdp, (e, w, _) = self.truth.mdp, self._noise
        gain = self.truth.pi.gain
        closed = mdp.A + mdp.B @ gain[:, :-1]
        slope = closed * self.scale / self.scale[:, None]
        offsets = (e @ mdp.B.T + w + mdp.B @ gain[:, -1]) / self.scale
        return self.algebra.after(slope, offsets)

    def form(self, form: Quadratic) -> FloatArray:
        """A function of (x, u) as polynomials (q, size)."""
        e = self._noise[0]
        lift = np.zeros((len(e), form.matrix.shape[0], form.n + 1))
        lift[:, : form.n + 1] = np.eye(form.n + 1)
        lift[:, form.n + 1 :] = self.truth.pi.gain
        lift[:, form.n + 1 :, form.n] += e
        lift = lift @ self._lift
        return self.algebra.quadratic(np.swapaxes(lift, 1, 2) @ form.matrix @ lift)

    def later(self, form: Quadratic) -> FloatArray:
        """A function of x' as polynomials (q, size) of x."""
        own = self.algebra.quadratic(self._lift @ form.state @ self._lift)
        return np.asarray(self.next @ own, np.float64)

    def score(self, table: FloatArray) -> FloatArray:
        """Σ C ∘ (e, 1)(x̃, e)ᵀ of C (m+1, n+1+m), as polynomials (q, size) of x."""
        e = self._noise[0]
        left = np.concatenate([e, np.ones((len(e), 1))], axis=1) @ table
        n = self.truth.mdp.n
        coefficients = left[:, : n + 1] @ self._lift
        coefficients[:, n] += (left[:, n + 1 :] * e).sum(axis=1)
        return self.algebra.linear(coefficients)

    def product(self, *factors: FloatArray) -> FloatArray:
        """Products (q, size) of polynomials (q, size); the constant one of none."""
        out = np.zeros((self.weights.size, self.algebra.size))
        out[:, 0] = 1.0
        for f in factors:
            out = self.algebra.multiply(f, out)
        return out

    def operator(self, *factors: FloatArray) -> FloatArray:
        """(size, size): f to E[factors · f(x') | x], factors (q, size)."""
        return self.algebra.operator(self.weights[:, None] * self.product(*factors), self.next)

    def expected(self, *factors: FloatArray) -> FloatArray:
        """E[factors | x] (size,)."""
        return np.asarray(self.weights @ self.product(*factors), np.float64)

    def at_start(self, polynomials: FloatArray) -> FloatArray:
        """Expectations (...) of polynomials (..., size) of the first state."""
        mdp = self.truth.mdp
        points, weights = nodes(mdp.start_factor.shape[1])
        places = (mdp.start_mean + points @ mdp.start_factor.T) / self.scale
        powers = self.algebra.after(np.zeros((mdp.n, mdp.n)), places)[:, 0]
        return np.asarray(polynomials @ (weights @ powers), np.float64)


@dataclass(frozen=True, eq=False)
class Chain:
    """x and G of an estimator: σ, κ of x; σ', κ' of what multiplies φ; and δ.

    sigma, own: (here, after) forms; total whether Σ φ is multiplied by x_0 less a constant;
    behaviour (m, m) the covariance of actions that are drawn, if other than the policy's.
    """

    sigma: tuple[Quadratic, Quadratic]
    kappa: float
    own: tuple[Quadratic, Quadratic]
    own_kappa: float
    delta: float
    total: bool = False
    beta: float = 0.0
    behaviour: FloatArray | None = None


def second_moments(
    truth: QuadraticTruth, chain: Chain, scores: FloatArray, horizon: int
) -> tuple[FloatArray, FloatArray]:
    """E[G] and E[G²] (k,) of one trajectory, for scores φ given as tables (k, m+1, n+1+m)."""
    first = Step(truth, truth.pi.covariance)
    second = first if chain.behaviour is None else _tilted(truth, chain.behaviour)
    recursion = (Total if chain.total else PerStep)(first, second, chain)
    found = [recursion.follow(table, horizon) for table in scores]
    g, square = (np.array(column) for column in zip(*found, strict=True))
    return first.at_start(g), first.at_start(square)


def _tilted(truth: QuadraticTruth, behaviour: FloatArray) -> Step:
    """The law of second moments: density π²/μ, normalised, and what it integrates to."""
    covariance = truth.pi.covariance
    precision = 2 * np.linalg.inv(covariance) - np.linalg.inv(behaviour)
    if not np.linalg.eigvalsh(precision).min() > 0:
        raise NoFiniteVariance("ratios of densities have no second moment")
    tilted = np.linalg.inv(precision)
    determinants = np.linalg.det(behaviour) * np.linalg.det(tilted)
    return Step(
        truth, (tilted + tilted.T) / 2, float(np.sqrt(determinants) / np.linalg.det(covariance))
    )


def _signal(step: Step, pair: tuple[Quadratic, Quadratic]) -> FloatArray:
    here, after = pair
    return step.form(here) + (step.later(after) if after.matrix.any() else 0.0)


@dataclass(frozen=True, eq=False)
class PerStep:
    """The recursion of G; what does not depend on the score is worked out once.

    first, second are steps under the law of first and of second moments.
    """

    first: Step
    second: Step
    chain: Chain

    @cached_property
    def _signals(self) -> list[tuple[FloatArray, FloatArray]]:
        """σ and σ' (q, size) at the nodes of either law."""
        steps = (self.first, self.second)
        return [(_signal(x, self.chain.sigma), _signal(x, self.chain.own)) for x in steps]

    @cached_property
    def _shared(self) -> tuple[FloatArray, ...]:
        """What x obeys without any score: E[σ], E[σ²], and f(x') alone and times σ."""
        (s, _), (s2, _) = self._signals
        first, second = self.first, self.second
        return (
            first.expected(s),
            second.expected(s2, s2),
            first.operator(),
            second.operator(),
            second.operator(s2),
        )

    def follow(self, table: FloatArray, horizon: int) -> tuple[FloatArray, FloatArray]:
        """E[G | x] and E[G² | x] with ``horizon`` steps to go."""
        first, second, chain = self.first, self.second, self.chain
        k, k2, d = chain.kappa, chain.own_kappa, chain.delta
        (_, own), (s2, own2) = self._signals
        e_s, e_ss, plain, move, by_s = self._shared
        phi, phi2 = first.score(table), second.score(table)
        squared = second.product(phi2, phi2)
        e_g, along = first.expected(own, phi), first.operator(phi)
        e_sg, e_gg = second.expected(s2, own2, phi2), second.expected(own2, own2, squared)
        by_phi, by_phiphi = second.operator(phi2), second.operator(squared)
        by_sphi, by_ophi = second.operator(s2, phi2), second.operator(own2, phi2)
        by_ophiphi = second.operator(own2, squared)
        x, xx, g, xg, gg = np.zeros((5, first.algebra.size))
        for _ in range(horizon):
            x, xx, g, xg, gg = (
                e_s + k * (plain @ x),
                e_ss + 2 * k * (by_s @ x) + k * k * (move @ xx),
                e_g + k2 * (along @ x) + d * (plain @ g),
                e_sg
                + k2 * (by_sphi @ x)
                + d * (by_s @ g)
                + k * (by_ophi @ x)
                + k * k2 * (by_phi @ xx)
                + k * d * (move @ xg),
                e_gg
                + 2 * k2 * (by_ophiphi @ x)
                + k2 * k2 * (by_phiphi @ xx)
                + 2 * d * (by_ophi @ g + k2 * (by_phi @ xg))
                + d * d * (move @ gg),
            )
        return g, gg


class Total(PerStep):
    """The recursion of a total return: of E[x^i Z^j] with i, j ≤ 2 and Z = Σ φ."""

    def follow(self, table: FloatArray, horizon: int) -> tuple[FloatArray, FloatArray]:
        """E[(x_0 - b) Z | x] and E[(x_0 - b)² Z² | x]."""
        first, k, b = self.first, self.chain.kappa, self.chain.beta
        s, phi = self._signals[0][0], first.score(table)
        powers = [(i, j) for i in range(3) for j in range(3)]
        operators = {(i, j): first.operator(*[s] * i, *[phi] * j) for i, j in powers}
        choose = ((1,), (1, 1), (1, 2, 1))
        moment = {power: np.zeros(first.algebra.size) for power in powers}
        moment[0, 0][0] = 1.0
        for _ in range(horizon):
            # (σ + κx')^i (φ + Z')^j
            moment = {
                (i, j): sum(
                    (
                        choose[i][p]
                        * choose[j][q]
                        * k**p
                        * (operators[i - p, j - q] @ moment[p, q])
                        for p in range(i + 1)
                        for q in range(j + 1)
                    ),
                    start=np.zeros(first.algebra.size),
                )
                for i, j in powers
            }
        return (
            moment[1, 1] - b * moment[0, 1],
            moment[2, 2] - 2 * b * moment[1, 2] + b * b * moment[0, 2],
        )


def chain_of(tables: Forms) -> Chain:
    """The recursion of an estimator by scores."""
    beta = tables.beta.constant
    if tables.total and (tables.beta - beta).matrix.any():
        raise TooLarge("no exact variance: the baseline of a total return is not constant")
    return Chain(
        sigma=(tables.sigma, tables.after),
        kappa=tables.kappa,
        own=(tables.sigma - tables.beta, tables.after),
        own_kappa=tables.kappa,
        delta=tables.delta,
        total=tables.total,
        beta=beta,
        behaviour=tables.process.pi.covariance if tables.process.weighed else None,
    )


def size_of(truth: QuadraticTruth, columns: int, horizon: int | None) -> Size:
    """What the recursion takes for so many scores."""
    mdp = truth.mdp
    size = float(comb(mdp.n + DEGREE, DEGREE))
    entries = float(NODES) ** (mdp.m + mdp.noise_factor.shape[1]) * size**2
    steps = 15 * (horizon or 1) * size**2
    return Size(8 * 4 * entries, columns * (8 * entries * size + steps))


def _require(truth: QuadraticTruth, columns: int, horizon: int | None) -> int:
    if horizon is None:
        raise TooLarge("no exact variance: the horizon is not given")
    needed = size_of(truth, columns, horizon)
    if needed.memory_bytes > 32 * ENTRIES or not fits(needed, SUMS_LIMIT):
        raise TooLarge(
            f"too large for an exact variance: polynomials of degree {DEGREE} in"
            f" {truth.mdp.n} variables"
        )
    return horizon


def variance_of(
    truth: QuadraticTruth, chain: Chain, horizon: int, scores: FloatArray
) -> FloatArray:
    """Variance (k,) of G of a chain for scores φ as tables (k, m+1, n+1+m); TooLarge if it is."""
    first, second = second_moments(truth, chain, scores, _require(truth, len(scores), horizon))
    return np.maximum(second - first**2, 0.0)


@moments_size.register
def quadratic_moments_size(truth: QuadraticTruth, tables: Forms, horizon: int | None) -> Size:
    """What the recursion of polynomials takes for every coordinate."""
    return size_of(truth, truth.gradient.size, horizon)


@table_moments.register
def quadratic_table_moments(
    truth: QuadraticTruth,
    tables: Forms,
    horizon: int | None,
    *,
    limit: Size = SUMS_LIMIT,
    threads: int | None = None,
) -> Moments:
    """Mean and variance of every coordinate; see ``table_moments``."""
    average = expectation(truth, tables, horizon)
    steps = _require(truth, truth.gradient.size, horizon)
    scores = truth.policy.forms(truth.theta)
    variance = variance_of(truth, chain_of(tables), steps, scores)
    return Moments(
        mean=average,
        variance=variance,
        bias=average - truth.gradient,
        truncation_bias=truncation_bias(truth, tables, average, horizon),
    )


@directional_variance.register
def quadratic_directional_variance(
    truth: QuadraticTruth, tables: Forms, horizon: int | None, directions: FloatArray
) -> FloatArray:
    """Variance along directions, by the recursion of the coordinates."""
    steps = _require(truth, len(directions), horizon)
    scores = np.tensordot(directions, truth.policy.forms(truth.theta), axes=1)
    return variance_of(truth, chain_of(tables), steps, scores)


@return_moments.register
def quadratic_return_moments(truth: QuadraticTruth, horizon: int) -> Return:
    """Mean and variance by Sobel's recursion, of polynomials of the state."""
    _require(truth, 1, horizon)
    step = Step(truth, truth.pi.covariance)
    s, gamma = step.form(truth.mdp.reward), truth.mdp.gamma
    move, by_s = step.operator(), step.operator(s)
    e_s, e_ss = step.expected(s), step.expected(s, s)
    x, xx = np.zeros((2, step.algebra.size))
    for _ in range(horizon):
        x, xx = (
            e_s + gamma * (move @ x),
            e_ss + 2 * gamma * (by_s @ x) + gamma**2 * (move @ xx),
        )
    average = float(step.at_start(x))
    return Return(average, max(float(step.at_start(xx)) - average**2, 0.0))
