"""What a sampler is: a table of the probabilities that data come from, as a function of a truth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import bind
from pgbench.declared.registry import Made
from pgbench.exact.finite.values import FiniteTruth
from pgbench.exact.truth import Truth
from pgbench.problems import FiniteMDP, NotApplicable, Problem

ON_POLICY = "on_policy"
"""The sampler by default: the policy itself."""


@dataclass(frozen=True)
class Sampler(Made):
    """A named way to draw actions, and the function that makes its table.

    Attributes
    ----------
    name
        Name in the API, in grids and in reports.
    maker
        ``maker(truth, *, parameter=...)`` gives μ (S, A), the probabilities that data come from:
        each row sums to 1, with 0 for what a state does not have.
    formula
        μ as LaTeX mathematics.
    reference
        Author, year and equation.
    learner
        ``learner(truth, **values)`` is the truth of the policy that learns, where that has moved on
        from the θ of the setting since the data were drawn; None where it has not.
    lag
        ``lag(**values)`` says how many updates the data of an ascent are behind the policy, which
        is where an ascent has them in place of what ``learner`` does; None where they are not.
    identity
        The value of a parameter at which it draws as the policy does, by name; empty where that
        hangs on the problem.
    """

    name: str
    maker: Callable[..., FloatArray]
    formula: str
    reference: str
    learner: Callable[..., FiniteTruth] | None = None
    lag: Callable[..., int] | None = None
    identity: Mapping[str, float] = field(default_factory=dict)

    leading = 1

    def along(self, **given: Any) -> "Drawn | None":
        """The sampler of the policies of an ascent; None for these themselves.

        ValueError lists what is wrong with the parameters.
        """
        values = bind(self.name, self.parameters, given)
        return None if self.name == ON_POLICY else Drawn(self, values)

    def require(self, mdp: Problem) -> None:
        """NotApplicable for a problem that is not finite."""
        if not isinstance(mdp, FiniteMDP):
            raise NotApplicable(
                f"the sampler {self.name} is for finite problems, {mdp.name} is {mdp.kind}"
            )

    def sampled(self, truth: Truth, **given: Any) -> Any:
        """The truth of the policy that learns, with data from the sampler at ``truth``.

        ValueError lists what is wrong with the parameters; NotApplicable where the sampler makes no
        sense on the problem.
        """
        values = bind(self.name, self.parameters, given)
        if self.name == ON_POLICY:
            return truth.on_policy
        self.require(truth.mdp)
        assert isinstance(truth, FiniteTruth)
        table = self.maker(truth, **values)
        return (self.learner(truth, **values) if self.learner else truth).drawn_from(table)


@dataclass(frozen=True)
class Drawn:
    """A sampler with every parameter's value, for the policies of an ascent."""

    sampler: Sampler
    values: Mapping[str, Any]

    @property
    def lag(self) -> int:
        """How many updates data are behind the policy."""
        return self.sampler.lag(**self.values) if self.sampler.lag else 0

    def tables(self, truths: Any) -> FloatArray:
        """μ (m, S, A) of a truth of m policies; NaN of those without finite values."""
        return np.asarray(truths.each(self._table, *truths.pi.shape[1:]), np.float64)

    def _table(self, truth: Truth) -> FloatArray:
        return self.sampler.maker(truth, **self.values)


def normalised(weights: FloatArray) -> FloatArray:
    """Weights (S, A) over the sum of their row."""
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)


def log_probabilities(truth: Truth) -> FloatArray:
    """log π (S, A), -∞ where it is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(truth.pi), np.float64)
