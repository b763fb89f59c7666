"""What an objective is: J, or J less what it costs to leave a reference.

    J_c(θ) = J(θ) - c E Σ_t γ^t log(π/q)(s_t, a_t)

Its gradient is that of J for the rewards r - c log(π/q) held fixed at θ, because E_a[ψ] = 0. So
everything that is known of J, and every estimator of ∇J, holds for it with those rewards.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import bind
from pgbench.declared.registry import Made
from pgbench.exact.finite.optimum import Optimum, optimal_value
from pgbench.exact.finite.soft_optimum import SoftOptimum, soft_optimum
from pgbench.exact.finite.values import evaluate_penalised, require_policy
from pgbench.exact.penalty import Penalty, penalised
from pgbench.exact.truth import Truth, evaluate
from pgbench.policies import NotApplicable, Policy
from pgbench.problems import FiniteMDP, Problem


@dataclass(frozen=True, eq=False)
class Objective:
    """An objective of the policies of a class on a problem.

    Attributes
    ----------
    mdp, policy
        The problem and the parameterisation.
    coefficient
        c ≥ 0, unit reward per nat.
    reference
        q (S, A) float64, positive at the actions that a state has; None for J itself.
    """

    mdp: Any
    policy: Any
    coefficient: float = 0.0
    reference: FloatArray | None = None

    @property
    def plain(self) -> bool:
        """Whether it is J itself: there is no reference, or leaving it costs nothing."""
        return self.reference is None or self.coefficient == 0

    def truth(self, theta: Any, horizon: int | None = None) -> Truth:
        """Exact values and gradient of π_θ under the objective; see ``exact.truth.evaluate``.

        The problem of the truth pays r - c log(π/q), its rewards being the policy's at this θ, and
        ``penalty`` tells them apart.

        Raises
        ------
        ValueError
            As ``evaluate`` does.
        NotApplicable
            On the boundary of the simplex, where log π has no finite derivative.
        """
        if self.plain:
            return evaluate(self.mdp, self.policy, theta, horizon)
        theta = self.policy.check(theta)
        self._require_inside(theta)
        assert self.reference is not None
        return evaluate_penalised(
            self.mdp, self.policy, theta, self.coefficient, self.reference, horizon
        )

    def penalty(self, pi: FloatArray, mdp: FiniteMDP | None = None) -> Penalty:
        """The penalty of probabilities π (S, A), or (m, S, A), by default on the problem itself."""
        assert self.reference is not None, "J has no penalty"
        return penalised(mdp or self.mdp, pi, self.coefficient, self.reference)

    def _require_inside(self, theta: FloatArray) -> None:
        """NotApplicable on the boundary of the simplex."""
        pairs = self.policy.unseen(theta)
        if pairs is None:
            return
        places = np.argwhere(pairs & ~self.mdp.terminal[:, None])
        if places.size:
            s, a = places[0]
            raise NotApplicable(
                f"action {a} has probability 0 in state {s}: on the boundary of the simplex the"
                " penalty log(π/π_ref) has no finite derivative"
            )

    @cached_property
    def optimum(self) -> Optimum | SoftOptimum:
        """The optimum over all policies.

        Raises
        ------
        SolveError
            If there is no finite one.
        """
        if self.reference is None or self.plain:
            return optimal_value(self.mdp)
        return soft_optimum(self.mdp, self.coefficient, self.reference)


@dataclass(frozen=True)
class ObjectiveKind(Made):
    """A named kind of objective and the function that makes it.

    Attributes
    ----------
    maker
        ``maker(mdp, policy, parameter=...) -> Objective``.
    formula
        What is maximised, as LaTeX mathematics.
    reference
        Author, year and equation.
    on
        Classes of problems that it is for.
    """

    name: str
    maker: Callable[..., Objective]
    formula: str
    reference: str
    on: tuple[type[Problem], ...] = (FiniteMDP,)

    leading = 2

    def bound(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every parameter's value; ValueError lists everything that is wrong with those given."""
        return bind(self.name, self.parameters, given)

    def make(self, mdp: Problem, policy: Any, **given: Any) -> Objective:
        """The objective of policies on a problem; ValueError lists what is wrong.

        NotApplicable for a problem of another class.
        """
        values = self.bound(given)
        if not isinstance(mdp, self.on):
            raise NotApplicable(
                f"{self.name} is an objective for {self.on[0].kind} problems, {mdp.name} is"
                f" {mdp.kind}"
            )
        if isinstance(mdp, FiniteMDP):
            require_policy(mdp, policy)
        return self.maker(mdp, policy, **values)


def uniform(mdp: FiniteMDP) -> FloatArray:
    """The same probability for every action that a state has, (S, A)."""
    return np.asarray(mdp.choices / mdp.choices.sum(axis=1, keepdims=True), np.float64)


def of_policy(mdp: FiniteMDP, policy: Policy, theta: FloatArray) -> FloatArray:
    """π_θ (S, A) as a reference; NotApplicable where it lacks an action that a state has."""
    pi = policy.probabilities(policy.check(theta))
    never = np.argwhere((pi == 0) & mdp.choices & ~mdp.terminal[:, None])
    if never.size:
        s, a = never[0]
        raise NotApplicable(
            f"the reference policy gives action {a} in state {s} probability 0, must be positive:"
            " the divergence of a policy that takes it is infinite"
        )
    return pi
