"""An estimator is data: four tables and a shape.

    x_t = σ_t + κ_t x_{t+1},   D_0 = 1,  D_{t+1} = δ_t D_t
    ĝ(τ) = Σ_t D_t (x_t - β_t) ψ_t     "per-step"
    ĝ(τ) = (x_0 - β_0) Σ_t ψ_t         "total"

The same record drives the compiled rollout kernel, the exact moments, and the enumeration of all
trajectories.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pgbench.exact.values import Truth
from pgbench.parameters import Parameter, Range, bind, parameters_of
from pgbench.problems import FiniteMDP

FloatArray = NDArray[np.float64]

Discounted = Annotated[bool, "whether step t carries γ^t; without it the estimator is biased"]
CriticNoise = Annotated[
    float, Range(0), "error of the critic: v = V + noise·rms(V)·ξ(s), ξ ~ N(0, 1) fixed"
]

CAUSES = {
    "truncation": "unbiased for the gradient of the H-step objective",
    "tail": "unbiased for ∇J less the score terms beyond step H",
    "discount": "biased: the factor γ^t is missing",
    "critic": "biased by the error of the critic",
}


@dataclass(frozen=True, eq=False)
class Tables:
    """One estimator on one problem and policy.

    sigma (S, A, B), kappa, beta, delta (S, A) float64; zero on terminal states. ``total`` selects
    the total shape, in which delta is not used.
    """

    sigma: FloatArray
    kappa: FloatArray
    beta: FloatArray
    delta: FloatArray
    total: bool

    @classmethod
    def build(
        cls,
        mdp: FiniteMDP,
        *,
        sigma: ArrayLike = 0.0,
        kappa: ArrayLike = 0.0,
        beta: ArrayLike = 0.0,
        delta: ArrayLike = 1.0,
        total: bool = False,
    ) -> "Tables":
        """Tables from anything that broadcasts to their shapes, cleared on terminal states."""

        def fill(value: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
            table = np.array(np.broadcast_to(np.asarray(value, np.float64), shape))
            table[mdp.terminal] = 0.0
            return table

        pairs = (mdp.n_states, mdp.n_actions)
        return cls(
            sigma=fill(sigma, mdp.probability.shape),
            kappa=fill(kappa, pairs),
            beta=fill(beta, pairs),
            delta=fill(delta, pairs),
            total=total,
        )


@dataclass(frozen=True)
class TableEstimator:
    """A score-function estimator as a function from exact quantities and parameters to tables.

    Attributes
    ----------
    name
        Name in the API, in grids and in reports.
    tables
        ``tables(truth, *, parameter=...) -> Tables``; its keywords are the parameters.
    bias
        ``bias(**values)`` gives the causes of bias, keys of ``CAUSES``, for given parameters.
    formula
        ĝ of one trajectory, as LaTeX mathematics.
    reference
        Author, year and equation.
    """

    name: str
    tables: Callable[..., Tables]
    bias: Callable[..., tuple[str, ...]]
    formula: str
    reference: str

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """The declared parameters by name."""
        return parameters_of(self.tables, skip=1)

    @property
    def summary(self) -> str:
        """First line of the tables' description."""
        return (self.tables.__doc__ or "").strip().splitlines()[0]

    def make(self, truth: Truth, **given: Any) -> Tables:
        """The tables with these parameters; ValueError lists everything that is wrong with them."""
        return self.tables(truth, **bind(self.name, self.parameters, given))

    def causes(self, **given: Any) -> tuple[str, ...]:
        """Why the estimator's mean differs from ∇J with these parameters: keys of ``CAUSES``."""
        return self.bias(**bind(self.name, self.parameters, given))


def step_discount(truth: Truth, discounted: bool) -> float:
    """δ: γ, or 1 for the variants that leave γ^t out."""
    return truth.mdp.gamma if discounted else 1.0


def noisy_critic(truth: Truth, noise: float) -> FloatArray:
    """v (S,) = V + noise·rms(V)·ξ with fixed standard normal ξ; zero on terminal states."""
    xi = np.random.default_rng(20000521).standard_normal(truth.v.size)
    v = truth.v + noise * np.sqrt(np.mean(truth.v**2)) * xi
    return np.where(truth.mdp.terminal, 0.0, v)


def td_error(truth: Truth, v: FloatArray) -> FloatArray:
    """r(s,a,s') + γ v(s') - v(s) per slot, shape (S, A, B)."""
    mdp = truth.mdp
    return mdp.reward + mdp.gamma * v[mdp.successor] - v[:, None, None]
