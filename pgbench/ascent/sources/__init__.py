"""Where an ascent's gradients come from: exact ones, an estimator's mean, or its estimates.

An estimator whose record says that it can is asked for the estimates of all policies at once: it is
given a truth of several policies (``exact.finite.several``), and so its formula has an axis of
policies. One that says why it stands ``alone`` is asked policy by policy.
"""

from collections.abc import Mapping
from typing import Any

from pgbench.ascent.sources.batches import BatchSource
from pgbench.ascent.sources.exact import ExactSource, MeanSource
from pgbench.ascent.sources.quadratic import QuadraticSource
from pgbench.ascent.sources.source import EstimatorSource, Numbers, Source
from pgbench.ascent.sources.tables import TableSource
from pgbench.estimators import Estimator, TableEstimator
from pgbench.policies import NotApplicable, Parameterised
from pgbench.problems import FiniteMDP, Problem

__all__ = ["ExactSource", "Numbers", "Source", "TableSource", "make_source"]


def make_source(
    mdp: Problem,
    policy: Parameterised,
    estimator: Estimator | None,
    values: Mapping[str, Any],
    numbers: Numbers,
    batch_size: int,
    *,
    expected: bool = False,
) -> Source:
    """The source of an estimator's estimates, or of ∇J where there is none.

    ``expected`` asks for the estimator's exact mean in place of its estimates.
    """
    if estimator is None:
        return ExactSource()
    estimator.require(mdp)
    if not expected and (reason := estimator.refuses(batch_size, numbers.group_size, **values)):
        raise NotApplicable(reason)
    kind: type[EstimatorSource] = BatchSource
    if expected:
        kind = MeanSource
    elif not isinstance(mdp, FiniteMDP):
        kind = QuadraticSource
    elif isinstance(estimator, TableEstimator):
        kind = TableSource
    return kind(mdp, policy, estimator, estimator.bound(**values), numbers, batch_size)
