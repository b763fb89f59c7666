"""Gaussian policies with a linear or affine mean, for continuous states and actions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import BoolArray, FloatArray, IndexArray
from pgbench.declared.parameters import Choice, Range
from pgbench.policies.law import Law
from pgbench.policies.policy import Parameterised, PolicyDimensions, PolicyKind
from pgbench.problems import LinearQuadratic
from pgbench.problems.dimensions import QuadraticDimensions

LEAST, MOST = 1e-100, 1e100
"""Least and largest variance: its square and inverse square are numbers with room to spare."""


class Unstable(ValueError):
    """A gain for which J is not finite; the message holds the spectral radius."""


@dataclass(frozen=True, eq=False)
class Gaussian(Parameterised):
    """u ~ N(Kx + b, Σ): θ holds K (m, n) row by row, then b (m,) if affine, then Σ's parameters.

    Those are, by ``scale`` and ``covariance``:

        variance, diagonal   the diagonal of Σ
        variance, full       Σ's lower triangle, row by row
        log_std, diagonal    log standard deviations
        log_std, full        L with Σ = LLᵀ, row by row, its diagonal as logarithms

    Weights are tables (m+1, n+1+m): Σ w (e, 1)(x, 1, e)ᵀ with e = u - Kx - b, from which every
    score follows:  ∇_K log π = Σ⁻¹ e xᵀ,  ∇_Σ log π = ½ Σ⁻¹(eeᵀ - Σ)Σ⁻¹.

    Attributes
    ----------
    problem
        Whose states and actions these are.
    affine
        Whether the mean has an offset b.
    full
        Whether Σ is a full matrix.
    log_std
        Whether Σ is given by logarithms.
    start_gain, start_variance
        θ_0 where it is not drawn: K as a multiple of ones on the diagonal, and Σ of the identity.
    floor
        Least variance that ascent on Σ itself keeps to.
    """

    problem: LinearQuadratic
    affine: bool = False
    full: bool = False
    log_std: bool = False
    start_gain: float = 0.0
    start_variance: float = 1.0
    floor: float = 1e-6

    @property
    def n_means(self) -> int:
        """Number of parameters of the mean, which come first."""
        return self.problem.m * (self.problem.n + self.affine)

    @property
    def n_parameters(self) -> int:
        """d = m·n (+ m) + m, or + m(m+1)/2."""
        m = self.problem.m
        return self.n_means + (m * (m + 1) // 2 if self.full else m)

    @cached_property
    def rows(self) -> tuple[IndexArray, IndexArray]:
        """Rows and columns of Σ, or of L, in the order of θ."""
        m = self.problem.m
        if self.full:
            return np.tril_indices(m)
        return np.arange(m), np.arange(m)

    def law(self, theta: FloatArray) -> Law:
        """The distribution of actions that θ (..., d) says; ValueError where Σ is not positive."""
        covariance = self._covariance(theta)
        if not self._positive(covariance).all():
            where = f"theta[{self.n_means}:]" if self.problem.m > 1 else f"theta[{self.n_means}]"
            shown = ", ".join(f"{x:g}" for x in np.ravel(theta[..., self.n_means :])[:4])
            raise ValueError(
                f"{where} is {shown}: the variance must be positive, from {LEAST:g} to {MOST:g}"
            )
        return Law(self._unpacked(theta), covariance)

    def _unpacked(self, theta: FloatArray) -> FloatArray:
        """K̃ (..., m, n+1) from the mean's part of θ (..., d)."""
        n, m = self.problem.n, self.problem.m
        table = np.zeros((*theta.shape[:-1], m, n + 1))
        table[..., :n] = self.gain(theta)
        if self.affine:
            table[..., n] = theta[..., m * n : self.n_means]
        return table

    def _packed(self, table: NDArray[Any]) -> list[NDArray[Any]]:
        """A table (..., m, n or n+1) in the order of θ: K, then b if affine."""
        n, m = self.problem.n, self.problem.m
        gain = table[..., :n].reshape(*table.shape[:-2], m * n)
        return [gain, table[..., n]] if self.affine else [gain]

    def gain(self, theta: FloatArray) -> FloatArray:
        """K (..., m, n) of θ (..., d)."""
        n, m = self.problem.n, self.problem.m
        return theta[..., : m * n].reshape(*theta.shape[:-1], m, n)

    def _covariance(self, theta: FloatArray) -> FloatArray:
        m = self.problem.m
        rows, columns = self.rows
        values = theta[..., self.n_means :]
        square = np.zeros((*theta.shape[:-1], m, m))
        if self.log_std:
            with np.errstate(over="ignore", invalid="ignore"):
                square[..., rows, columns] = np.where(rows == columns, np.exp(values), values)
                return np.asarray(square @ np.swapaxes(square, -1, -2), np.float64)
        square[..., rows, columns] = values
        square[..., columns, rows] = values
        return square

    @staticmethod
    def _positive(covariance: FloatArray) -> BoolArray:
        """Which matrices (..., m, m) have eigenvalues from ``LEAST`` to ``MOST``."""
        finite = np.asarray(np.isfinite(covariance).all(axis=(-2, -1)))
        safe = np.where(finite[..., None, None], covariance, np.eye(covariance.shape[-1]))
        values = np.linalg.eigvalsh(safe)
        return np.asarray(finite & (values >= LEAST).all(-1) & (values <= MOST).all(-1), bool)

    def stable(self, thetas: FloatArray) -> BoolArray:
        """Which θ (..., d) have gains with which J is finite over the infinite horizon, (...)."""
        return np.asarray(self._radius(thetas) < 1, bool)

    def allowed(self, thetas: FloatArray) -> BoolArray:
        """Which θ (..., d) are stable and have a positive covariance, (...)."""
        return self.stable(thetas) & self._positive(self._covariance(thetas))

    def _radius(self, theta: FloatArray) -> FloatArray:
        """√γ times the spectral radius of A + BK, (...)."""
        return self.problem.stability(self.gain(theta))

    def pull_back(self, theta: FloatArray, weights: FloatArray, states: Any = None) -> FloatArray:
        """Σ w ψ (..., d) from tables Σ w (e, 1)(x, 1, e)ᵀ, shape (..., m+1, n+1+m)."""
        n, m = self.problem.n, self.problem.m
        law = self.law(theta)
        square, count = weights[..., :m, n + 1 :], weights[..., m, n]
        inner = square - count[..., None, None] * law.covariance
        slope = 0.5 * law.precision @ inner @ law.precision
        return self.from_slopes(theta, law.precision @ weights[..., :m, : n + 1], slope)

    def from_slopes(
        self, theta: FloatArray, gain: FloatArray, covariance: FloatArray
    ) -> FloatArray:
        """Derivatives along θ (..., d) from those along K̃ (..., m, n+1) and Σ (..., m, m)."""
        slope = (covariance + np.swapaxes(covariance, -1, -2)) / 2
        rows, columns = self.rows
        if self.log_std:
            own = self._by_factor(theta, 2 * slope)
        else:
            own = slope[..., rows, columns] * np.where(rows == columns, 1.0, 2.0)
        return np.concatenate([*self._packed(gain), own], axis=-1)

    def _by_factor(self, theta: FloatArray, slope: FloatArray) -> FloatArray:
        """Derivatives along logarithmic parameters from S (..., m, m); that along L is S L."""
        rows, columns = self.rows
        L = self.law(theta).factor
        values = (slope @ L)[..., rows, columns]
        logarithmic = values * L[..., rows, columns]
        return np.asarray(np.where(rows == columns, logarithmic, values), np.float64)

    def pathwise(self, theta: FloatArray, tables: FloatArray) -> FloatArray:
        """Σ (∂u/∂θ)ᵀ g (..., d) from tables Σ g (x, 1, e)ᵀ, shape (..., m, n+1+m).

        g is the slope along u = K̃x̃ + Lξ with e = Lξ and L Cholesky's factor of Σ, as in rollouts.
        """
        n, m = self.problem.n, self.problem.m
        L = self.law(theta).factor
        inverse = np.linalg.inv(L)
        turned = np.swapaxes(inverse, -1, -2)
        # dL = L Φ(L⁻¹ dΣ L⁻ᵀ), Φ the lower triangle with half the diagonal (Murray 2016).
        lower = np.tril(np.swapaxes(L, -1, -2) @ tables[..., n + 1 :] @ turned)
        lower[..., np.arange(m), np.arange(m)] /= 2
        return self.from_slopes(theta, tables[..., : n + 1], turned @ lower @ inverse)

    def scores(self, theta: FloatArray, lifted: FloatArray, noise: FloatArray) -> FloatArray:
        """ψ (..., d) at x̃ = (x, 1), shape (..., n+1), and e (..., m)."""
        law = self.law(theta)
        scaled = noise @ law.precision
        slope = 0.5 * (scaled[..., :, None] * scaled[..., None, :] - law.precision)
        return self.from_slopes(theta, scaled[..., :, None] * lifted[..., None, :], slope)

    def fisher(self, theta: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Blocks of E[ψψᵀ]: of the mean's and of Σ's parameters, from E[x̃x̃ᵀ] (n+1, n+1)."""
        law = self.law(theta)
        k = self.problem.n + self.affine
        means = self._by_gain(np.asarray(np.kron(law.precision, second[:k, :k]), np.float64))
        return means, self._covariance_block(law, second)

    def _by_gain(self, block: FloatArray) -> FloatArray:
        """Rows and columns by action and x̃ in the order of θ: K first, then b."""
        order = np.arange(self.n_means).reshape(self.problem.m, -1)
        own = np.concatenate(self._packed(order))
        return block[np.ix_(own, own)]

    def _covariance_block(self, law: Law, second: FloatArray) -> FloatArray:
        """E[ψ_i ψ_j] = ½ tr(Σ⁻¹ ∂_iΣ Σ⁻¹ ∂_jΣ) of the parameters of Σ, (..., k, k)."""
        rows, columns = self.rows
        k, m = rows.size, self.problem.m
        moves = np.zeros((*law.covariance.shape[:-2], k, m, m))
        if self.log_std:
            L = law.factor
            size = np.where(rows == columns, L[..., rows, columns], 1.0)
            along = np.swapaxes(L, -1, -2)[..., columns, :]
            moves[..., np.arange(k), rows, :] = size[..., None] * along
            moves = moves + np.swapaxes(moves, -1, -2)
        else:
            moves[..., np.arange(k), rows, columns] = 1.0
            moves[..., np.arange(k), columns, rows] = 1.0
        scaled = law.precision[..., None, :, :] @ moves
        block = 0.5 * np.einsum("...iab,...jba->...ij", scaled, scaled)
        return np.asarray(block * second[..., -1:, -1:], np.float64)

    def natural(self, theta: FloatArray, second: FloatArray, g: FloatArray) -> FloatArray:
        """F†g (..., d) from E[x̃x̃ᵀ] (..., n+1, n+1): Σ G E[x̃x̃ᵀ]⁻¹ of the mean's part G."""
        law, k = self.law(theta), self.problem.n + self.affine
        G = self._unpacked(g)[..., :k]
        means = law.covariance @ G @ np.linalg.pinv(second[..., :k, :k], hermitian=True)
        own = np.linalg.pinv(self._covariance_block(law, second), hermitian=True)
        rest = (own @ g[..., self.n_means :, None])[..., 0]
        return np.concatenate([*self._packed(means), rest], axis=-1)

    def forms(self, theta: FloatArray) -> FloatArray:
        """ψ as tables (d, m+1, n+1+m): ψ_k = Σ C_k ∘ (e, 1)(x, 1, e)ᵀ; for few parameters."""
        n, m = self.problem.n, self.problem.m
        size = (m + 1) * (n + 1 + m)
        units = np.eye(size).reshape(size, m + 1, n + 1 + m)
        return self.pull_back(theta, units).T.reshape(-1, m + 1, n + 1 + m)

    def retract(self, thetas: FloatArray) -> FloatArray:
        """Variances raised to the least one that is allowed, where θ holds them."""
        if self.log_std:
            return thetas
        out = thetas.copy()
        if not self.full:
            out[:, self.n_means :] = np.maximum(out[:, self.n_means :], self.floor)
            return out
        rows, columns = self.rows
        for theta in out:
            S = self._covariance(theta)
            values, vectors = np.linalg.eigh(S)
            if values.min() < self.floor:
                S = (vectors * np.maximum(values, self.floor)) @ vectors.T
                theta[self.n_means :] = S[rows, columns]
        return out

    def given(self, values: Sequence[float]) -> FloatArray:
        """θ (d,) from its values; ValueError if they do not fit or are not stable."""
        theta = self.check(values)
        self.require_stable(theta)
        return theta

    def require_stable(self, theta: FloatArray) -> None:
        """Raise Unstable where J(θ) is not finite over the infinite horizon."""
        radius, gamma = float(self._radius(theta)), self.problem.gamma
        if not radius < 1:
            closed = radius / np.sqrt(gamma) if gamma > 0 else np.inf
            raise Unstable(
                f"theta is not stable: A + BK has the spectral radius {closed:.6g}, must be below"
                f" 1/√γ = {1 / np.sqrt(gamma):.6g}, or J is infinite"
            )

    def initial(self, seed: int = 0, init: str = "normal", scale: float = 1.0) -> FloatArray:
        """θ_0 (d,): the gain the policy starts with, or that with normal numbers added.

        Where K = 0 is not stable and no gain is given the optimal one takes its place. ``scale``
        times standard normals over √n are added to K, and to b, halved until at least half of the
        distance to instability is left.
        """
        from pgbench.problems.riccati import optimal_gain

        n, m = self.problem.n, self.problem.m
        theta = np.zeros(self.n_parameters)
        theta[: m * n] = (self.start_gain * np.eye(m, n)).ravel()
        if not self.stable(theta) and self.start_gain == 0:
            theta[: m * n] = optimal_gain(self.problem).ravel()
        self.require_stable(theta)
        rows, columns = self.rows
        own = 0.5 * np.log(self.start_variance) if self.log_std else self.start_variance
        theta[self.n_means :] = np.where(rows == columns, own, 0.0)
        if init == "zeros":
            return theta
        if init not in ("normal", "own"):
            raise ValueError(f"init is {init!r}, must be normal, zeros or own")
        drawn = np.random.default_rng(seed).standard_normal(self.n_means) * scale / np.sqrt(n)
        allowed = (1 + self._radius(theta)) / 2
        while True:
            moved = theta.copy()
            moved[: self.n_means] += drawn
            if self._radius(moved) <= allowed:
                return moved
            drawn = drawn / 2


def gaussian(
    mdp: LinearQuadratic,
    mean: Annotated[str, Choice(("linear", "affine")), "Kx, or Kx + b"] = "linear",
    covariance: Annotated[str, Choice(("diagonal", "full")), "of the actions"] = "diagonal",
    scale: Annotated[
        str, Choice(("variance", "log_std")), "θ holds variances, or log standard deviations"
    ] = "variance",
    gain: Annotated[float, "K of θ_0, on the diagonal; 0 is the optimum if 0 is not stable"] = 0.0,
    variance: Annotated[float, Range(LEAST, MOST), "of θ_0, of every action"] = 1.0,
    floor: Annotated[float, Range(LEAST, MOST), "least variance in ascent on variances"] = 1e-6,
) -> Gaussian:
    """Gaussian with a linear or affine mean: u ~ N(Kx + b, Σ), for linear-quadratic problems.

    In the scalar case θ = (θ1, θ2) with u ~ N(θ1 x, θ2), θ2 the variance. A θ that is not stable is
    refused.
    """
    return Gaussian(
        mdp, mean == "affine", covariance == "full", scale == "log_std", gain, variance, floor
    )


def dimensions(
    problem: QuadraticDimensions, mean: str, covariance: str, **other: Any
) -> PolicyDimensions:
    """How large a Gaussian policy is: beside its law nothing counts."""
    n, m = problem.n, float(problem.m)
    spread = m * (m + 1) / 2 if covariance == "full" else m
    return PolicyDimensions(m * (n + (mean == "affine")) + spread)


kind = PolicyKind(
    "gaussian",
    gaussian,
    formula=r"u \sim N(Kx + b, \Sigma)",
    reference="Williams 1992, Section 6; Kakade 2001; Peters & Schaal 2008",
    on=LinearQuadratic,
    dimensions=dimensions,
)
