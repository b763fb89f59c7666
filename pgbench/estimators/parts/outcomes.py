"""Estimators that weigh whole trajectories by what became of them and of others.

    ĝ = Σ_i w_i Z_i,   Z_i = Σ_t ψ_{i,t}

The weight w_i looks at returns, lengths and endings alone. Trajectories of which these are the same
make a class, and from the chances of classes mean and variance follow without sampling: see
``pgbench.exact.finite.outcome_moments``.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.estimator import BatchEstimator, Exact
from pgbench.estimators.parts.transforms import Climbed
from pgbench.exact.finite.outcome_moments import MOST, outcome_moments
from pgbench.exact.finite.tallies import Looks
from pgbench.exact.finite.values import FiniteTruth
from pgbench.exact.table_moments import TooLarge
from pgbench.exact.truth import Truth, evaluate
from pgbench.rollout.simulator import Simulator

MOST_STARTS = 32
"""Each start state asks for exact moments of its own."""

RETURNS = Looks(key=("returns",))
"""For weights that look at the returns of their group alone."""

SUCCESS = Looks(key=("returns", "outcomes"))
"""For weights that look at the success of their group's responses."""

TOKENS = Looks(key=("returns",), sums=("lengths",), beyond=Looks(sums=("lengths",)))
"""For those that look at the number of tokens of the batch as well."""


@dataclass(frozen=True)
class OutcomeEstimator(BatchEstimator):
    """An estimator as weights of whole trajectories.

    Attributes
    ----------
    weights
        ``weights(responses, *, parameter=...)`` gives w_i (..., P, G) of P groups of G responses,
        1/(PG) included. Without groups a batch is one of them, of independent starts.
    looks
        ``looks(several, **values)`` says what a weight looks at of the other responses, and where
        there are several groups of other groups; None where what it sees of these is no sum over
        their responses, so that moments are not known.
    fewest, needs
        Smallest size of a group that makes sense, and what parameters need beside it.
    follows
        ``follows(**values)`` is the function of the chance of success that a large group climbs,
        where responses succeed or fail and are alike otherwise; None where there is none.
    """

    weights: Callable[..., FloatArray] = field(kw_only=True)
    looks: Callable[..., Looks | None] = field(
        default=lambda several, **values: RETURNS, kw_only=True
    )
    follows: Callable[..., Climbed | None] = field(kw_only=True)
    estimate: Callable[..., FloatArray] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "estimate", partial(weighed, self.weights))

    @property
    def maker(self) -> Callable[..., Any]:
        """The function that weighs."""
        return self.weights

    def refuses(self, batch_size: int, group_size: int | None = None, /, **given: Any) -> str:
        """Why the estimator makes no sense at a batch size, in groups of a size, or nothing."""
        if group_size is None:
            return super().refuses(batch_size, **given)
        least = self.least(**given)
        if group_size >= least:
            return ""
        return f"the group size is {group_size}, {self.name} needs at least {least}"

    def known(
        self,
        truth: Truth,
        horizon: int,
        batch_size: float,
        group_size: float | None,
        values: Mapping[str, Any],
    ) -> Exact:
        """Moments by the estimator's own formula or by classes of trajectories."""
        on_policy = truth.behaviour is None
        if self.moments and group_size is None and on_policy:
            with suppress(TooLarge):
                exact = self.moments(truth, horizon, batch_size, **values)
                if exact.mean is not None:
                    return exact
        found = Exact(None)
        if isinstance(truth, FiniteTruth) and np.isfinite(batch_size):
            group = None if group_size is None else int(group_size)
            with suppress(TooLarge):
                found = self._by_classes(truth, horizon, int(batch_size), group, values)
        if found.variance is not None:
            return found
        grouped = self.moments and group_size is not None and on_policy
        if grouped and group_size and isinstance(truth, FiniteTruth):
            with suppress(TooLarge):
                return self._by_starts(truth, horizon, batch_size, group_size, values)
        return found

    def _by_classes(
        self,
        truth: FiniteTruth,
        horizon: int,
        batch_size: int,
        group_size: int | None,
        values: Mapping[str, Any],
    ) -> Exact:
        looks = self.looks(group_size not in (None, batch_size), **values)
        if looks is None:
            return Exact(None)
        found = outcome_moments(
            truth,
            horizon,
            partial(self.weights, **values),
            looks,
            group_size=group_size,
            batch_size=batch_size,
            limit=self.limit or MOST,
            **self.by_token(truth, values),
        )
        return Exact(*found)

    def by_token(self, truth: FiniteTruth, values: Mapping[str, Any]) -> dict[str, Any]:
        """How tokens are weighed beside their response: what ``outcome_moments`` is told of it."""
        return {}

    def _by_starts(
        self,
        truth: FiniteTruth,
        horizon: int,
        batch_size: float,
        group_size: float,
        values: Mapping[str, Any],
    ) -> Exact:
        """A group is a batch of the problem that begins where the group does."""
        assert self.moments is not None
        starts = np.flatnonzero(truth.mdp.mu0)
        if starts.size > MOST_STARTS:
            raise TooLarge(f"{starts.size} start states, at most {MOST_STARTS} are gone through")
        mean, square = np.zeros((2, truth.gradient.size))
        known = True
        for state in starts:
            own = evaluate(truth.mdp.starting(int(state)), truth.policy, truth.theta)
            chance, exact = truth.mdp.mu0[state], self.moments(own, horizon, group_size, **values)
            if exact.mean is None:
                return exact
            mean += chance * exact.mean
            if exact.variance is None:
                known = False
            else:
                square += chance * (exact.mean**2 + exact.variance)
        if not (known and np.isfinite(batch_size)):
            return Exact(mean)
        return Exact(mean, (square - mean**2) * group_size / batch_size)


def weighed(weights: Callable[..., FloatArray], simulator: Simulator, **values: Any) -> FloatArray:
    """Σ_i w_i Z_i (m, d) of a batch of each replicate."""
    batch = simulator.batch()
    responses = batch.responses(simulator.group_size, simulator.horizon)
    own = simulator.n * np.asarray(weights(responses, **values), np.float64)
    return simulator.pull_back(batch.tables(own.reshape(simulator.m, simulator.n, 1)))
