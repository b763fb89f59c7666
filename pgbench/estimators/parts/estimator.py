"""An estimator is a record: how it estimates, what biases it, where it comes from.

There are two shapes. A *table estimator* makes four tables and is simulated, enumerated and worked
out exactly by one piece of code each. A *batch estimator* is a function of batches of trajectories.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, singledispatch
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.causes import HORIZON
from pgbench.declared.parameters import (
    Formula,
    Parameter,
    Range,
    bind,
    parameters_of,
    write_formula,
)
from pgbench.exact.expectation import expectation
from pgbench.exact.horizon import finite_gradient, truncated_gradient
from pgbench.exact.linear_quadratic import QuadraticTruth
from pgbench.exact.table_moments import Size, TooLarge
from pgbench.exact.truth import Truth
from pgbench.problems import FiniteMDP, LinearQuadratic, NotApplicable, Problem
from pgbench.problems.problem import Diverges
from pgbench.problems.quadratic import Quadratic, Transition
from pgbench.process.process import random_horizon
from pgbench.process.tables import Tables

Discounted = Annotated[bool, "whether step t carries γ^t; without it the estimator is biased"]
CriticNoise = Annotated[
    float,
    Range(0),
    "error of the critic, exact at 0: v = V + noise·rms(V)·ξ(s), ξ ~ N(0, 1) fixed",
]

UNDECLARED = "it does not declare that it takes many policies at once"
"""Why an estimator is asked for one policy at a time that says nothing of it."""

Target = Literal["gradient", "natural gradient"]

DRIVEN = "drives its rollouts by numbers of its own"
"""Why those take no groups that do not ask for batches."""

EVERYWHERE: tuple[type[Problem], ...] = (FiniteMDP, LinearQuadratic)
"""For estimators of both classes of problems."""

_CRITIC_SEED = 20000521

CRITIC_NOISE = 0.1
"""Noise of the critic that users' own estimators are given."""


class Exact(NamedTuple):
    """Exact moments of an estimate, (d,) each; None where they are not known."""

    mean: FloatArray | None
    variance: FloatArray | None = None


