"""Many policies on one problem: in an ascent every replicate has a θ of its own."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property, singledispatch
from typing import Any, Self

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.exact.finite import fisher
from pgbench.exact.finite.several import FiniteTruths
from pgbench.exact.finite.success import arrivals
from pgbench.exact.truth import Truth
from pgbench.objectives import Objective
from pgbench.policies import Direct, NotApplicable, Policy, Softmax
from pgbench.policies.tabular import Tabular
from pgbench.problems import FiniteMDP


@dataclass(frozen=True, eq=False)
class Crowd(ABC):
    """m policies on one problem.

    Attributes
    ----------
    mdp, policy
        The problem and the parameterisation.
    theta
        (m, d) float64, a θ per replicate; none of them holds anything but finite numbers.
    entropy
        τ ≥ 0, weight of entropy that an algorithm adds to the objective.
    under
        The objective, or None for J.
    behaviour
        What data come from, (m, S, A), where that is not the policies themselves.
    """

    mdp: Any
    policy: Any
    theta: FloatArray
    entropy: float = 0.0
    under: Objective | None = None
    behaviour: FloatArray | None = None

    @property
    def m(self) -> int:
        """Number of replicates."""
        return len(self.theta)

    @property
    @abstractmethod
    def good(self) -> BoolArray:
        """Which replicates have finite values, (m,)."""

    @property
    def stable(self) -> BoolArray:
        """Which replicates lie where policies are stable, (m,); of finite problems all."""
        return np.ones(self.m, bool)

    @property
    @abstractmethod
    def objective(self) -> FloatArray:
        """J (m,), unit reward."""

    @property
    @abstractmethod
    def gradient(self) -> FloatArray:
        """∇J (m, d), reward per unit of θ."""

    @property
    @abstractmethod
    def natural_gradient(self) -> FloatArray:
        """F†∇J (m, d)."""

    @abstractmethod
    def natural(self, g: FloatArray) -> FloatArray:
        """F†g (m, d) of vectors g (m, d) in the range of F; NaN where that is not so."""

    @abstractmethod
    def squared_lengths(self, delta: FloatArray) -> FloatArray:
        """δᵀFδ (m,) of δ (m, d): twice the divergence of a small step."""

    @property
    def unseen(self) -> FloatArray:
        """Number of visited states where actions of probability 0 have a say in ∇J, (m,)."""
        return np.zeros(self.m)

    @abstractmethod
    def truth(self, r: int) -> Truth:
        """The exact quantities of replicate r alone."""

    def select(self, replicates: BoolArray) -> Self:
        """The crowd of the chosen replicates alone."""
        own = None if self.behaviour is None else self.behaviour[replicates]
        return replace(self, theta=self.theta[replicates], behaviour=own)


@singledispatch
def gather(
    mdp: Any,
    policy: Any,
    theta: FloatArray,
    entropy: float = 0.0,
    under: Objective | None = None,
) -> Any:
    """The crowd of policies θ (m, d) on a problem of any class."""
    raise TypeError(f"no crowd for {mdp!r}")


@dataclass(frozen=True, eq=False)
class FiniteCrowd(Crowd):
    """m policies on one finite problem.

    With an entropy τ rewards are r - τ log π(a|s), so that values, advantages and gradient are
    those of the objective regularised by the discounted entropy. (Mei, Xiao, Szepesvári &
    Schuurmans 2020, Section 4) So are they of an objective with a penalty, whose rewards are other
    ones for every θ.
    """

    mdp: FiniteMDP
    policy: Policy

    def __post_init__(self) -> None:
        if self.penalised and isinstance(self.policy, Direct):
            raise NotApplicable(
                "steps of a direct policy may end on the boundary of the simplex, where the penalty"
                " of the objective has no finite derivative"
            )

    @property
    def penalised(self) -> bool:
        """Whether the objective has a penalty."""
        return self.under is not None and not self.under.plain

    @cached_property
    def pi(self) -> FloatArray:
        """π(s, a) of every replicate, (m, S, A)."""
        return self.policy.each_probabilities(self.theta)

    @cached_property
    def log_pi(self) -> FloatArray:
        """log π(a|s), (m, S, A); 0 where π is 0, and where nothing is decided."""
        logs = np.log(np.where(self.pi > 0, self.pi, 1.0))
        logs[:, self.mdp.terminal] = 0.0
        return logs

    @cached_property
    def truths(self) -> FiniteTruths:
        """The exact quantities of all replicates; with what entropy and the objective pay."""
        mdp, expected, penalty = self.mdp, np.array(self.mdp.expected_reward)[None], None
        if self.entropy:
            bonus = -self.entropy * self.log_pi
            mdp, expected = mdp.paying(mdp.reward + bonus[..., None]), expected + bonus
        if self.under is not None and not self.under.plain:
            penalty = self.under.penalty(self.pi, mdp)
            mdp, expected = penalty.paying, expected - penalty.table
        return FiniteTruths(
            mdp, self.policy, self.theta, self.pi, expected, penalty, self.behaviour
        )

    @property
    def visitation(self) -> FloatArray:
        """Unnormalised d(s), (m, S); zero on terminal states."""
        return self.truths.visitation

    @property
    def good(self) -> BoolArray:
        """Which replicates could be evaluated, (m,)."""
        return self.truths.good

    @property
    def objective(self) -> FloatArray:
        """J, or what entropy and the objective make of it, (m,), unit reward."""
        return np.asarray(self.truths.objective, np.float64)

    @property
    def gradient(self) -> FloatArray:
        """∇J (m, d), reward per unit of θ; of the direct policy at the boundary too."""
        return self.truths.gradient

    @property
    def unseen(self) -> FloatArray:
        """Number of visited states where actions of probability 0 have a say in ∇J, (m,)."""
        return np.asarray(self.truths.unseen, np.float64)

    @cached_property
    def state_weights(self) -> FloatArray:
        """Weights of states in F, (m, S): (1-γ) d, or d for γ = 1."""
        return self.visitation * self.mdp.visit_weight

    @cached_property
    def natural_gradient(self) -> FloatArray:
        """F†∇J (m, d).

        Of tabular softmax that is A/(1-γ) in every state that can be visited, less its mean over
        actions, and from there it is taken: however small π and d become, they divide out.
        """
        if not isinstance(self.policy, Softmax):
            return self.natural(self.gradient)
        table = self.truths.advantage / self.mdp.visit_weight
        table = np.where(self.mdp.reachable[:, None], table, 0.0)
        if (allowed := self.mdp.allowed) is None:
            return (table - table.mean(axis=2, keepdims=True)).reshape(self.theta.shape)
        means = (table * allowed).sum(axis=2, keepdims=True) / allowed.sum(axis=1, keepdims=True)
        return np.where(allowed, table - means, 0.0).reshape(self.theta.shape)

    def natural(self, g: FloatArray) -> FloatArray:
        """F†g (m, d) of vectors g (m, d) in the range of F; NaN where that is not so."""
        if isinstance(self.policy, Tabular):
            weights = self.state_weights
            seen = (weights > 0)[:, :, None]
            right = np.where(seen, self.policy.table(g) / np.where(seen, weights[:, :, None], 1), 0)
            solved = self.policy.local_solve(self.theta, right)
            assert solved is not None
            return np.where(seen, solved, 0.0).reshape(g.shape)
        out = np.full(g.shape, np.nan)
        for r in np.flatnonzero(np.isfinite(g).all(axis=1) & self.good):
            try:
                out[r] = fisher.solve(self.policy, self.theta[r], self.state_weights[r], g[r])
            except (ValueError, np.linalg.LinAlgError):
                continue
        return out

    def squared_lengths(self, delta: FloatArray) -> FloatArray:
        """δᵀFδ (m,) of δ (m, d): twice the divergence of a small step."""
        scores = self.policy.each_push_forward(self.theta, delta)
        return np.einsum("ms,msa,msa->m", self.state_weights, self.pi, scores**2)

    def truth(self, r: int) -> Truth:
        """The exact quantities of replicate r alone; where entropy counts, with its rewards."""
        return self.truths.one(r)

    @property
    def data(self) -> FloatArray:
        """What data come from, (m, S, A)."""
        return self.pi if self.behaviour is None else self.behaviour

    def drawn_from(self, behaviour: FloatArray) -> "FiniteCrowd":
        """The same policies with data from other probabilities (m, S, A)."""
        found = replace(self, behaviour=behaviour)
        found.__dict__["truths"] = self.truths.drawn_from(behaviour)
        return found

    @property
    def length(self) -> FloatArray:
        """Mean number of steps of an episode, (m,); NaN where rewards are discounted."""
        return self.visitation.sum(axis=1) if self.mdp.gamma == 1 else np.full(self.m, np.nan)

    @property
    def success(self) -> FloatArray:
        """Chance that an episode ends in success, (m,); NaN where the problem has no verifier.

        Or where rewards are discounted.
        """
        if self.mdp.outcomes is None or self.mdp.gamma < 1:
            return np.full(self.m, np.nan)
        arrives = arrivals(self.mdp, self.mdp.outcomes)
        return np.einsum("ms,msa,sa->m", self.visitation, self.pi, arrives)


gather.register(FiniteMDP)(FiniteCrowd)
