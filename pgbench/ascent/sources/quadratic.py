"""Estimates on linear-quadratic problems."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.ascent.quadratic_crowd import QuadraticCrowd
from pgbench.ascent.sources.source import EstimatorSource
from pgbench.estimators import TableEstimator
from pgbench.exact.linear_quadratic import QuadraticTruth
from pgbench.policies.law import Law
from pgbench.problems.quadratic import Quadratic
from pgbench.process.process import GaussianProcess
from pgbench.process.tables import Forms
from pgbench.rollout.engines import Rollouts
from pgbench.rollout.several import SeveralSimulator
from pgbench.rollout.simulator import Draws


class QuadraticSource(EstimatorSource):
    """Estimates on linear-quadratic problems.

    A table estimator is asked for the forms of all policies, which are then simulated together, and
    a batch estimator for the estimates of all, unless it says why it stands alone.
    """

    def gradient(  # type: ignore[override]
        self, crowd: QuadraticCrowd, k: int
    ) -> tuple[FloatArray, IntArray]:
        """Estimates (m, d) and their environment steps (m,); NaN without finite values."""
        if isinstance(self.estimator, TableEstimator):
            return self._of_good(crowd, self._by_forms, k)
        if self.estimator.alone:
            out, steps = self.one_by_one(crowd, k)
        else:
            out, steps = self._of_good(crowd, self._by_batches, k)
        out[~np.isfinite(out).all(axis=1)] = np.nan
        return out, steps

    def _of_good(
        self,
        crowd: QuadraticCrowd,
        estimates: Callable[[QuadraticTruth, Draws], tuple[FloatArray, IntArray | int]],
        k: int,
    ) -> tuple[FloatArray, IntArray]:
        """Estimates and steps of all; another policy stands in for those without finite values."""
        out, steps = np.full(crowd.theta.shape, np.nan), np.zeros(crowd.m, np.int64)
        if crowd.good.any():
            draws = self.numbers.draws(crowd.m, self.batch_size, k)
            found, taken = estimates(crowd.stand_ins, draws)
            out[crowd.good] = found[crowd.good]
            steps += np.where(crowd.good, taken, 0)
        return out, steps

    def _by_batches(self, truth: QuadraticTruth, draws: Draws) -> tuple[FloatArray, IntArray]:
        simulator = SeveralSimulator(truth, draws, 0, draws.replicates)
        estimates = self.estimator.estimate(simulator, **self.values)
        return np.asarray(estimates, np.float64), simulator.steps

    def _by_forms(self, truth: QuadraticTruth, draws: Draws) -> tuple[FloatArray, int]:
        rollouts = Rollouts([self._forms(truth)])
        weights = next(rollouts.weights(draws, memory_bytes=2**62)).weights[:, 0]
        steps = draws.horizon * draws.batch_size
        return truth.policy.pull_back(truth.theta, weights), steps

    def _forms(self, truth: QuadraticTruth) -> Any:
        make, horizon = self.estimator.make, self.numbers.horizon
        if not self.estimator.alone:
            return make(truth, horizon, **self.values)
        each = (truth.one(r) for r in range(len(truth.theta)))
        return stacked([make(one, horizon, **self.values) for one in each])


def stacked(forms: list[Forms]) -> Forms:
    """The forms of single policies as those of all; ValueError where κ or δ differ."""
    first = forms[0]
    if any((own.kappa, own.delta) != (first.kappa, first.delta) for own in forms):
        raise ValueError("κ and δ must be the same for all policies of a linear-quadratic problem")
    law = _law([own.process.pi for own in forms])
    target = _law([own.process.target for own in forms]) if first.process.weighed else law
    return replace(
        first,
        process=GaussianProcess(first.process.mdp, law, target),
        sigma=_form([own.sigma for own in forms]),
        after=_form([own.after for own in forms]),
        beta=_form([own.beta for own in forms]),
    )


def _law(laws: list[Law]) -> Law:
    gains, covariances = ([getattr(own, name) for own in laws] for name in ("gain", "covariance"))
    return Law(np.stack(gains), np.stack(covariances))


def _form(forms: list[Quadratic]) -> Quadratic:
    return Quadratic(np.stack([own.matrix for own in forms]), forms[0].n)
