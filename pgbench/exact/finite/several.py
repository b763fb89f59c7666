"""Everything exact about many policies on one finite problem, worked out together.

They are evaluated compiled: by dense elimination up to ``DENSE_STATES`` states, by iteration
beyond; and where that does not settle, one after another.
"""

from collections.abc import Callable
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.exact.finite.values import FiniteTruth
from pgbench.exact.penalty import Penalty
from pgbench.exact.truth import Truth, evaluate
from pgbench.policies import Policy
from pgbench.problems import FiniteMDP
from pgbench.problems.problem import SolveError
from pgbench.process.process import Process

DENSE_STATES = 300
"""Up to so many states a policy is evaluated by dense elimination."""


class FiniteTruths(Truth):
    """Exact quantities of m policies on one finite problem, of the infinite horizon.

    Every array has the policies as its first axis, and every one is worked out when it is first
    asked for. What cannot be written with such an axis is asked of each policy: see ``each``.

    Attributes
    ----------
    mdp
        The problem; its rewards are (S, A, B), or (m, S, A, B) where policies are paid differently.
    theta
        (m, d) float64.
    pi, q, advantage, worth
        (m, S, A) float64.
    v, visitation
        (m, S) float64; what rests on values is NaN where they are not finite.
    objective, gradient
        (m,) and (m, d) float64.
    good
        (m,) bool, which policies could be evaluated.
    penalty
        That of all policies, where the objective has one.
    behaviour
        (m, S, A) float64, what data come from; None where that is the policies themselves.
    """

    mdp: FiniteMDP
    policy: Policy
    horizon = None
    error_bound = np.nan

    def __init__(
        self,
        mdp: FiniteMDP,
        policy: Policy,
        theta: FloatArray,
        pi: FloatArray,
        expected_reward: FloatArray,
        penalty: Penalty | None = None,
        behaviour: FloatArray | None = None,
    ) -> None:
        given = {"mdp": mdp, "policy": policy, "theta": theta, "pi": pi, "penalty": penalty}
        self.__dict__.update(given, expected_reward=expected_reward, behaviour=behaviour)

    expected_reward: FloatArray
    """r(s, a), (1, S, A), or (m, S, A) where policies are paid differently."""

    @property
    def m(self) -> int:
        """Number of policies."""
        return len(self.theta)

    @cached_property
    def _solved(self) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
        from pgbench.kernels.crowd import evaluate as evaluate_dense
        from pgbench.kernels.crowd import iterate

        mdp, (m, S, A) = self.mdp, self.pi.shape
        v, visitation = np.empty((2, m, S))
        q, good = np.empty((m, S, A)), np.zeros(m, bool)
        if S <= DENSE_STATES or mdp.gamma < 1:
            (evaluate_dense if S <= DENSE_STATES else iterate)(
                mdp.probability,
                mdp.successor,
                self.expected_reward,
                mdp.terminal,
                mdp.mu0,
                mdp.gamma,
                np.ascontiguousarray(self.pi),
                v,
                q,
                visitation,
                good,
            )
        if S > DENSE_STATES:
            for r in np.flatnonzero(~good):
                # Anything that cannot be evaluated is an outcome of its policy.
                try:
                    truth = evaluate(self._mdp_of(int(r)), self.policy, self.theta[r])
                    v[r], q[r], visitation[r], good[r] = truth.v, truth.q, truth.visitation, True
                except (SolveError, ValueError):
                    continue
        # Elimination may leave rounding there, by which natural gradients would divide.
        visitation[:, ~mdp.reachable] = 0.0
        if not good.all():
            v[~good] = q[~good] = visitation[~good] = np.nan
        return v, q, visitation, good

    def _mdp_of(self, r: int) -> FiniteMDP:
        """The problem of policy r, with its own rewards."""
        return self.mdp if self.mdp.reward.ndim == 3 else self.mdp.paying(self.mdp.reward[r])

    @property
    def v(self) -> FloatArray:
        """V(s), (m, S), unit reward; NaN where it is not finite or could not be computed."""
        return self._solved[0]

    @property
    def q(self) -> FloatArray:
        """Q(s, a), (m, S, A), unit reward."""
        return self._solved[1]

    @property
    def visitation(self) -> FloatArray:
        """Unnormalised d(s), (m, S); zero on terminal states."""
        return self._solved[2]

    @property
    def good(self) -> BoolArray:
        """Which policies could be evaluated, (m,)."""
        return self._solved[3]

    @cached_property
    def advantage(self) -> FloatArray:
        """Q - V, (m, S, A), unit reward; zero on terminal states."""
        return self.q - self.v[:, :, None]

    @cached_property
    def worth(self) -> FloatArray:
        """d(s) A(s,a), (m, S, A)."""
        return self.visitation[:, :, None] * self.advantage

    @cached_property
    def objective(self) -> Any:
        """J (m,), unit reward."""
        return np.asarray(self.v @ self.mdp.mu0, np.float64)

    @cached_property
    def gradient(self) -> FloatArray:
        """∇J (m, d), reward per unit of θ; of the direct policy at the boundary too."""
        return self.policy.each_derivative(self.theta, self.pi, self.advantage, self.visitation)

    @cached_property
    def unseen(self) -> Any:
        """Number of visited states where actions of probability 0 have a say in ∇J, (m,)."""
        pairs = self.policy.unseen(self.theta)
        if pairs is None:
            return np.zeros(self.m)
        return np.sum(pairs.any(axis=2) & (self.visitation > 0), axis=1, dtype=np.float64)

    @cached_property
    def process(self) -> Process:
        """The problem under the policies, or what data come from, a replicate of each."""
        return Process(self.mdp, self.pi if self.behaviour is None else self.behaviour)

    @cached_property
    def _own(self) -> "FiniteTruths":
        return self._with(None)

    def drawn_from(self, behaviour: FloatArray) -> "FiniteTruths":
        """The same policies with data from other probabilities (m, S, A)."""
        return self._with(behaviour)

    def _with(self, behaviour: FloatArray | None) -> "FiniteTruths":
        found = copy(self)  # with all that is worked out
        found.__dict__.pop("process", None)
        found.__dict__.pop("_own", None)
        found.__dict__["behaviour"] = behaviour
        return found

    def one(self, r: int) -> FiniteTruth:
        """The exact quantities of policy r alone."""
        return FiniteTruth(
            mdp=self._mdp_of(r),
            policy=self.policy,
            theta=self.theta[r],
            horizon=None,
            pi=self.pi[r],
            v=self.v[r],
            q=self.q[r],
            visitation=self.visitation[r],
            objective=float(self.objective[r]),
            worth=self.worth[r],
            gradient=self.gradient[r],
            error_bound=0.0,
            penalty=self.penalty and self.penalty.of(r),
            behaviour=None if self.behaviour is None else self.behaviour[r],
        )

    def each(self, function: Callable[[Any], Any], *shape: int) -> FloatArray:
        """``function`` of every policy's own truth, (m, *shape); NaN without finite values."""
        out = np.full((self.m, *shape), np.nan)
        for r in np.flatnonzero(self.good):
            out[r] = function(self.one(int(r)))
        return out

    def part(self, policies: slice) -> "FiniteTruths":
        """A truth of some of the policies."""
        mdp, reward = self.mdp, self.expected_reward
        if mdp.reward.ndim > 3:
            mdp, reward = mdp.paying(mdp.reward[policies]), reward[policies]
        penalty = self.penalty and self.penalty.of(policies)
        own = self.theta[policies], self.pi[policies]
        behaviour = None if self.behaviour is None else self.behaviour[policies]
        return FiniteTruths(mdp, self.policy, *own, reward, penalty, behaviour)

    def fisher(self) -> FloatArray:
        """Fisher information F (m, d, d)."""
        d = self.policy.n_parameters
        return self.each(lambda one: one.fisher(), d, d)

    def natural(self, g: FloatArray) -> FloatArray:
        """F†g (m, d) of vectors g (m, d), each in the range of its own F."""
        rows = iter(g[self.good])
        return self.each(lambda one: one.natural(next(rows)), g.shape[1])

    def kl(self, theta: Any) -> float:
        """TypeError: divergences are of one policy."""
        raise TypeError("a divergence is one policy's: ask one(r)")

    def kl_expansion(self, delta: Any) -> float:
        """TypeError: divergences are of one policy."""
        raise TypeError("a divergence is one policy's: ask one(r)")
