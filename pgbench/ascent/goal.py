"""What iterates are compared with: the optimum over all policies, or the best of a class."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from scipy import optimize

from pgbench.arrays import BoolArray, FloatArray
from pgbench.ascent.crowd import FiniteCrowd
from pgbench.ascent.quadratic_crowd import QuadraticCrowd
from pgbench.exact.finite.optimum import Optimum
from pgbench.exact.finite.soft_optimum import SoftOptimum
from pgbench.exact.finite.walk import Walk
from pgbench.exact.linear_quadratic import Regulator, optimal_regulator
from pgbench.objectives import Objective
from pgbench.policies import LogLinear, Policy, Softmax
from pgbench.policies.tabular import Tabular
from pgbench.problems import FiniteMDP, LinearQuadratic
from pgbench.problems.problem import SolveError

LARGEST_LOGIT = 40.0
"""How far the single logit of a class with one degree of freedom is searched: π down to 4e-18."""

NEARLY_CERTAIN = 0.01
"""Part of log A below which a policy is nearly deterministic."""

ALL, CLASS, UPPER, UNKNOWN = (
    "optimum over all policies, which the class holds or comes arbitrarily close to",
    "best of the class",
    "optimum over all policies; the best of the class is not known and may be lower",
    "unknown",
)


@dataclass(frozen=True, eq=False)
class Goal(ABC):
    """What iterates are compared with.

    Attributes
    ----------
    objective
        What suboptimality is measured from, unit reward; NaN if nothing is known.
    kind
        What that is, in words.
    optimum
        The optimum over all policies, or None where it is not known.
    """

    objective: float
    kind: str
    optimum: Any

    @abstractmethod
    def scores(self, crowd: Any) -> dict[str, FloatArray]:
        """The arrays ``climb.SCORES`` of a crowd, (m,) each, but for errors of estimates."""

    @abstractmethod
    def optimal_probability(self, crowd: Any) -> FloatArray:
        """min_s π(a*(s) | s), (m,); NaN where that makes no sense."""

    @abstractmethod
    def certain(self, entropy: FloatArray) -> BoolArray:
        """Which replicates end nearly deterministic, (m,), by entropies (m, L) along the run."""


@dataclass(frozen=True, eq=False)
class QuadraticGoal(Goal):
    """The best gain of a linear-quadratic problem, with no noise."""

    optimum: Regulator | None

    def scores(self, crowd: QuadraticCrowd) -> dict[str, FloatArray]:
        """Objective, gradient norm, differential entropy, distance of K from K*: (m,) each."""
        nothing = np.full(crowd.m, np.nan)
        distance = nothing
        if self.optimum is not None:
            away = crowd.policy.gain(crowd.theta) - self.optimum.gain
            distance = np.sqrt(np.sum(away**2, axis=(1, 2)))
        return {
            "objective": crowd.objective,
            "gradient_norm": np.sqrt(np.sum(crowd.gradient**2, axis=1)),
            "gradient_floor": nothing,
            "entropy": crowd.differential_entropy,
            "unseen": crowd.unseen,
            "distance": distance,
            "length": nothing,
            "success": nothing,
        }

    def optimal_probability(self, crowd: QuadraticCrowd) -> FloatArray:
        """Densities are no probabilities."""
        return np.full(crowd.m, np.nan)

    def certain(self, entropy: FloatArray) -> BoolArray:
        """Where the entropy fell by log 100: standard deviations are a hundredth of θ_0's."""
        with np.errstate(invalid="ignore"):
            return np.asarray(entropy[:, -1] < entropy[:, 0] - np.log(100), bool)


