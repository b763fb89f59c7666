"""The plan: a grid expanded to settings and cells, each identified by its content.

A *setting* is a problem with a policy: one θ, one exact truth, one set of trajectories. A *cell* is
a setting with an estimator and a batch size. The key of a cell is a hash of its canonical
description, so results do not depend on the order of the grid, and a changed grid adds cells
without touching those it had. The replicates of a large cell come in *portions*, whose sums are
joined in order: they can be measured anywhere, and more replicates are more portions.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pgbench.ascent import algorithms, step_sizes
from pgbench.declared.sources import shared_digest, source_digest
from pgbench.estimators import estimators
from pgbench.exact.horizon import expected_steps, shortest_horizon
from pgbench.exact.truth import Truth, evaluate
from pgbench.grid.grid import Chosen, Climber, Grid
from pgbench.policies import kinds
from pgbench.problems import Problem, families

FORMAT = 6
"""Version of what the harness writes into a record, which no digest covers: who edits a progress
bar must not measure all again. Raising it makes every cell run again."""

SHARED = (
    "arrays.py",
    "rounding.py",
    "kernels/**/*.py",
    "statistics/**/*.py",
    "process/**/*.py",
    "exact/**/*.py",
    "rollout/**/*.py",
    "measure/**/*.py",
    "estimators/parts/estimator.py",
)
"""Code that every number goes through: an edit makes every cell run again."""

ASCENT = ("ascent/*.py",)
"""Code that every ascent goes through besides; algorithms, a file each, count where they run."""


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
    kind: ClassVar[str] = "cell"

    @property
    def named(self) -> dict[str, Any]:
        """Names of the cell for the journal's reader."""
        return {"estimator": self.estimator.label, "batch_size": self.batch_size}


LEAST_PORTION = 16
PORTION_STEPS = 2**24
"""A portion has 16 times a power of two replicates, as many as take about so many steps."""


@dataclass(frozen=True)
class Portion:
    """Consecutive replicates of a large cell.

    first, replicates
        Index of the first, and how many there are.
    room
        How many a whole portion of this cell has.
    """

    first: int
    replicates: int
    room: int

    @property
    def identity(self) -> dict[str, int]:
        """What the sums of a portion depend on, beside its cell."""
        return {"first": self.first, "replicates": self.replicates, "room": self.room}


