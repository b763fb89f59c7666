"""The dataset of a run, built from its journal: a validated xarray tree.

The root holds the summary with dimensions ``problem, policy, estimator, batch_size``, and after
``policy`` the axes of settings that the grid names besides; below ``maps/<problem> <policy>`` lie
per-coordinate and per-state arrays, and in ``ascent`` the ascents.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from pgbench.declared.outcomes import Status
from pgbench.declared.summary import MAPS, SUMMARY, WITHOUT_SAMPLER, dimension
from pgbench.declared.variables import INTERVAL, allocate, on_axes, require_declared
from pgbench.grid.grid import Grid
from pgbench.grid.plan import Cell, Setting, settings
from pgbench.results.ascents import ascent_arrays, ascent_schema
from pgbench.results.coordinates import (
    ascent_coordinates,
    batch_coordinates,
    estimator_coordinates,
    problem_facts,
    setting_coordinates,
)
from pgbench.results.journal import Journal
from pgbench.results.labelled import (
    labelled,
    mark_reproducible,
    require_fitting,
    summary_schema,
    validate,
)
from pgbench.results.lines import JournalRecord
from pgbench.samplers import ON_POLICY
from pgbench.statistics import fit_rate, holm

Records = Mapping[str, JournalRecord]


def build(grid: Grid, journal: Journal) -> xr.DataTree:
    """The dataset of a grid from a journal; cells that are not in the journal are missing."""
    records, plan = journal.records, settings(grid)
    root = _summary(grid, plan, records)
    root.attrs.update(journal.attributes(), name=grid.name, grid=grid.text, seed=grid.seed)
    if grid.group_size:
        root.attrs["group_size"] = grid.group_size
    groups: dict[str, xr.Dataset] = {"/": root}
    for setting in plan:
        maps = _maps(setting, records)
        if maps is not None:
            groups[f"/maps/{group_name(setting)}"] = maps
    if grid.ascent is not None:
        groups["/ascent"] = _ascent(grid, plan, records)
    tree = xr.DataTree.from_dict(groups)
    validate(tree)
    return tree


def group_name(setting: Setting) -> str:
    """Name of a setting's group below ``maps``; a slash would start another group."""
    return " ".join(setting.words).replace("/", "∕")


def _ascent(grid: Grid, plan: list[Setting], records: Records) -> xr.Dataset:
    assert grid.ascent is not None
    arrays, schema = ascent_arrays(grid, plan, records), ascent_schema(grid)
    coordinates = _coordinates(grid, plan, records)
    dataset = labelled(schema, arrays, coordinates | ascent_coordinates(grid.ascent))
    mark_reproducible(dataset, schema)
    return dataset


def _summary(grid: Grid, plan: list[Setting], records: Records) -> xr.Dataset:
    places = {dimension(axis): len(chosen) for axis, chosen in grid.axes.items()}
    sizes = {**places, "estimator": len(grid.estimators), "batch_size": len(grid.batch_sizes)}
    arrays: dict[str, Any] = allocate(on_axes(SUMMARY, _dimensions(grid)), sizes)
    for place, setting in zip(np.ndindex(*places.values()), plan, strict=True):
        own = records.get(setting.key, {})
        arrays["gradient_note"][place] = own.get("gradient_note", "")
        _place(arrays, place, own.get("values", {}))
        if own and "sampler" in grid.axes and setting.sampler.name == ON_POLICY:
            _place(arrays, place, WITHOUT_SAMPLER)
        for i, cell in enumerate(setting.cells):
            _place_cell(arrays, (*place, *divmod(i, sizes["batch_size"])), cell, records)
    for test in ("bias_test", "code_test", "variance_test"):
        arrays[f"{test}_p_holm"] = holm(arrays[f"{test}_p"])
    _fit_rates(arrays, np.array(grid.batch_sizes, float))
    schema = summary_schema(bool(grid.estimators), _dimensions(grid))
    shown = {name: arrays[name] for name in schema}
    coordinates = _coordinates(grid, plan, records) | batch_coordinates(grid)
    dataset = labelled(schema, shown, coordinates | estimator_coordinates(grid))
    if "status" in dataset:
        dataset["status"].attrs.update(
            flag_values=[int(status) for status in Status],
            flag_meanings=" ".join(status.word for status in Status),
        )
    mark_reproducible(dataset, schema)
    return dataset


def _place(arrays: dict[str, Any], place: tuple[int, ...], values: Mapping[str, Any]) -> None:
    """Set values at a place of their arrays; ValueError for one that the dataset has not."""
    require_declared(values, arrays)
    for name, value in values.items():
        arrays[name][place] = value


def _place_cell(
    arrays: dict[str, Any], place: tuple[int, ...], cell: Cell, records: Records
) -> None:
    record = records.get(cell.key)
    if record is None:
        return
    arrays["status"][place] = Status.of(record["status"])
    for name in ("message", "exact_note", "interval_note", "device"):
        arrays[name][place] = record.get(name, "")
    _place(arrays, place, record.get("values", {}))


def _fit_rates(arrays: dict[str, Any], batch_sizes: Any) -> None:
    for place in np.ndindex(arrays["rmse_rate"].shape):
        own = (arrays[name][place] for name in ("rmse", "rmse_low", "rmse_high"))
        rate = fit_rate(batch_sizes, *own)
        for suffix, value in zip(
            (*INTERVAL, "_intercept"),
            (rate.slope, rate.low, rate.high, rate.intercept),
            strict=True,
        ):
            arrays[f"rmse_rate{suffix}"][place] = value


def _coordinates(grid: Grid, plan: list[Setting], records: Records) -> dict[str, Any]:
    """Coordinates of the axes of settings, with what is known of each problem."""
    facts = {
        setting.problem.label: records[setting.key]["problem"]
        for setting in plan
        if setting.key in records
    }
    return setting_coordinates(grid) | problem_facts(grid, facts)


def _dimensions(grid: Grid) -> tuple[str, ...]:
    """Dimensions of the axes that the grid names besides."""
    return tuple(map(dimension, grid.more_axes))


def _maps(setting: Setting, records: Records) -> xr.Dataset | None:
    own = records.get(setting.key, {}).get("maps", {})
    if not own:
        return None
    grid = setting.grid
    shape = (len(grid.estimators), len(grid.batch_sizes), own["gradient"].size)
    arrays: dict[str, Any] = dict(own)
    for i, cell in enumerate(setting.cells):
        for name, values in records.get(cell.key, {}).get("maps", {}).items():
            array = arrays.setdefault(name, np.full(shape, np.nan))
            require_fitting(values.shape, shape[2:], name, cell.key)
            array[divmod(i, shape[1])] = values
    labels = {dimension(axis): label for axis, label in setting.labels.items()}
    return labelled(MAPS, arrays, attributes=labels)