@dataclass(frozen=True)
class Estimator(ABC):
    """What every estimator declares.

    Attributes
    ----------
    name
        Name in the API, in grids and in reports.
    bias
        ``bias(**values)`` gives the causes of bias, keys of ``CAUSES``, for given parameters.
    formula
        ĝ of one trajectory or batch, as LaTeX mathematics; where it depends on parameters a
        function of them, for ``written``.
    reference
        Author, year and equation.
    cures
        For causes of bias the parameter values without them, so that a bias can be split; that of
        ``batch`` is an endless batch and need not be given.
    target
        What is estimated, ∇J or the natural gradient F†∇J.
    on
        Classes of problems that it is for.
    unbounded
        ``unbounded(**values)`` says whether it multiplies ratios of probabilities along a
        trajectory and nothing bounds the product: one estimate may then outweigh all others, and
        what a sample lacks it cannot show.
    penalised
        Whether it differentiates the penalty of an objective in a way of its own, and so makes no
        sense where there is none.
    corrects
        Whether it weighs data by ratios, or knows another behaviour policy: what is biased where
        data come from a sampler is then among the causes that it declares.
    off_policy
        ``off_policy(**values)`` gives causes of bias that come before the others where data come
        from another policy than the one that learns, and are none on its own.
    own_data
        Why no sampler can give it its data; "" where one can.
    alone
        Why an ascent asks for one policy at a time; "" says that the estimator takes many at once:
        a truth, and batches, with the policies as first axis of every array.
    """

    name: str
    bias: Callable[..., tuple[str, ...]]
    formula: Formula
    reference: str
    cures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, kw_only=True)
    target: Target = field(default="gradient", kw_only=True)
    on: tuple[type[Problem], ...] = field(default=(FiniteMDP,), kw_only=True)
    unbounded: Callable[..., bool] = field(default=lambda **values: False, kw_only=True)
    penalised: bool = field(default=False, kw_only=True)
    corrects: bool = field(default=False, kw_only=True)
    off_policy: Callable[..., tuple[str, ...]] = field(default=lambda **values: (), kw_only=True)
    own_data: str = field(default="", kw_only=True)
    alone: str = field(default=UNDECLARED, kw_only=True)

    @property
    @abstractmethod
    def maker(self) -> Callable[..., Any]:
        """The function whose keywords are the parameters and whose docstring is the summary."""

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """The declared parameters by name."""
        return parameters_of(self.maker, skip=positional(self.maker))

    @property
    def summary(self) -> str:
        """First line of the description."""
        return (self.maker.__doc__ or "").strip().splitlines()[0]

    def bound(self, **given: Any) -> dict[str, Any]:
        """Every parameter's value; ValueError lists everything that is wrong with those given."""
        return bind(self.name, self.parameters, given)

    def causes(self, **given: Any) -> tuple[str, ...]:
        """Why the mean differs from the target with these parameters: keys of ``CAUSES``."""
        return self.bias(**self.bound(**given))

    def causes_elsewhere(self, **given: Any) -> tuple[str, ...]:
        """What comes before them where data come from another policy than the one that learns."""
        return self.off_policy(**self.bound(**given))

    def written(self, **given: Any) -> str:
        """The formula with these parameters, by default their defaults; LaTeX mathematics."""
        return write_formula(self.formula, self.parameters, given)

    def causes_at(self, truth: Truth, **given: Any) -> tuple[str, ...]:
        """Why the mean differs on these data, of a sampler or without some of the actions."""
        causes, sampled = self.causes(**given), truth.behaviour is not None
        if sampled:
            causes = (*self.causes_elsewhere(**given), *causes)
        causes += ("sampler",) * (sampled and not self.corrects)
        lost = self.corrects and truth.kept_mass < 1
        return causes + ("support",) * bool(truth.unseen or lost)

    def refuses(self, batch_size: int, group_size: int | None = None, /, **given: Any) -> str:
        """Why the estimator makes no sense at a batch size, in groups of a size, or nothing."""
        return ""

    def require(self, mdp: Problem) -> None:
        """Raise NotApplicable for a problem of a class that the estimator is not for."""
        if not isinstance(mdp, self.on):
            kinds = " and ".join(kind.kind for kind in self.on)
            raise NotApplicable(f"{self.name} is for {kinds} problems, {mdp.name} is {mdp.kind}")

    def require_data(self, elsewhere: bool) -> None:
        """Raise NotApplicable where data come from another policy and the estimator draws its own.

        ``elsewhere`` says whether they do.
        """
        if elsewhere and self.own_data:
            raise NotApplicable(f"{self.name} takes no sampler's data: {self.own_data}")

    @abstractmethod
    def mean(
        self,
        truth: Truth,
        horizon: int,
        batch_size: float,
        group_size: float | None = None,
        /,
        **given: Any,
    ) -> FloatArray | None:
        """Exact mean of an estimate (d,), or None where it is not known or has no limit.

        batch_size, and group_size where trajectories come in groups of one start, may be infinite.
        """

    def truth(self, truth: Truth) -> FloatArray:
        """What is estimated (d,), exactly."""
        return self.aimed(truth, truth.gradient)

    def aimed(self, truth: Truth, gradient: FloatArray) -> FloatArray:
        """A gradient (d,) as it is, or the natural one of it, as the target is."""
        return gradient if self.target == "gradient" else truth.natural(gradient)


def positional(function: Callable[..., Any]) -> int:
    """Number of arguments that are not keywords."""
    kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    return sum(kind is not inspect.Parameter.KEYWORD_ONLY for kind in kinds)


@dataclass(frozen=True)
class TableEstimator(Estimator):
    """A score-function estimator as a function from exact quantities and parameters to tables.

    Attributes
    ----------
    tables
        ``tables(truth, *, parameter=...) -> Tables``, or ``tables(truth, horizon, *, ...)`` where
        the tables depend on the horizon of the rollouts, None for one without limit.
    """

    tables: Callable[..., Tables] = field(kw_only=True)

    @property
    def maker(self) -> Callable[..., Any]:
        """The function that makes the tables."""
        return self.tables

    @cached_property
    def _positional(self) -> int:
        """Number of arguments that are not parameters; looked up once, for ascents ask often."""
        return positional(self.tables)

    def make(self, truth: Truth, horizon: int | None = None, /, **given: Any) -> Tables:
        """The tables with these parameters; ValueError lists everything that is wrong with them."""
        self.require(truth.mdp)
        arguments = (truth, horizon)[: self._positional]
        return self.tables(*arguments, **self.bound(**given))

    def mean(
        self,
        truth: Truth,
        horizon: int,
        batch_size: float,
        group_size: float | None = None,
        /,
        **given: Any,
    ) -> FloatArray | None:
        """Exact mean of an estimate (d,), the same at every batch size; None without a limit."""
        tables = self.make(truth, horizon, **given)
        try:
            return expectation(truth, tables, tables.process.within(horizon))
        except Diverges:
            return None