@dataclass(frozen=True, eq=False)
class FiniteGoal(Goal):
    """The value that is aimed at, and the actions that are right.

    Attributes
    ----------
    optimum
        V*, Q* and J* over all policies, or None where they are not known.
    right
        (S, A) bool, every optimal action, ties included; none where the optimum is not known.
    visitation
        (S,) unnormalised visitation of the optimal policy ``optimum.action``.
    """

    optimum: Optimum | None
    right: BoolArray
    visitation: FloatArray

    def certain(self, entropy: FloatArray) -> BoolArray:
        """Where the mean entropy is below 1 % of log A."""
        n_actions = self.right.shape[1]
        return np.asarray(entropy[:, -1] < NEARLY_CERTAIN * np.log(max(n_actions, 2)), bool)

    def optimal_probability(self, crowd: FiniteCrowd) -> FloatArray:
        """min_s π(a*(s) | s) over states that are not terminal, (m,), with one fixed a*."""
        if self.optimum is None:
            return np.full(crowd.m, np.nan)
        live = np.flatnonzero(~crowd.mdp.terminal)
        return crowd.pi[:, live, self.optimum.action[live]].min(axis=1)

    def gradient_floor(self, crowd: FiniteCrowd) -> FloatArray:
        """What ‖∇J‖ of tabular softmax is at least, (m,): gradient domination.

        min π(a*|s) (J* - J)/(√n ‖d*/d‖_∞) over the n states that the optimal policy visits, for
        any fixed optimal a*. (Mei, Xiao, Szepesvári & Schuurmans 2020, Lemma 8)
        """
        if self.optimum is None or not isinstance(crowd.policy, Softmax):
            return np.full(crowd.m, np.nan)
        seen = np.flatnonzero(self.visitation)
        least = crowd.pi[:, seen, self.optimum.action[seen]].min(axis=1)
        mismatch = (self.visitation[seen] / crowd.visitation[:, seen]).max(axis=1)
        gap = self.optimum.objective - crowd.objective
        return np.asarray(least * gap / (np.sqrt(seen.size) * mismatch), np.float64)

    def scores(self, crowd: FiniteCrowd) -> dict[str, FloatArray]:
        """Scores of ``climb.SCORES``, the distance by the probability of what is not optimal."""
        share = crowd.visitation / crowd.visitation.sum(axis=1, keepdims=True)
        wrong = np.where(self.right, 0.0, crowd.pi).sum(axis=2)
        return {
            "objective": crowd.objective,
            "gradient_norm": np.sqrt(np.sum(crowd.gradient**2, axis=1)),
            "gradient_floor": self.gradient_floor(crowd),
            "entropy": -np.einsum("ms,msa,msa->m", share, crowd.pi, crowd.log_pi),
            "unseen": crowd.unseen,
            "distance": np.einsum("ms,ms->m", share, wrong)
            if self.optimum is not None
            else np.full(crowd.m, np.nan),
            "length": crowd.length,
            "success": crowd.success,
        }


@dataclass(frozen=True, eq=False)
class SoftGoal(Goal):
    """The value that is aimed at where the objective has a penalty; one policy alone is optimal.

    optimum
        V*, Q*, π* and J* over all policies, or None where they are not known.
    """

    optimum: SoftOptimum | None

    def scores(self, crowd: FiniteCrowd) -> dict[str, FloatArray]:
        """Scores of ``climb.SCORES``, with no floor of the gradient; the distance is that from π*.

        It is the total variation, averaged over visited states: that from a
        deterministic policy is the probability of what is not optimal.
        """
        share = crowd.visitation / crowd.visitation.sum(axis=1, keepdims=True)
        nothing = np.full(crowd.m, np.nan)
        distance = nothing
        if self.optimum is not None:
            away = np.abs(crowd.pi - self.optimum.pi).sum(axis=2) / 2
            distance = np.einsum("ms,ms->m", share, away)
        return {
            "objective": crowd.objective,
            "gradient_norm": np.sqrt(np.sum(crowd.gradient**2, axis=1)),
            "gradient_floor": nothing,
            "entropy": -np.einsum("ms,msa,msa->m", share, crowd.pi, crowd.log_pi),
            "unseen": crowd.unseen,
            "distance": distance,
            "length": crowd.length,
            "success": crowd.success,
        }

    def optimal_probability(self, crowd: FiniteCrowd) -> FloatArray:
        """No action is the optimal one."""
        return np.full(crowd.m, np.nan)

    def certain(self, entropy: FloatArray) -> BoolArray:
        """None: a penalty keeps policies from being deterministic, and the goal is not either."""
        return np.zeros(len(entropy), bool)


