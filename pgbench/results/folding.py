"""Datasets in which all that makes a setting beside its problem is one axis: that of policies.

A grid may name more axes of settings, such as that of samplers. Figures and tables know problems
and policies: for them a policy with a sampler is a policy of its own, named after both.
"""

from collections.abc import Hashable, Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import xarray as xr

from pgbench.declared.ascents import RUN
from pgbench.declared.summary import AXES, CELL, in_words
from pgbench.results.dataset import read


def folded_tree(tree: xr.DataTree) -> xr.DataTree:
    """The tree of a run with nothing but ``problem`` and ``policy`` for axes of settings."""
    axes = _axes(tree.to_dataset())
    if len(axes) == 1:
        return tree
    groups = {node.path: node.to_dataset(inherit=False) for node in tree.subtree}
    groups["/"] = folded(groups["/"])
    if "ascent" in tree.children:
        groups["/ascent"] = folded(tree["ascent"].to_dataset())
    for path, own in groups.items():
        if path.startswith("/maps/"):
            own.attrs["policy"] = _label(axes, [own.attrs[axis] for axis in axes])
    return xr.DataTree.from_dict(groups)


def part_of(data: xr.Dataset | xr.DataTree | str | Path, part: str) -> Any:
    """What figures are drawn from: the run's tree, or the dataset of estimators or of ascents.

    All of them have nothing but ``problem`` and ``policy`` for axes of settings. None where the run
    has nothing of the kind; ValueError where a dataset is given and a tree is needed.
    """
    if isinstance(data, str | Path):
        data = read(data)
    if isinstance(data, xr.Dataset):
        if part == "run":
            raise ValueError("this is drawn from the tree of a run, and a dataset was given")
        _require_axes(data, RUN if part == "ascents" else CELL)
        return folded(data)
    tree = folded_tree(data)
    if part == "run":
        return tree
    if part == "ascents":
        return tree["ascent"].to_dataset() if "ascent" in tree.children else None
    summary = tree.to_dataset()
    return summary if summary.sizes["estimator"] else None


def _require_axes(data: xr.Dataset, axes: Iterable[str]) -> None:
    """Raise ValueError for an axis that was selected or averaged away."""
    for axis in (axis for axis in axes if axis not in data.dims):
        if axis in data.coords:
            raise ValueError(
                f"{axis} is a single label, and figures are drawn along axes: select a list,"
                f" sel({axis}=[{data[axis].values.item()!r}])"
            )
        raise ValueError(f"the dataset has no axis {axis}, along which figures are drawn")


def folded(data: xr.Dataset) -> xr.Dataset:
    """A dataset with nothing but ``problem`` and ``policy`` for axes of settings.

    What belonged to the other axes belongs to policies then, their labels too.
    """
    axes = _axes(data)
    if len(axes) == 1:
        return data
    parts = {name: _joined(own, axes, data.sizes) for name, own in data.variables.items()}
    labels = [_label(axes, own) for own in product(*(data[axis].values for axis in axes))]
    parts["policy"] = xr.Variable(("policy",), labels)
    coordinates = {name: parts.pop(name) for name in data.coords}
    return xr.Dataset(parts, coordinates, data.attrs)


def _axes(data: xr.Dataset) -> tuple[str, ...]:
    """Policies, and the axes that the grid names besides."""
    return ("policy", *(axis for axis in AXES if axis in data.sizes))


def _label(axes: Iterable[str], parts: Iterable[Any]) -> str:
    return ", ".join(map(in_words, axes, parts))


def _joined(
    variable: xr.Variable, axes: tuple[str, ...], sizes: Mapping[Hashable, int]
) -> xr.Variable:
    """A variable with one axis ``policy`` in place of these, or of some of them."""
    if not set(axes) & set(variable.dims):
        return variable
    rest = [dim for dim in variable.dims if dim not in axes]
    at = min(place for place, dim in enumerate(variable.dims) if dim in axes)
    dims: list[Hashable] = [*rest[:at], *axes, *rest[at:]]
    whole: xr.Variable = variable.set_dims({dim: sizes[dim] for dim in dims})  # type: ignore[no-untyped-call]
    shape = [sizes[dim] for dim in rest]
    values = whole.values.reshape(*shape[:at], -1, *shape[at:])
    return xr.Variable((*rest[:at], "policy", *rest[at:]), values, variable.attrs)