@dataclass(frozen=True)
class BatchEstimator(Estimator):
    """An estimator as a function of batches of trajectories.

    Attributes
    ----------
    estimate
        ``estimate(simulator, *, parameter=...)`` gives m estimates (m, d), each from trajectories
        of its own replicate alone; see ``pgbench.rollout.simulator``.
    moments
        ``moments(truth, horizon, batch_size, **values) -> Exact``, or None where neither is known.
        The batch size may be infinite. Where it gives no mean and no bias but that of the horizon
        is declared, the mean is what is declared. NotApplicable, raised here as in ``estimate``,
        says that the estimator makes no sense or is too large on this problem.
    like
        ``like(truth, horizon, **values)`` are the tables of an estimator with the same mean, which
        is then known on the boundary of the simplex too, where it is not what is declared.
    anywhere
        Whether ``moments`` are right wherever data come from; else they are those of data of the
        policy itself, and nothing is known under a sampler.
    fewest, needs
        Smallest batch size that makes sense, and what parameters need beside it.
    drawing
        Why it takes no groups: how it draws trajectories itself. "" says that it asks for batches.
    limit
        Memory and operations that sums over responses may take to know its moments; None for what
        they take by default.
    """

    estimate: Callable[..., FloatArray] = field(kw_only=True)
    moments: Callable[..., Exact] | None = field(default=None, kw_only=True)
    like: Callable[..., Tables] | None = field(default=None, kw_only=True)
    anywhere: bool = field(default=False, kw_only=True)
    fewest: int = field(default=1, kw_only=True)
    needs: Callable[..., int] = field(default=lambda **values: 1, kw_only=True)
    drawing: str = field(default="", kw_only=True)
    limit: Size | None = field(default=None, kw_only=True)

    @property
    def maker(self) -> Callable[..., Any]:
        """The function that estimates."""
        return self.estimate

    def least(self, **given: Any) -> int:
        """Smallest batch size that makes sense with these parameters."""
        return max(self.fewest, self.needs(**self.bound(**given)))

    def refuses(self, batch_size: int, group_size: int | None = None, /, **given: Any) -> str:
        """Why the estimator makes no sense at a batch size, in groups of a size, or nothing."""
        if group_size and self.drawing:
            return f"{self.name} takes no groups: it {self.drawing}"
        least = self.least(**given)
        if batch_size >= least:
            return ""
        return f"the batch size is {batch_size}, {self.name} needs at least {least}"

    def mean(
        self,
        truth: Truth,
        horizon: int,
        batch_size: float,
        group_size: float | None = None,
        /,
        **given: Any,
    ) -> FloatArray | None:
        """Exact mean of an estimate (d,), or None where it is not known."""
        return self.exact(truth, horizon, batch_size, group_size, **given).mean

    def exact(
        self,
        truth: Truth,
        horizon: int,
        batch_size: float,
        group_size: float | None = None,
        /,
        **given: Any,
    ) -> Exact:
        """Exact mean and variance of an estimate (d,), as far as they are known.

        Moments are those of independent trajectories: of groups nothing is known but what is
        declared, unless all trajectories have one start, where groups change nothing.
        """
        self.require(truth.mdp)
        values = self.bound(**given)
        exact = self.known(truth, horizon, batch_size, group_size, values)
        if exact.mean is not None or not self._holds_on(truth):
            return exact
        if truth.unseen:
            own = truth.on_policy
            tables = self.like(own, horizon, **values) if self.like else None
            return Exact(None if tables is None else expectation(own, tables, horizon))
        causes = set(self.bias(**values))
        if truth.behaviour is not None:
            causes |= set(self.off_policy(**values))
        if np.isinf(batch_size):
            causes.discard("batch")
        if not causes <= HORIZON:
            return Exact(None, exact.variance)
        return Exact(self.aimed(truth, declared_mean(truth, horizon, causes)), exact.variance)

    def known(
        self,
        truth: Truth,
        horizon: int,
        batch_size: float,
        group_size: float | None,
        values: Mapping[str, Any],
    ) -> Exact:
        """What linear algebra says of an estimate's moments, unless they are too large for it."""
        grouped = bool(group_size and group_size > 1) and not truth.mdp.one_start
        if self.moments and not grouped and (self.anywhere or self._holds_on(truth)):
            with suppress(TooLarge):
                return self.moments(truth, horizon, batch_size, **values)
        return Exact(None)

    def _holds_on(self, truth: Truth) -> bool:
        """Whether what is declared of the mean is right on these data."""
        return truth.behaviour is None or (self.corrects and truth.kept_mass == 1)


