"""What is exact about one policy on one problem, whatever the problem's class."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, singledispatch
from typing import Any, Self

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.exact.penalty import Penalty
from pgbench.problems.problem import SolveError


@dataclass(frozen=True, eq=False)
class Truth(ABC):
    """Exact quantities of one policy on one problem.

    Values are tables for finite problems (``values.FiniteTruth``) and quadratic forms for
    linear-quadratic ones (``linear_quadratic.QuadraticTruth``). Functions of a truth such as
    ``expectation`` and ``table_moments`` dispatch on its class; formulas that hold for both, as
    those of estimators, are written once. A truth may also be of several policies at once
    (``several.FiniteTruths``, and ``QuadraticTruth``), with these as first axis of every array.

    Attributes
    ----------
    mdp, policy, theta
        What was evaluated.
    horizon
        Number of steps H after which rewards stop, or None for the infinite horizon.
    pi
        The distribution of actions: a table π(s, a), or a Gaussian law.
    v, q, advantage
        V, Q and A = Q - V, unit reward; with a horizon the values with H steps to go.
    objective
        J(θ), or J_H(θ), unit reward.
    gradient
        (d,) float64, ∇J or ∇J_H, reward per unit of θ.
    error_bound
        Bound on the largest error of V, unit reward.
    gradient_bound
        Bound on the length of the error of the gradient, reward per unit of θ.
    behaviour
        The distribution of actions that data come from; None where that is the policy's own.
    process
        What data come from, and estimators mostly simulate: the problem under the policy, or under
        the behaviour.
    penalty
        What the objective takes off the rewards of ``mdp``, or None where J is all there is.
    """

    mdp: Any
    policy: Any
    theta: FloatArray
    horizon: int | None
    pi: Any
    v: Any
    q: Any
    visitation: FloatArray
    objective: float
    gradient: FloatArray
    error_bound: float
    penalty: Penalty | None = field(default=None, kw_only=True)
    behaviour: Any = field(default=None, kw_only=True)

    def each(self, function: Callable[[Any], Any], *shape: int) -> Any:
        """``function`` of this truth; of a truth of several policies that of each of them.

        There the results, arrays of the given shape, are stacked: (m, *shape). An estimator asks
        so for what cannot be written with an axis of policies.
        """
        return function(self)

    @property
    def unseen(self) -> bool:
        """Whether actions that are never taken have a say in ∇J, which no estimator can see."""
        return False

    @property
    def on_policy(self) -> Self:
        """This truth with data from the policy itself."""
        return self if self.behaviour is None else self._own

    @cached_property
    def _own(self) -> Self:
        return replace(self, behaviour=None)

    @property
    def kept_mass(self) -> float:
        """Least probability, over visited states, of actions that data may hold; 1 if of all."""
        return 1.0

    @property
    def seen_gradient(self) -> FloatArray:
        """∇J (d,) less what actions that are never taken have to say."""
        return self.gradient

    @property
    def gradient_bound(self) -> float:
        """Proven bound on ‖δ∇J‖ of the gradient's error δ∇J; NaN where none is known."""
        return np.nan

    def finite(self) -> Self:
        """This truth, checked: SolveError where J or ∇J have overflowed."""
        numbers = {"J": np.array([self.objective]), "∇J": self.gradient}
        for name, values in numbers.items():
            bad = np.flatnonzero(~np.isfinite(values))
            if bad.size:
                largest = float(np.abs(self.theta).max(initial=0.0))
                raise SolveError(
                    f"{self.mdp.name}: {name}[{bad[0]}] is {values[bad[0]]}, must be finite; the"
                    f" largest entry of theta is {largest:g} in size, is it too extreme?"
                )
        return self

    @property
    def resolved(self) -> bool:
        """Whether the gradient has a direction: it is longer than its error may be."""
        norm = float(np.linalg.norm(self.gradient))
        return norm > 0 and not norm <= self.gradient_bound

    @property
    def unresolved_note(self) -> str:
        """Why nothing is relative to the gradient's length, or nothing."""
        if self.resolved:
            return ""
        norm, bound = float(np.linalg.norm(self.gradient)), self.gradient_bound
        if norm == 0 and np.isnan(bound):
            return "the gradient is zero"
        return (
            f"the gradient's length is computed as {norm:.2g} and its error may be {bound:.2g},"
            " so it cannot be told from zero and has no direction"
        )

    @property
    @abstractmethod
    def advantage(self) -> Any:
        """A = Q - V."""

    @property
    @abstractmethod
    def process(self) -> Any:
        """What data come from."""

    @abstractmethod
    def fisher(self) -> FloatArray:
        """Fisher information F (d, d)."""

    @abstractmethod
    def natural(self, g: FloatArray) -> FloatArray:
        """F†g (d,) of a vector in the range of F."""

    @abstractmethod
    def kl(self, theta: Any) -> float:
        """Expected divergence from the policy to that of another θ (d,), in nats."""

    @abstractmethod
    def kl_expansion(self, delta: Any) -> float:
        """½ δᵀF δ, the divergence of a small step δ (d,)."""

    def natural_gradient(self) -> FloatArray:
        """F†∇J (d,)."""
        return self.natural(self.gradient)

    @property
    def state_weights(self) -> FloatArray:
        """Weights of states in F and divergences: (1-γ) times the visits, or those for γ = 1."""
        return np.asarray(self.visitation * self.mdp.visit_weight, np.float64)


@singledispatch
def evaluate(mdp: Any, policy: Any, theta: Any, horizon: int | None = None) -> Any:
    """Exact values and gradient of π_θ on a problem.

    Parameters
    ----------
    mdp, policy
        Of the same numbers of states and actions.
    theta
        (d,) parameters.
    horizon
        Number of steps H ≥ 1, or None for the infinite horizon.

    Raises
    ------
    ValueError
        If θ or the shapes do not fit, the horizon is not positive, or (SolveError) the linear
        system cannot be solved to a proven relative error of 1e-8.
    """
    raise ValueError(f"the problem is {mdp!r}, must be made by make_problem")