@singledispatch
def find_goal(
    mdp: Any, policy: Any, largest: int = 20_000, objective: Objective | None = None
) -> Any:
    """The goal of ascents; nothing is known of problems of more than ``largest`` states.

    Tabular policies can do anything, and so can log-linear ones whose features tell all pairs
    apart. Where a log-linear policy has a single degree of freedom its best value is searched for.
    The objective is J where it is not given.
    """
    raise TypeError(f"no goal for {mdp!r}")


@find_goal.register
def _(
    mdp: LinearQuadratic, policy: Any, largest: int = 20_000, objective: Objective | None = None
) -> QuadraticGoal:
    try:
        best = optimal_regulator(mdp)
    except SolveError:
        return QuadraticGoal(np.nan, UNKNOWN, None)
    return QuadraticGoal(best.objective, ALL, best)


@find_goal.register
def _(
    mdp: FiniteMDP, policy: Policy, largest: int = 20_000, objective: Objective | None = None
) -> FiniteGoal | SoftGoal:
    objective = objective or Objective(mdp, policy)
    optimum = _optimum(objective, largest)
    if not objective.plain:
        return _soft_goal(objective, optimum)
    if optimum is None:
        nothing = np.zeros(mdp.n_states)
        return FiniteGoal(np.nan, UNKNOWN, None, np.zeros(policy.shape, bool), nothing)
    best_policy = np.eye(mdp.n_actions)[optimum.action]
    visitation, _ = Walk.of(mdp, best_policy).solve(mdp.gamma, mdp.mu0, transposed=True)
    slack = 1e-9 * (1 + np.abs(optimum.v)) + optimum.error_bound
    right = optimum.q >= optimum.q.max(axis=1, keepdims=True) - slack[:, None]
    best, kind = _best_of_class(objective, optimum.objective)
    return FiniteGoal(best, kind, optimum, right, visitation)


def _optimum(objective: Objective, largest: int) -> Any:
    """The optimum over all policies, or None where it is not known."""
    if objective.mdp.n_states > largest:
        return None
    try:
        return objective.optimum
    except SolveError:
        return None


def _soft_goal(objective: Objective, optimum: SoftOptimum | None) -> SoftGoal:
    if optimum is None:
        return SoftGoal(np.nan, UNKNOWN, None)
    return SoftGoal(*_best_of_class(objective, optimum.objective), optimum)


def _best_of_class(objective: Objective, best: float) -> tuple[float, str]:
    """What the class comes arbitrarily close to, as far as is known, and what it is in words."""
    mdp, policy = objective.mdp, objective.policy
    if isinstance(policy, Tabular):
        return best, ALL
    if isinstance(policy, LogLinear):
        live = policy.features[~mdp.terminal]
        rows = (live - live.mean(axis=1, keepdims=True)).reshape(-1, policy.n_parameters)
        rank = int(np.linalg.matrix_rank(rows))
        if rank == live.shape[0] * (live.shape[1] - 1):
            return best, ALL
        if rank == 1:
            return _best_of_line(objective, rows), CLASS
    return best, UPPER


def _best_of_line(objective: Objective, rows: FloatArray) -> float:
    """The highest objective over θ = t·u for the one direction u that changes the policy."""
    u = np.linalg.svd(rows, full_matrices=False)[2][0]
    u /= np.abs(rows @ u).max()

    def value(t: float) -> float:
        try:
            return objective.truth(t * u).objective
        except SolveError:
            return -np.inf

    t = np.linspace(-LARGEST_LOGIT, LARGEST_LOGIT, 401)
    J = np.array([value(x) for x in t])
    best = int(np.argmax(J))
    low, high = t[max(best - 1, 0)], t[min(best + 1, t.size - 1)]
    found = optimize.minimize_scalar(
        lambda x: -value(x), bounds=(low, high), method="bounded", options={"xatol": 1e-10}
    )
    return float(max(J[best], -found.fun))
