"""An estimator is a record: how to make its tables, what biases it, where it comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from pgbench.exact.values import Truth
from pgbench.parameters import Parameter, Range, bind, parameters_of
from pgbench.process import random_horizon
from pgbench.tables import Tables

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


UNBIASED = "unbiased for ∇J"
"""What is said of an estimator without any cause of bias."""


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


def at_random_horizon(truth: Truth, weight: FloatArray) -> Tables:
    """Tables that weigh the score of one pair drawn from ρ by ``weight`` (S, A) over 1-γ."""
    process = random_horizon(truth.mdp, truth.pi, collect=False)
    beta = np.zeros(process.pi.shape)
    beta[process.scored] = -weight / (1 - truth.mdp.gamma)
    return Tables.build(process, beta=beta)
