"""Ascents of a grid as arrays of the dataset, and what of them contradicts a proof."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pgbench.ascent.climb import logged_steps
from pgbench.ascent.summary import iqm_interval
from pgbench.declared.ascents import ASCENT, CHECKS
from pgbench.declared.outcomes import AscentOutcome, Status
from pgbench.declared.summary import dimension
from pgbench.declared.variables import INTERVAL, Schema, allocate, on_axes, require_declared
from pgbench.grid.grid import Grid
from pgbench.grid.plan import AscentCell, Setting
from pgbench.results.labelled import require_fitting
from pgbench.results.lines import JournalRecord


def ascent_arrays(
    grid: Grid, plan: list[Setting], records: Mapping[str, JournalRecord]
) -> dict[str, Any]:
    """Arrays of ``ASCENT`` from the records of finished runs."""
    ascents = grid.ascent
    assert ascents is not None
    steps = logged_steps(ascents.steps, ascents.points)
    paths = [e["arrays"]["theta"] for e in records.values() if "theta" in e.get("arrays", {})]
    schema = {name: v for name, v in ascent_schema(grid).items() if name != "theta" or paths}
    places = {dimension(axis): len(chosen) for axis, chosen in grid.axes.items()}
    sizes = {
        "parameter": max((path.shape[2] for path in paths), default=0),
        **places,
        "algorithm": len(ascents.climbers),
        "step_size": len(ascents.step_sizes),
        "replicate": ascents.replicates,
        "step": steps.size,
    }
    arrays: dict[str, Any] = allocate(schema, sizes)
    rows = [climber.label for climber in ascents.climbers]
    columns = [rule.canonical for rule in ascents.step_sizes]
    for place, setting in zip(np.ndindex(*places.values()), plan, strict=True):
        for cell in setting.ascents:
            own = (*place, rows.index(cell.climber.label), columns.index(cell.step_size.canonical))
            _place_run(arrays, own, len(place), cell, records)
    _pool(arrays)
    return arrays


def _place_run(
    arrays: dict[str, Any],
    own: tuple[int, ...],
    setting: int,
    cell: AscentCell,
    records: Mapping[str, JournalRecord],
) -> None:
    """Set what is known of a run at its place; ValueError for a name that is not declared.

    The first indices of the place, as many as ``setting``, are those of its setting.
    """
    record = records.get(cell.key)
    if record is None:
        return
    status = Status.of(record["status"])
    arrays["ascent_status"][own] = status
    arrays["ascent_message"][own] = record.get("message", "")
    if status is not Status.DONE:
        return
    require_declared([*record["values"], *record["arrays"]], ASCENT)
    arrays["goal_kind"][own[:setting]] = record["goal_kind"]
    for name, value in record["values"].items():
        arrays[name][own[: arrays[name].ndim]] = value
    for name, value in record["arrays"].items():
        require_fitting(value.shape, arrays[name][own].shape, name, cell.key)
        arrays[name][own][tuple(slice(0, n) for n in value.shape)] = value


def ascent_schema(grid: Grid) -> Schema:
    """``ASCENT`` with the axes of settings that the grid names besides."""
    return on_axes(ASCENT, tuple(map(dimension, grid.more_axes)))


def _pool(arrays: dict[str, Any]) -> None:
    """The gap left, in units of the initial one, over all problems that have one."""
    gap = arrays["suboptimality"]
    for place in np.ndindex(arrays["relative_suboptimality_iqm"].shape[:-1]):
        strata = []
        for p in range(gap.shape[0]):
            own = gap[(p, *place)]
            own = own[arrays["outcome"][(p, *place)] != AscentOutcome.NO_RUN]
            if own.size and np.isfinite(own[:, 0]).all() and (own[:, 0] > 0).all():
                strata.append(own / own[:, :1])
        if strata:
            interval = iqm_interval(strata)
            for suffix, x in zip(
                INTERVAL, (interval.value, interval.low, interval.high), strict=True
            ):
                arrays[f"relative_suboptimality_iqm{suffix}"][place] = x


def violations(ascent: Any) -> list[str]:
    """A sentence per run in which something proven does not hold; ``ascent`` is the dataset."""
    found = []
    for check, text in CHECKS.items():
        counts = ascent[f"violations_{check}"]
        for place in map(tuple, np.argwhere(counts.values > 0)):
            run = ", ".join(
                str(ascent[axis].values[i]) for axis, i in zip(counts.dims, place, strict=True)
            )
            found.append(
                f"{text}: violated at {int(counts.values[place])} logged iterates of {run}"
            )
    return found