@dataclass(frozen=True)
class AscentCell:
    """One algorithm, with what it follows, at one step size in one setting: a run."""

    key: str
    climber: Climber
    step_size: Chosen
    kind: ClassVar[str] = "ascent"

    @property
    def named(self) -> dict[str, Any]:
        """Names of the ascent for the journal's reader."""
        return {"label": f"{self.climber.label}, step size {self.step_size.label}"}


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
            "shared": shared_digest(*SHARED),
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
        replicates: dict[str, Any] = {"replicates": self.grid.replicates}
        if portions := self.portions(batch_size):
            replicates["room"] = portions[0].room
        return content_hash({**self._described(estimator, batch_size), **replicates})

    def _described(self, estimator: Chosen, batch_size: int) -> dict[str, Any]:
        """What every estimate of a cell depends on."""
        return {
            **self.description,
            "estimator": estimator.canonical,
            "estimator_source": source_digest(estimators()[estimator.name].maker),
            "batch_size": batch_size,
        }

    def portion_key(self, cell: Cell, portion: Portion, centred: bool = False) -> str:
        """Key of the record of a portion's sums.

        It does not depend on how many others there are, unless deviations are from the mean of all.
        """
        described = self._described(cell.estimator, cell.batch_size)
        about = {"replicates": self.grid.replicates} if centred else {}
        return content_hash({**described, **about, "portion": portion.identity})

    def portions(self, batch_size: int) -> list[Portion]:
        """The portions of cells of a batch size, in order; none where a cell is not large."""
        each, replicates = batch_size * self.planned_horizon, self.grid.replicates
        room = LEAST_PORTION
        while 2 * room * each <= PORTION_STEPS:
            room *= 2
        if replicates <= room:
            return []
        return [
            Portion(first, min(room, replicates - first), room)
            for first in range(0, replicates, room)
        ]

    @property
    def planned_horizon(self) -> int:
        """About how many steps a trajectory has, as far as the grid alone says."""
        if self.grid.horizon is not None:
            return self.grid.horizon
        gamma: Any = self.problem.values.get("gamma")
        discounting = isinstance(gamma, float) and 0 < gamma < 1
        horizon = int(np.ceil(np.log(0.01) / np.log(float(gamma)))) if discounting else 200
        return min(horizon, self.grid.max_horizon)

    @property
    def recipe(self) -> "Setting":
        """The setting without the rest of its grid: what somebody elsewhere needs to know of it."""
        ascent = self.grid.ascent and replace(self.grid.ascent, climbers=(), step_sizes=())
        grid = replace(
            self.grid,
            problems=(self.problem,),
            policies=(self.policy,),
            estimators=(),
            batch_sizes=(),
            text="",
            ascent=ascent,
        )
        return Setting(grid, self.problem, self.policy)

    @cached_property
    def ascents(self) -> list[AscentCell]:
        """The ascents of the setting."""
        plan = self.grid.ascent
        if plan is None:
            return []
        return [
            AscentCell(self._ascent_key(climber, rule), climber, rule)
            for climber in plan.climbers
            for rule in climber.step_sizes
        ]

    def _ascent_key(self, climber: Climber, rule: Chosen) -> str:
        plan, estimator = self.grid.ascent, climber.estimator
        assert plan is not None
        makers = [algorithms()[climber.algorithm.name].maker, step_sizes()[rule.name].maker]
        if estimator is not None:
            makers.append(estimators()[estimator.name].maker)
        return content_hash(
            {
                **self.description,
                "ascent": {**climber.canonical, "step_size": rule.canonical},
                "ascent_sources": [
                    shared_digest(*ASCENT),
                    *(source_digest(maker) for maker in makers),
                ],
                "steps": plan.steps,
                "points": plan.points,
                "replicates": plan.replicates if climber.sampled else 1,
            }
        )

    def prepare(self, mdp: Problem | None = None) -> Prepared:
        """Build problem, policy, θ and truth, and settle the horizon.

        Raises NotApplicable where the policy makes no sense on the problem, and ValueError where
        the problem cannot be built or solved.
        """
        mdp = mdp or make_problem(self.problem)
        policy = kinds()[self.policy.name].make(mdp, **_given(self.policy))
        if "values" in self.grid.theta:
            theta = policy.given(self.grid.theta["values"])
        else:
            theta = policy.initial(seed=self.stream ^ self.grid.seed, **self.grid.theta)
        truth = evaluate(mdp, policy, theta)
        horizon = self.grid.horizon or shortest_horizon(truth, cap=self.grid.max_horizon)
        return Prepared(truth, horizon, expected_steps(mdp, truth.pi, horizon))


def make_problem(problem: Chosen) -> Problem:
    """The problem of a choice."""
    family, folder = families()[problem.name], Path(problem.folder)
    made: Problem = family.made_in(folder, _given(problem))
    return made


def _given(choice: Chosen) -> dict[str, Any]:
    # None stands for "not given"; the maker's own default says the same.
    return {name: value for name, value in choice.values.items() if value is not None}


def settings(grid: Grid) -> list[Setting]:
    """Every setting of a grid, problems first."""
    return [Setting(grid, problem, policy) for problem in grid.problems for policy in grid.policies]


def work(setting: Setting, cells: Sequence[Cell], ascents: Sequence[AscentCell] = ()) -> float:
    """About how many environment steps cells and ascents take; cells of a batch size share them."""
    horizon = setting.planned_horizon
    steps = horizon * setting.grid.replicates * sum({cell.batch_size for cell in cells})
    if plan := setting.grid.ascent:
        rollouts = sum(plan.replicates * c.climber.batch_size for c in ascents if c.climber.sampled)
        # Whatever an update costs beside its rollouts is worth about a thousand steps.
        steps += plan.steps * (horizon * rollouts + 1000 * len(ascents))
    return float(steps)
