"""A bug is a wrong estimator with the claim that it makes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Parameter
from pgbench.estimators import BatchEstimator, Estimator, TableEstimator, Tables, find_estimator
from pgbench.estimators.parts.outcomes import weighed
from pgbench.exact.truth import Truth
from pgbench.process.batch import Batch
from pgbench.process.responses import Responses
from pgbench.rollout.simulator import Simulator
from pgbench.trials.case import GENERAL, SEQUENCES

Weights = Callable[[Batch, Truth], FloatArray]
"""Weights of the scores, broadcasting to (m, n, T), of a batch."""

TokenWeights = Callable[[Batch, Responses, Truth], FloatArray]
"""Weights of the tokens, broadcasting to (m, n, T), of a batch in groups; 1/n is part of them."""


@dataclass(frozen=True)
class Bug:
    """A wrong estimator.

    Attributes
    ----------
    estimator
        The wrong one; its name is that of the bug. It declares nothing from which a mean would
        follow.
    claims, given
        Name and parameters of the correct estimator whose moments it claims to have.
    mistake
        What is wrong, in a sentence.
    source
        Where it was seen, or who warned of it.
    mean_only
        Whether it claims the mean alone: its variance would differ without any mistake too.
    harmless
        Why its mean is right all the same, where it is; else empty.
    battery
        Name of the battery on which it is tried: that of sequences if it is about groups.
    """

    estimator: Estimator
    claims: str
    mistake: str
    source: str
    given: Mapping[str, Any] = field(default_factory=dict)
    mean_only: bool = False
    harmless: str = ""
    battery: str = GENERAL

    @property
    def name(self) -> str:
        """Name of the bug."""
        return self.estimator.name

    @property
    def parameters(self) -> dict[str, Parameter]:
        """None: a bug has nothing to choose."""
        return {}

    @property
    def claimed(self) -> Estimator:
        """The estimator that it takes itself for."""
        return find_estimator(self.claims)


def _mistaken() -> tuple[str, ...]:
    return ("mistake",)


def table_bug(name: str, tables: Callable[..., Tables], **claim: Any) -> Bug:
    """A bug that has tables; ``claim`` are the fields of ``Bug``."""
    estimator = TableEstimator(name=name, tables=tables, bias=_mistaken, formula="", reference="")
    return Bug(estimator, **claim)


def batch_bug(
    name: str, estimate: Callable[[Simulator], FloatArray], fewest: int = 1, **claim: Any
) -> Bug:
    """A bug that is a function of batches."""
    estimator = BatchEstimator(
        name=name,
        estimate=estimate,
        bias=_mistaken,
        formula="",
        reference="",
        fewest=fewest,
        target=find_estimator(claim["claims"]).target,
    )
    return Bug(estimator, **claim)


def weight_bug(name: str, weights: Weights, fewest: int = 1, **claim: Any) -> Bug:
    """A bug that weighs the scores of a batch wrongly."""

    def estimate(simulator: Simulator) -> FloatArray:
        batch = simulator.batch()
        return simulator.pull_back(batch.tables(weights(batch, simulator.truth)))

    estimate.__doc__ = weights.__doc__
    return batch_bug(name, estimate, fewest, **claim)


def response_bug(name: str, weights: Callable[[Responses], FloatArray], **claim: Any) -> Bug:
    """A bug that weighs whole responses wrongly, (m, P, G), where 1/(PG) is part of the weights."""

    def estimate(simulator: Simulator) -> FloatArray:
        return weighed(weights, simulator)

    estimate.__doc__ = weights.__doc__
    return batch_bug(name, estimate, battery=SEQUENCES, **claim)


def token_bug(name: str, weights: TokenWeights, **claim: Any) -> Bug:
    """A bug that weighs the tokens of responses wrongly."""

    def estimate(simulator: Simulator) -> FloatArray:
        batch = simulator.batch()
        responses = batch.responses(simulator.group_size, simulator.horizon)
        own = simulator.n * weights(batch, responses, simulator.truth)
        return simulator.pull_back(batch.tables(own))

    estimate.__doc__ = weights.__doc__
    return batch_bug(name, estimate, battery=SEQUENCES, **claim)


def of_tokens(weights: FloatArray) -> FloatArray:
    """Weights (m, P, G) of responses as those of all of their tokens, (m, n, 1)."""
    return weights.reshape(len(weights), -1, 1)
