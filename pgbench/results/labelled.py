"""Arrays labelled as their schema says, and trees held against the schemas."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import xarray as xr

from pgbench.declared.ascents import ASCENT
from pgbench.declared.summary import AXES, MAPS, SETTING, SUMMARY
from pgbench.declared.variables import Schema, breaches, on_axes, require_declared
from pgbench.results.files import OutputError

COORDINATES = ("family", "policy_name")
"""Coordinates that every dataset has; older ones lack the second."""


def labelled(
    schema: Schema,
    arrays: Mapping[str, Any],
    coordinates: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """A dataset of arrays with the dimensions, names and units that a schema declares.

    Raises ValueError for an array that it does not declare.
    """
    require_declared(arrays, schema)
    variables = {
        name: (schema[name].dims, array, schema[name].attributes) for name, array in arrays.items()
    }
    return xr.Dataset(variables, coords=coordinates, attrs=attributes)


def require_fitting(found: tuple[int, ...], room: tuple[int, ...], name: str, key: str) -> None:
    """Raise OutputError unless a record's array is not larger than its room in the dataset."""
    if len(found) != len(room) or any(n > m for n, m in zip(found, room, strict=True)):
        raise OutputError(
            f"the journal's record {key} holds {name} of shape {found}, must be {room}: delete its"
            " line, and it is made again"
        )


def mark_reproducible(dataset: xr.Dataset, schema: Schema) -> None:
    """Say of every variable whether it is the same in every run."""
    for name, array in dataset.data_vars.items():
        array.attrs["reproducible"] = int(schema[str(name)].reproducible)


def summary_schema(estimating: bool, axes: Collection[str] = ()) -> Schema:
    """Variables of the root: all, or those of settings where a grid has no estimators.

    ``axes`` are those of settings that the grid names beside problem and policy.
    """
    own = {
        name: variable
        for name, variable in SUMMARY.items()
        if estimating or variable.dims == SETTING
    }
    return on_axes(own, axes)


def validate(tree: xr.DataTree) -> None:
    """Check names, dimensions and attributes against the schema; ValueError lists what differs."""
    axes = [axis for axis in AXES if axis in tree.sizes]
    expected = summary_schema(tree.sizes.get("estimator", 0) > 0, axes)
    errors = [f"{name}: missing" for name in sorted({*expected} - {*map(str, tree.data_vars)})]
    errors += breaches(expected, tree.data_vars)  # type: ignore[arg-type]  # names are words
    errors += [f"{name}: missing" for name in COORDINATES if name not in tree.coords]
    for node, schema in _groups(tree, axes):
        errors += breaches(schema, node.data_vars, f"{node.path}: ")  # type: ignore[arg-type]
    if errors:
        raise ValueError("the dataset does not follow the schema: " + "; ".join(errors))


def _groups(tree: xr.DataTree, axes: Collection[str]) -> Iterator[tuple[xr.DataTree, Schema]]:
    """Groups below the root with their schemas."""
    if "ascent" in tree.children:
        yield tree.children["ascent"], on_axes(ASCENT, axes)
    if "maps" in tree.children:
        for node in tree.children["maps"].children.values():
            yield node, MAPS
