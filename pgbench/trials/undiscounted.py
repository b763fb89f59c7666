"""Estimators without the factor γ^t of step t, whatever else is right or wrong in them.

Online actor-critic code leaves it out knowingly (Nota & Thomas 2020), and hides behind it whatever
else is wrong.
"""

from dataclasses import replace
from functools import wraps
from typing import Any

from pgbench.arrays import FloatArray
from pgbench.estimators import BatchEstimator, Estimator, TableEstimator, Tables
from pgbench.exact.truth import Truth
from pgbench.process.batch import Batch
from pgbench.rollout.simulator import Simulator


class _Batch(Batch):
    """A batch whose steps all weigh the same."""

    def discounts(self, delta: float | None = None) -> FloatArray:
        """1 for every step, (T,), unless another factor is asked for."""
        return super().discounts(1.0 if delta is None else delta)


class _Simulator(Simulator):
    """A simulator that hands out such batches."""

    def _drawn(self, purpose: str, n: int, process: Any) -> Any:
        batch = super()._drawn(purpose, n, process)
        return _Batch(**{name: getattr(batch, name) for name in Batch.__dataclass_fields__})


def undiscounted(estimator: Estimator) -> Estimator:
    """An estimator of finite problems with a weight of 1 in place of γ^t for step t.

    In tables δ is divided by γ. A function of batches is handed batches whose ``discounts()`` are
    1: what is discounted by a factor that it names itself stays so, as do its rewards to go. One
    whose steps carry no γ^t comes back with the same estimates.
    """
    if isinstance(estimator, TableEstimator):
        return replace(estimator, tables=_tables(estimator.tables))
    assert isinstance(estimator, BatchEstimator)
    # What is known of its moments is known of it with γ^t.
    return replace(
        estimator,
        estimate=_estimate(estimator.estimate),
        bias=lambda **values: (*estimator.bias(**values), "discount"),
        moments=None,
    )


def _tables(make: Any) -> Any:
    @wraps(make)
    def without(truth: Truth, *horizon: Any, **values: Any) -> Tables:
        tables: Tables = make(truth, *horizon, **values)
        # At γ = 0 nothing is carried on to a second step, whatever its weight.
        return replace(tables, delta=tables.delta / (truth.mdp.gamma or 1.0))

    return without


def _estimate(estimate: Any) -> Any:
    @wraps(estimate)
    def without(simulator: Simulator, **values: Any) -> FloatArray:
        s = simulator
        own = _Simulator(s.truth, s.draws, s.first, s.m, shared=s.shared, kept=s.kept)
        estimates: FloatArray = estimate(own, **values)
        s.steps += own.steps
        return estimates

    return without
