"""The plan: a grid expanded to settings and cells, each identified by its content.

A *setting* is a problem with a policy, an objective, mostly J, and a sampler of its data, mostly
the policy itself: one θ, one exact truth, one set of trajectories. A *cell* is a setting with an
estimator and a batch size. The key of a cell is a hash of its canonical description, so results do
not depend on the order of the grid, and a changed grid adds cells without touching those it had.
The replicates of a large cell come in *portions*, whose sums are joined in order: they can be
measured anywhere, and more replicates are more portions.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.ascent import algorithms, step_sizes
from pgbench.declared.sources import shared_digest, source_digest
from pgbench.declared.summary import dimension, in_words
from pgbench.estimators import estimators
from pgbench.exact.horizon import expected_steps, shortest_horizon
from pgbench.exact.truth import Truth
from pgbench.grid.grid import DEFAULTS, MORE, Chosen, Climber, Grid
from pgbench.memory import explained, require_memory
from pgbench.objectives import Objective, objectives
from pgbench.policies import Parameterised, kinds
from pgbench.policies.policy import PolicyDimensions
from pgbench.problems import Problem, families
from pgbench.problems.dimensions import Dimensions
from pgbench.samplers import Drawn, samplers

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
    "objectives/objective.py",
    "samplers/sampler.py",
    "rollout/**/*.py",
    "measure/**/*.py",
    "estimators/parts/estimator.py",
)
"""Code that every number goes through: an edit makes every cell run again."""

ASCENT = ("ascent/*.py",)
"""Code that every ascent goes through besides; algorithms, a file each, count where they run."""


def content_hash(description: Mapping[str, Any], size: int = 16) -> str:
    """Hash of a canonical description, as hexadecimal digits."""
    return _hashed(_written(description), size)


def _number(description: Mapping[str, Any]) -> int:
    """Hash of a canonical description, as an unsigned 64-bit integer."""
    return int(content_hash(description, size=8), 16)


def _written(description: Mapping[str, Any]) -> dict[str, str]:
    """The parts of a description by name, each as canonical JSON."""
    return {name: _ENCODER.encode(part) for name, part in description.items()}


def _hashed(parts: Mapping[str, str], size: int = 16) -> str:
    """Hash of the canonical JSON that is put together of parts, which many cells share."""
    text = ",".join(f'"{name}":{parts[name]}' for name in sorted(parts))
    return blake2b(f"{{{text}}}".encode(), digest_size=size).hexdigest()


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class Cell:
    """One estimator at one batch size in one setting.

    ``parts`` is what every estimate of the estimator depends on beside the batch size, as text.
    """

    key: str
    estimator: Chosen
    batch_size: int
    parts: Mapping[str, str] = field(repr=False, compare=False)
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
    """What the cells of a setting share.

    ``group_size`` is None where batches have no groups, ``maximised`` where nobody asks for the
    objective of other θ.
    """

    truth: Truth
    horizon: int
    expected_steps: float
    group_size: int | None = None
    maximised: Objective | None = None


@dataclass(frozen=True, eq=False)
class Setting:
    """A problem with a policy, and the cells of the grid in it.

    ``described`` is its description as text where it was planned elsewhere: keys are told to
    whoever measures, who would read all sources to find them again.
    """

    grid: Grid
    problem: Chosen
    policy: Chosen
    objective: Chosen
    sampler: Chosen
    theta: Chosen
    horizon: Chosen
    seed: Chosen
    described: dict[str, str] | None = None

    @property
    def labels(self) -> dict[str, str]:
        """What was chosen along each axis that the grid names, in words."""
        return {axis: getattr(self, axis).label for axis in self.grid.axes}

    @property
    def words(self) -> list[str]:
        """Problem and policy in words, and what else the grid names."""
        return [in_words(dimension(axis), label) for axis, label in self.labels.items()]

    @property
    def label(self) -> str:
        """The same in one."""
        return " × ".join(self.words)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What θ depends on beside the seed, and the streams but for objective and sampler."""
        content = self.theta.content
        return {
            "problem": self.problem.canonical,
            "content": self.problem.content,
            "policy": self.policy.canonical,
            "theta": {**self.theta.values, **({"content": content} if content else {})},
        }

    @cached_property
    def description(self) -> dict[str, Any]:
        """What every number of the setting depends on."""
        grouped = {"group_size": self.grid.group_size} if self.grid.group_size else {}
        return {
            **grouped,
            "format": FORMAT,
            "shared": shared_digest(*SHARED),
            "seed": self.random_seed,
            "horizon": self.fixed_horizon or {"max": self.grid.max_horizon},
            "sources": [
                source_digest(families()[self.problem.name].maker),
                source_digest(kinds()[self.policy.name].maker),
                *(source_digest(MORE[axis]()[own.name].maker) for axis, own in self._more.items()),
                *filter(None, [self.policy.content]),
            ],
            **{axis: own.canonical for axis, own in self._more.items()},
            **self.identity,
        }

    @property
    def random_seed(self) -> int:
        """The seed of the setting's random streams."""
        seed: int = self.seed.values["seed"]
        return seed

    @property
    def fixed_horizon(self) -> int | None:
        """Steps per rollout where the grid says how many; None where truth settles it."""
        return self.horizon.values.get("horizon")

    @property
    def _more(self) -> dict[str, Chosen]:
        """What was chosen along axes of records that a grid need not name, but for the defaults."""
        every = {axis: getattr(self, axis) for axis in MORE}
        return {axis: own for axis, own in every.items() if own.name != DEFAULTS[axis].name}

    @cached_property
    def _parts(self) -> dict[str, str]:
        """The description, as every key of the setting holds it."""
        return self.described or _written(self.description)

    @cached_property
    def key(self) -> str:
        """Key of the setting's record of exact quantities."""
        return _hashed(self._parts)

    @property
    def stream(self) -> int:
        """The number of the streams of its trajectories, an unsigned 64-bit integer."""
        more = {axis: own.canonical for axis, own in self._more.items()}
        return _number(more | self.identity)

    @cached_property
    def dimensions(self) -> Dimensions | None:
        """How large the problem will be, or None if only building it tells."""
        return expected_dimensions(self.problem)

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells of the setting."""
        return [cell for estimator in self.grid.estimators for cell in self._cells_of(estimator)]

    def _cells_of(self, estimator: Chosen) -> Iterator[Cell]:
        estimated = self._estimated(estimator)
        parts = estimated | _written({"replicates": self.grid.replicates})
        for batch_size in self.grid.batch_sizes:
            own, room = {"batch_size": batch_size}, self.room(batch_size)
            if room < self.grid.replicates:
                own["room"] = room
            yield Cell(_hashed(parts | _written(own)), estimator, batch_size, estimated)

    def _estimated(self, estimator: Chosen) -> dict[str, str]:
        """What every estimate of an estimator depends on, beside the batch size, as text."""
        return self._parts | _written(
            {
                "estimator": estimator.canonical,
                "estimator_source": source_digest(estimators()[estimator.name].maker),
            }
        )

    def portion_key(self, cell: Cell, portion: Portion, centred: bool = False) -> str:
        """Key of the record of a portion's sums.

        It does not depend on how many others there are, unless deviations are from the mean of all.
        """
        own = {"batch_size": cell.batch_size, "portion": portion.identity}
        about = {"replicates": self.grid.replicates} if centred else {}
        return _hashed({**cell.parts, **_written({**own, **about})})

    def room(self, batch_size: int) -> int:
        """Number of replicates of a portion of cells of a batch size."""
        each = LEAST_PORTION * batch_size * likely_horizon(self)
        return LEAST_PORTION * 2 ** max(0, (PORTION_STEPS // each).bit_length() - 1)

    def portions(self, batch_size: int) -> list[Portion]:
        """The portions of cells of a batch size, in order; none where a cell is not large."""
        replicates, room = self.grid.replicates, self.room(batch_size)
        if replicates <= room:
            return []
        return [
            Portion(first, min(room, replicates - first), room)
            for first in range(0, replicates, room)
        ]

    @property
    def recipe(self) -> "Setting":
        """The setting without the rest of its grid: what somebody elsewhere needs to know of it."""
        ascent = self.grid.ascent and replace(self.grid.ascent, climbers=(), step_sizes=())
        grid = replace(
            self.grid,
            axes={axis: (getattr(self, axis),) for axis in self.grid.axes},
            estimators=(),
            batch_sizes=(),
            text="",
            ascent=ascent,
        )
        return replace(self, grid=grid, described=self._parts)

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
        return _hashed(
            self._parts
            | _written(
                {
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
        )

    def prepare(self, mdp: Problem | None = None) -> Prepared:
        """Build problem, policy, θ and truth, and settle the horizon.

        Raises NotApplicable where the policy makes no sense on the problem, ValueError where the
        problem cannot be built or solved, and NotEnoughMemory where either does not fit.
        """
        mdp = mdp or make_problem(self.problem)
        kind, given = kinds()[self.policy.name], _given(self.policy)
        folder = Path(self.policy.folder)
        size = expected_policy(self.policy, mdp.dimensions)
        require_memory(self.label, mdp.dimensions.memory + (size.memory if size else 0.0))
        with explained(self.label):
            return self._evaluated(mdp, kind.made_in(folder, mdp, given))

    def start(self, policy: Parameterised) -> FloatArray:
        """θ of the setting, the same whatever is maximised and whatever draws the data."""
        given = self.theta.values
        if "values" in given:
            return policy.given(given["values"])
        if "file" in given:
            return policy.read(Path(self.theta.folder) / given["file"])
        how = {name: value for name, value in given.items() if name != "seed"}
        return policy.initial(seed=_number(self.identity) ^ self.random_seed, **how)

    def maximised(self, mdp: Problem, policy: Parameterised) -> Objective:
        """The objective, of policies of a class on the problem without penalties."""
        return objectives()[self.objective.name].make(mdp, policy, **_given(self.objective))

    @property
    def drawn(self) -> Drawn | None:
        """What draws the data along ascents; None where policies do themselves."""
        return samplers()[self.sampler.name].along(**_given(self.sampler))

    def _evaluated(self, mdp: Problem, policy: Parameterised) -> Prepared:
        """Truth of a policy at θ, and the horizon."""
        maximised = self.maximised(mdp, policy)
        sampler = samplers()[self.sampler.name]
        truth = sampler.sampled(maximised.truth(self.start(policy)), **_given(self.sampler))
        horizon = self.fixed_horizon or shortest_horizon(truth, cap=self.grid.max_horizon)
        steps = expected_steps(mdp, truth.process.pi, horizon)
        return Prepared(truth, horizon, steps, self.grid.group_size, maximised)


def make_problem(problem: Chosen) -> Problem:
    """The problem of a choice; NotEnoughMemory, before anything is built, if it does not fit."""
    if dimensions := expected_dimensions(problem):
        require_memory(problem.label, dimensions.memory)
    with explained(problem.label):
        made: Problem = families()[problem.name].made_in(Path(problem.folder), _given(problem))
    return made


def expected_dimensions(problem: Chosen) -> Dimensions | None:
    """How large a problem will be, or None if only building it tells."""
    return families()[problem.name].expected(Path(problem.folder), _given(problem))


def expected_policy(policy: Chosen, problem: Dimensions) -> PolicyDimensions | None:
    """How large a policy will be on a problem, or None if it makes no sense there."""
    return kinds()[policy.name].expected(problem, _given(policy))


def _given(choice: Chosen) -> dict[str, Any]:
    # None stands for "not given"; the maker's own default says the same.
    return {name: value for name, value in choice.values.items() if value is not None}


def settings(grid: Grid) -> list[Setting]:
    """Every setting of a grid, problems first."""
    every: Iterator[dict[str, Any]] = (
        {**grid.common, **dict(zip(grid.axes, own, strict=True))}
        for own in product(*grid.axes.values())
    )
    return [Setting(grid, **own) for own in every]


def likely_horizon(setting: Setting) -> int:
    """The horizon, or about what it will be if it is settled later."""
    if setting.fixed_horizon is not None:
        return setting.fixed_horizon
    gamma: Any = setting.problem.values.get("gamma")
    discounting = isinstance(gamma, float) and 0 < gamma < 1
    guess = int(np.ceil(np.log(0.01) / np.log(float(gamma)))) if discounting else 200
    return min(guess, setting.grid.max_horizon)


SOLVED = 2000.0
"""What exact mean and variance of an estimator take per slot, in environment steps."""

UPDATED = 20.0
"""What the exact values of a policy of an ascent take per slot, in environment steps."""


def exact_work(
    setting: Setting, cells: Sequence[Cell], ascents: Sequence[AscentCell] = ()
) -> float:
    """What cells and ascents take beside their rollouts, about, in environment steps.

    Of a problem whose size only building it tells, nothing.
    """
    slots = setting.dimensions.numbers if setting.dimensions else 0
    effort = SOLVED * slots * len({cell.estimator.label for cell in cells})
    if plan := setting.grid.ascent:
        for ascent in ascents:
            policies = plan.points * plan.replicates if ascent.climber.sampled else plan.steps
            effort += UPDATED * slots * policies
    return effort


def work(
    setting: Setting,
    cells: Sequence[Cell],
    ascents: Sequence[AscentCell] = (),
) -> float:
    """About how many environment steps cells and ascents take; cells of a batch size share them."""
    horizon = likely_horizon(setting)
    steps = horizon * setting.grid.replicates * sum({cell.batch_size for cell in cells})
    if plan := setting.grid.ascent:
        rollouts = sum(plan.replicates * c.climber.batch_size for c in ascents if c.climber.sampled)
        # Whatever an update costs beside its rollouts is worth about a thousand steps.
        steps += plan.steps * (horizon * rollouts + 1000 * len(ascents))
    return float(steps)
