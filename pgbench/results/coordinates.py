"""Coordinates of a dataset: on every axis labels and names, and the value of every parameter.

A parameter of an estimator goes by its own name, such as ``lam``; that of anything else by its
axis and name, such as ``policy_n_features``. So bias against λ is drawn by
``summary.bias.plot(x="lam")``, and nothing needs to take labels apart.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgbench.ascent import algorithms, step_sizes
from pgbench.ascent.climb import logged_steps
from pgbench.declared.ascents import ASCENT
from pgbench.declared.parameters import Parameter, spelt
from pgbench.declared.summary import AXES, CELL, SUMMARY, dimension
from pgbench.estimators import estimators
from pgbench.grid.grid import MORE, Ascents, Chosen, Grid
from pgbench.grid.keys import HORIZON, THETA, THETA_FILE
from pgbench.policies import kinds
from pgbench.problems import families

Coordinates = dict[str, Any]

TAKEN = frozenset({*SUMMARY, *ASCENT, *CELL, *AXES, "gamma", "step", "rule", "replicate"})
"""Names of variables and coordinates that a parameter of an estimator could have."""


def setting_coordinates(grid: Grid) -> Coordinates:
    """Coordinates of the axes of settings."""
    found: Coordinates = {}
    for axis, chosen in grid.axes.items():
        dim = dimension(axis)
        if axis == "seed":
            found[dim] = [own.values["seed"] for own in chosen]
            continue
        found[dim] = [own.label for own in chosen]
        found["family" if axis == "problem" else f"{dim}_name"] = dim, [own.name for own in chosen]
        rows = [(own.values, _declared(axis, own.name)) for own in chosen]
        found |= {f"{dim}_{name}": (dim, column) for name, column in _columns(rows).items()}
    problems = grid.problems
    return found | {
        "size_parameter": ("problem", [families()[own.name].size or "" for own in problems]),
        "instance": ("problem", [own.instance for own in problems]),
    }


def problem_facts(grid: Grid, facts: Mapping[str, Mapping[str, Any]]) -> Coordinates:
    """What is known of each problem by its label: sizes, 0 where unknown, and the discount."""
    own = [facts.get(problem.label, {}) for problem in grid.problems]
    sizes = ("n_states", "n_actions", "state_dimension", "action_dimension")
    return {
        **{name: ("problem", [known.get(name, 0) for known in own]) for name in sizes},
        "gamma": ("problem", [known.get("gamma", np.nan) for known in own]),
    }


def batch_coordinates(grid: Grid) -> Coordinates:
    """The axis of batch sizes."""
    return {"batch_size": ("batch_size", list(grid.batch_sizes), {"units": "trajectories"})}


def estimator_coordinates(grid: Grid) -> Coordinates:
    """Coordinates of the axis of estimators."""
    return {
        "estimator": [own.label for own in grid.estimators],
        "estimator_name": ("estimator", [own.name for own in grid.estimators]),
        **_of_estimators("estimator", grid.estimators),
    }


def ascent_coordinates(ascents: Ascents) -> Coordinates:
    """Coordinates of the axes of algorithms, with what they follow, and of step sizes."""
    climbers, rules = ascents.climbers, ascents.step_sizes
    climbing = [(c.algorithm.values, algorithms()[c.algorithm.name].parameters) for c in climbers]
    stepping = [(rule.values, step_sizes()[rule.name].parameters) for rule in rules]
    followed = [climber.estimator for climber in climbers]
    return {
        "algorithm": [climber.label for climber in climbers],
        "step_size": [rule.label for rule in rules],
        "replicate": np.arange(ascents.replicates),
        "step": (
            "step",
            logged_steps(ascents.steps, ascents.points),
            {"units": "updates"},
        ),
        "algorithm_name": ("algorithm", [c.algorithm.name for c in climbers]),
        "algorithm_label": ("algorithm", [c.algorithm.label for c in climbers]),
        "follows": ("algorithm", [c.follows for c in climbers]),
        "follows_name": ("algorithm", [c.name if c else "" for c in followed]),
        "ascent_batch_size": ("algorithm", [c.batch_size for c in climbers]),
        "rule": ("step_size", [rule.name for rule in rules]),
        **_of_estimators("algorithm", followed),
        **{f"algorithm_{name}": ("algorithm", own) for name, own in _columns(climbing).items()},
        **{f"step_size_{name}": ("step_size", own) for name, own in _columns(stepping).items()},
    }


def _declared(axis: str, name: str) -> Mapping[str, Parameter]:
    """The parameters of what is called so on an axis of settings."""
    if axis == "theta":
        return {"values": {}, "file": {"file": THETA_FILE}}.get(name, THETA)
    if axis == "horizon":
        return {"horizon": HORIZON} if name == axis else {}
    records: Mapping[str, Any] = {"problem": families, "policy": kinds, **MORE}
    found: Mapping[str, Parameter] = records[axis]()[name].parameters
    return found


def parameter_coordinate(name: str) -> str:
    """The coordinate of an estimator's parameter: its name, but where datasets have that name."""
    return f"estimator_{name}" if name in TAKEN else name


def _of_estimators(dim: str, chosen: Sequence[Chosen | None]) -> Coordinates:
    """Parameters of estimators."""
    rows = [(c.values, estimators()[c.name].parameters) if c else ({}, {}) for c in chosen]
    return {parameter_coordinate(name): (dim, column) for name, column in _columns(rows).items()}


def _columns(
    rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Parameter]]],
) -> dict[str, NDArray[Any]]:
    """What every row has of every parameter, by name: given values and declared parameters.

    A column holds numbers, NaN where a row has no such parameter, if all its values are; else text.
    """
    names = dict.fromkeys(name for _, declared in rows for name in declared)
    return {name: _column(name, rows) for name in names}


def _column(
    name: str, rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Parameter]]]
) -> NDArray[Any]:
    values = [
        given.get(name, declared[name].default) if name in declared else None
        for given, declared in rows
    ]
    known = [value for value in values if value is not None]
    numeric = any({int, float} & {*own[name].types} for _, own in rows if name in own)
    if numeric and all(_is_number(value) for value in known):
        return np.array([np.nan if value is None else value for value in values], float)
    return np.array(["" if value is None else spelt(value) for value in values], object)


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a column can hold to the last digit."""
    return isinstance(value, int | float) and not isinstance(value, bool) and float(value) == value