def declared_mean(truth: Truth, horizon: int, causes: set[str]) -> FloatArray:
    """∇J (d,), or what the horizon leaves of it."""
    if "truncation" in causes:
        return finite_gradient(truth, horizon)
    return truncated_gradient(truth, horizon) if "tail" in causes else truth.gradient


def step_power(discounted: bool) -> str:
    """γ^t in a formula where step t carries it, else nothing."""
    return r"\gamma^t " if discounted else ""


def step_discount(truth: Truth, discounted: bool) -> float:
    """δ: γ, or 1 for the variants that leave γ^t out."""
    return truth.mdp.gamma if discounted else 1.0


@singledispatch
def noisy_critic(truth: Truth, noise: float) -> Any:
    """v (S,) = V + noise·rms(V)·ξ with fixed standard normal ξ; zero on terminal states.

    Of several policies (m, S), each with values of its own, every one has its own rms. On a
    linear-quadratic problem ξ is a quadratic form with fixed standard normal coefficients over the
    square root of their number, in coordinates in which visited states have unit size, and rms(V)
    is that of V's coefficients there, the constant left out.
    """
    xi = np.random.default_rng(_CRITIC_SEED).standard_normal(truth.mdp.n_states)
    v = truth.v + noise * np.sqrt(np.mean(truth.v**2, axis=-1, keepdims=True)) * xi
    return np.where(truth.mdp.terminal, 0.0, v)


@noisy_critic.register
def _(truth: QuadraticTruth, noise: float) -> Quadratic:
    if noise == 0:
        return truth.v
    size = truth.v.state.shape[-1]
    xi = np.random.default_rng(_CRITIC_SEED).standard_normal((size, size))
    scale = np.sqrt(np.diagonal(truth.state_weights, axis1=-2, axis2=-1))
    scale = np.where(scale > 0, scale, 1.0)
    sizes = scale[..., :, None] * scale[..., None, :]
    own = truth.v.state * sizes
    own[..., -1, -1] = 0.0
    typical = np.sqrt(np.sum(own**2, axis=(-2, -1), keepdims=True))
    error = (xi + xi.T) / 2 / size * typical / sizes
    return truth.v + noise * Quadratic.of_state(error, truth.mdp.n, truth.mdp.m)


def unmasked_critic(truth: Truth) -> FloatArray:
    """A noisy critic (S,) that has the mean of the others for terminal states, as networks may.

    Nothing tells a network that such states are worth nothing, so (1 - done) must.
    """
    v, ends = noisy_critic(truth, CRITIC_NOISE), truth.mdp.terminal
    return np.where(ends, v[~ends].mean(), v)


@singledispatch
def td_error(truth: Truth, v: Any) -> Any:
    """r(s,a,s') + γ v(s') - v(s) per slot, shape (S, A, B), or as a function of a transition."""
    mdp = truth.mdp
    return mdp.reward + mdp.gamma * v[..., mdp.successor] - v[..., None, None]


@td_error.register
def _(truth: QuadraticTruth, v: Quadratic) -> Transition:
    return Transition(truth.mdp.reward - v, truth.mdp.gamma * v)


def by_state(v: Any) -> Any:
    """A function v of the state as one of state and action: (S, 1), or the form itself."""
    return v if isinstance(v, Quadratic) else v[..., None]


def at_random_horizon(truth: Truth, weight: FloatArray) -> Tables:
    """Tables that weigh the score of one pair drawn from ρ by ``weight`` (S, A) over 1-γ."""
    process = random_horizon(truth.mdp, truth.process.pi, collect=False)
    beta = np.zeros(process.pi.shape)
    beta[..., process.scored, :] = -weight / (1 - truth.mdp.gamma)
    return Tables.build(process, beta=beta)
