"""Estimates of table estimators on finite problems: rollouts, and the tables that weigh them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.ascent.crowd import FiniteCrowd
from pgbench.ascent.sources.source import EstimatorSource
from pgbench.estimators import TableEstimator
from pgbench.objectives import Objective
from pgbench.process.tables import Tables
from pgbench.rollout.several import Recorded, record

NAMES = ("sigma", "kappa", "beta", "delta")
"""The four tables."""


class TableSource(EstimatorSource):
    """Estimates by a table estimator: the tables of all policies at once, or one by one."""

    estimator: TableEstimator

    def gradient(  # type: ignore[override]
        self, crowd: FiniteCrowd, k: int
    ) -> tuple[FloatArray, IntArray]:
        """Estimates (m, d) and their environment steps (m,); NaN where they need unknown values."""
        if self.estimator.alone and not crowd.good.any():
            return np.full(crowd.theta.shape, np.nan), np.zeros(crowd.m, np.int64)
        here = self.at(crowd)
        drawn = here.draw(k)
        return here.weighed(drawn), drawn.cost

    def at(self, crowd: Any) -> "Weigher":
        """The estimator at the crowd's θ, to draw rollouts there and to weigh any."""
        return Weigher(self, crowd, self._tables(crowd))

    def _tables(self, crowd: FiniteCrowd) -> Tables:
        make, horizon = self.estimator.make, self.numbers.horizon
        if not self.estimator.alone:
            return self._of_all(make(crowd.truths, horizon, **self.values), crowd.m)
        # For a policy without finite values another one stands in, whose tables are blanked after.
        able = np.where(crowd.good, np.arange(crowd.m), crowd.good.argmax())
        made = {int(r): make(crowd.truth(int(r)), horizon, **self.values) for r in np.unique(able)}
        return _stacked([made[int(r)] for r in able], crowd.good)

    def _of_all(self, tables: Tables, m: int) -> Tables:
        """The tables themselves; ValueError where what they simulate is not m policies."""
        if tables.process.pi.shape[:-2] != (m,):
            raise ValueError(
                f"{self.estimator.name} declares that it takes many policies at once, but of {m} it"
                f" simulates probabilities of shape {tables.process.pi.shape}"
            )
        return tables

    def on_policy(self, objective: Objective | None = None) -> bool:
        """Whether what is simulated is the problem under the policy itself, at two θ's."""
        thetas = np.stack([self.policy.initial(seed=seed) for seed in (1, 2)])
        crowd = FiniteCrowd(self.mdp, self.policy, thetas, under=objective)
        process = self._tables(crowd).process
        return process.mdp is crowd.truths.mdp and np.array_equal(process.pi, crowd.pi)


def _stacked(tables: list[Tables], good: BoolArray) -> Tables:
    """The tables of single policies as those of all; NaN where there are no finite values."""
    process = replace(tables[0].process, pi=np.stack([own.process.pi for own in tables]))
    arrays = {name: np.stack([getattr(own, name) for own in tables]) for name in NAMES}
    arrays["beta"][~good] = np.nan
    return Tables(process=process, total=tables[0].total, **arrays)


@dataclass(frozen=True, eq=False)
class Weigher:
    """A table estimator at the θ's of a crowd.

    source, crowd, tables: the estimator, and its tables for all policies of the crowd.
    """

    source: TableSource
    crowd: FiniteCrowd
    tables: Tables

    def draw(self, k: int, n: int | None = None, purpose: str = "") -> Recorded:
        """n rollouts of iteration k, by default a batch, of what the estimator simulates."""
        n = n or self.source.batch_size
        draws = self.source.numbers.draws(self.crowd.m, n, k, purpose)
        return record(self.tables.process, draws)

    def weighed(self, drawn: Recorded, factor: FloatArray | None = None) -> FloatArray:
        """Estimates (m, d) from rollouts, each counted ``factor`` (m, n) times."""
        from pgbench.kernels.crowd import weigh

        process, (m, n, _) = self.tables.process, drawn.pair.shape
        weights = np.empty((m, process.mdp.n_states * process.mdp.n_actions))
        factor = np.ones((m, n)) if factor is None else factor
        sigma, kappa, beta, delta = self._rows()
        weigh(
            drawn.pair,
            drawn.slot,
            drawn.steps,
            sigma,
            kappa,
            beta,
            delta,
            self.tables.total,
            factor,
            weights,
        )
        scored = weights.reshape(m, *process.pi.shape[1:])[:, process.scored]
        return self.crowd.policy.each_pull_back(self.crowd.theta, scored)

    def _rows(self) -> list[FloatArray]:
        """The tables as the kernel takes them: (1, n) where all policies share all, else (m, n)."""
        own = [getattr(self.tables, name) for name in NAMES]
        shared = [
            table.ndim - (name == "sigma") == 2 for name, table in zip(NAMES, own, strict=True)
        ]
        if all(shared):
            return [table.reshape(1, -1) for table in own]
        m = self.crowd.m
        return [
            np.tile(table.reshape(1, -1), (m, 1)) if same else table.reshape(m, -1)
            for table, same in zip(own, shared, strict=True)
        ]
