"""The plan: a grid expanded to settings and cells, each identified by its content.

A *setting* is a problem with a policy: one θ, one exact truth, one set of trajectories. A *cell* is
a setting with an estimator and a batch size. The key of a cell is a hash of its canonical
description, so results do not depend on the order of the grid, and a changed grid adds cells
without touching those it had.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np

from pgbench.estimators import estimators
from pgbench.exact.horizon import expected_steps, shortest_horizon
from pgbench.exact.values import Truth, evaluate
from pgbench.grid import Chosen, Grid
from pgbench.policies import kinds
from pgbench.problems import FiniteMDP, families
from pgbench.registry import source_digest

FORMAT = 4
"""Version of what a cell's record means; raising it makes every cell run again."""


def content_hash(description: Mapping[str, Any], size: int = 16) -> str:
    """Hash of a canonical description, as hexadecimal digits."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return blake2b(text.encode(), digest_size=size).hexdigest()


@dataclass(frozen=True)
class Cell:
    """One estimator at one batch size in one setting."""

    key: str
    estimator: Chosen
    batch_size: int


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the cells of a setting share."""

    truth: Truth
    horizon: int
    expected_steps: float


@dataclass(frozen=True, eq=False)
class Setting:
    """A problem with a policy, and the cells of the grid in it."""

    grid: Grid
    problem: Chosen
    policy: Chosen

    @property
    def label(self) -> str:
        """Problem and policy in words."""
        return f"{self.problem.label} × {self.policy.label}"

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the streams and θ depend on, beside the seed."""
        return {
            "problem": self.problem.canonical,
            "content": self.problem.content,
            "policy": self.policy.canonical,
            "theta": dict(self.grid.theta),
        }

    @cached_property
    def description(self) -> dict[str, Any]:
        """What every number of the setting depends on."""
        return {
            "format": FORMAT,
            "seed": self.grid.seed,
            "horizon": self.grid.horizon or {"max": self.grid.max_horizon},
            "sources": [
                source_digest(families()[self.problem.name].maker),
                source_digest(kinds()[self.policy.name].maker),
            ],
            **self.identity,
        }

    @cached_property
    def key(self) -> str:
        """Key of the setting's record of exact quantities."""
        return content_hash(self.description)

    @property
    def stream(self) -> int:
        """The stream number, an unsigned 64-bit integer."""
        return int(content_hash(self.identity, size=8), 16)

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells of the setting."""
        return [
            Cell(self._cell_key(estimator, batch_size), estimator, batch_size)
            for estimator in self.grid.estimators
            for batch_size in self.grid.batch_sizes
        ]

    def _cell_key(self, estimator: Chosen, batch_size: int) -> str:
        return content_hash(
            {
                **self.description,
                "estimator": estimator.canonical,
                "estimator_source": source_digest(estimators()[estimator.name].maker),
                "batch_size": batch_size,
                "replicates": self.grid.replicates,
            }
        )

    def prepare(self, mdp: FiniteMDP | None = None) -> Prepared:
        """Build problem, policy, θ and truth, and settle the horizon.

        Raises NotApplicable where the policy makes no sense on the problem, and ValueError where
        the problem cannot be built or solved.
        """
        mdp = mdp or make_problem(self.problem)
        policy = kinds()[self.policy.name].make(mdp, **_given(self.policy))
        theta = policy.initial(seed=self.stream ^ self.grid.seed, **self.grid.theta)
        truth = evaluate(mdp, policy, theta)
        horizon = self.grid.horizon or shortest_horizon(truth, cap=self.grid.max_horizon)
        return Prepared(truth, horizon, expected_steps(mdp, truth.pi, horizon))


def make_problem(problem: Chosen) -> FiniteMDP:
    """The problem of a choice."""
    return families()[problem.name].make(**_given(problem))


def _given(choice: Chosen) -> dict[str, Any]:
    # None stands for "not given"; the maker's own default says the same.
    return {name: value for name, value in choice.values.items() if value is not None}


def settings(grid: Grid) -> list[Setting]:
    """Every setting of a grid, problems first."""
    return [Setting(grid, problem, policy) for problem in grid.problems for policy in grid.policies]


def work(setting: Setting, cells: list[Cell], horizon: int | None = None) -> float:
    """About how many environment steps the cells take; cells of one batch size share them."""
    gamma: Any = setting.problem.values.get("gamma")
    if horizon is None:
        horizon = setting.grid.horizon
    if horizon is None:
        discounting = isinstance(gamma, float) and 0 < gamma < 1
        horizon = int(np.ceil(np.log(0.01) / np.log(float(gamma)))) if discounting else 200
        horizon = min(horizon, setting.grid.max_horizon)
    return float(horizon * setting.grid.replicates * sum({cell.batch_size for cell in cells}))
