"""A grid as it was read: what was chosen along its axes, and what is common to all cells."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pgbench.ascent import algorithms
from pgbench.objectives import objectives
from pgbench.samplers import ON_POLICY, samplers


@dataclass(frozen=True)
class Chosen:
    """A problem, policy or estimator by name, with the value of every parameter.

    A parameter marked ``Later`` has a value here only if it is not the default.
    ``instance`` counts the draws of a random problem family; it is 0 for everything else.
    ``content`` stands for what it depends on beside its values, such as a file's bytes, and
    ``folder`` is where the grid's file lies, from which paths among the values begin.
    """

    name: str
    values: Mapping[str, Any]
    label: str
    instance: int = 0
    content: str = ""
    folder: str = ""

    @property
    def canonical(self) -> dict[str, Any]:
        """What identifies the choice, however it was spelt in the file."""
        return {"name": self.name, "values": dict(self.values)}


DEFAULTS: Mapping[str, Chosen] = {
    "objective": Chosen("J", {}, "J"),
    "sampler": Chosen(ON_POLICY, {}, ON_POLICY),
    "theta": Chosen("normal", {"init": "normal", "scale": 1.0}, "normal"),
    "horizon": Chosen("auto", {}, "auto"),
    "seed": Chosen("seed", {"seed": 0}, "0"),
}
"""What stands for the axes of settings that a grid need not name, where it does not."""

MORE: Mapping[str, Callable[[], Mapping[str, Any]]] = {
    "objective": objectives,
    "sampler": samplers,
}
"""The records of these axes by name, where they have some. A grid's key for them is the plural."""

EXACT = "exact"
"""What stands for ∇J itself among the estimators of an ascent."""


@dataclass(frozen=True)
class Climber:
    """An algorithm with what it follows: a row of the axis ``algorithm``.

    Attributes
    ----------
    algorithm
        The algorithm by name.
    estimator
        What is followed: an estimator, or None for ∇J, or for an algorithm that takes none.
    expected
        Whether the estimator's exact mean is followed.
    batch_size
        Rollouts per update.
    step_sizes
        The rules it is run with.
    """

    algorithm: Chosen
    estimator: Chosen | None
    expected: bool
    batch_size: int
    step_sizes: tuple[Chosen, ...]

    @property
    def follows(self) -> str:
        """What is followed, in words."""
        if self.estimator is None:
            return EXACT if algorithms()[self.algorithm.name].estimates else ""
        return f"E {self.estimator.label}" if self.expected else self.estimator.label

    @property
    def sampled(self) -> bool:
        """Whether rollouts are taken."""
        takes = algorithms()[self.algorithm.name].estimates
        return not takes or (self.estimator is not None and not self.expected)

    @property
    def label(self) -> str:
        """Algorithm, what is followed, batch size."""
        words = [self.algorithm.label, *filter(None, [self.follows])]
        if self.estimator is not None and (not self.expected or self.batch_size > 1):
            words.append(f"n={self.batch_size}")
        return ", ".join(words)

    @property
    def canonical(self) -> dict[str, Any]:
        """What identifies the choice, step sizes apart."""
        followed = None if self.estimator is None else self.estimator.canonical
        return {
            "algorithm": self.algorithm.canonical,
            "estimator": followed,
            "expected": self.expected,
            "batch_size": self.batch_size if followed else 0,
        }


@dataclass(frozen=True)
class Ascents:
    """The ascents of a grid: who climbs, with which step sizes, and how long."""

    climbers: tuple[Climber, ...]
    step_sizes: tuple[Chosen, ...]
    steps: int
    replicates: int
    points: int


@dataclass(frozen=True)
class Grid:
    """A validated grid: its axes, and the settings common to all cells.

    Attributes
    ----------
    axes
        What was chosen along the axes of settings, in the order of their plan: problems, policies,
        and those of ``DEFAULTS`` that the grid names.
    common
        What stands for those that it does not name.
    """

    name: str
    axes: Mapping[str, tuple[Chosen, ...]]
    common: Mapping[str, Chosen]
    estimators: tuple[Chosen, ...]
    batch_sizes: tuple[int, ...]
    max_horizon: int
    replicates: int
    device: str
    text: str
    group_size: int | None = None
    ascent: Ascents | None = None

    @property
    def problems(self) -> tuple[Chosen, ...]:
        """The axis of problems."""
        return self.axes["problem"]

    @property
    def policies(self) -> tuple[Chosen, ...]:
        """The axis of policies."""
        return self.axes["policy"]

    @property
    def seed(self) -> int | list[int]:
        """The seed of every random stream, or all of them."""
        seeds = [own.values["seed"] for own in self.axes.get("seed") or (self.common["seed"],)]
        return seeds if "seed" in self.axes else seeds[0]

    @property
    def more_axes(self) -> tuple[str, ...]:
        """Axes of settings that a grid need not name, and this one does."""
        return tuple(axis for axis in self.axes if axis in DEFAULTS)

    @property
    def contents(self) -> dict[str, str]:
        """Contents of files that problems, policies and θ are made of, by label."""
        every = (*self.common.values(), *(own for axis in self.axes.values() for own in axis))
        return {chosen.label: chosen.content for chosen in every if chosen.content}

    def with_contents(self, contents: Mapping[str, str]) -> "Grid":
        """The grid of files that had these contents, where their labels are known."""

        def old(own: Chosen) -> Chosen:
            return replace(own, content=contents.get(own.label, own.content))

        axes = {axis: tuple(map(old, chosen)) for axis, chosen in self.axes.items()}
        common = {axis: old(own) for axis, own in self.common.items()}
        return replace(self, axes=axes, common=common)
