"""The dataset: what a run's journal says, as a validated xarray tree written in one piece.

The root holds the summary with dimensions ``problem, policy, estimator, batch_size``; below
``maps/<problem> <policy>`` lie per-coordinate and per-state arrays. ``VARIABLES`` is the schema: a
dataset is checked against it before it is written, and the README's table is made from it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pgbench.declared.variables import STATUS, Variable
from pgbench.grid.plan import Setting, settings
from pgbench.grid.reader import Chosen, Grid, parse_grid
from pgbench.problems import families
from pgbench.results.ascents import ASCENT, ascent_arrays
from pgbench.results.journal import NAME as JOURNAL_NAME
from pgbench.results.journal import Journal, OutputError, atomic_path
from pgbench.statistics.intervals import fit_rate, holm

NAME = "results.nc"
CELL = ("problem", "policy", "estimator", "batch_size")
SETTING = ("problem", "policy")
RATE = ("problem", "policy", "estimator")

_SQUARE = "(reward/theta)^2"
_STATISTICS = {
    "bias": ("reward/theta", "norm of the bias with the noise removed, sign kept"),
    "bias_squared": (_SQUARE, "squared norm of the bias with the noise removed"),
    "relative_bias": ("1", "bias over the norm of what is estimated"),
    "variance": (_SQUARE, "trace of the covariance of the estimate"),
    "relative_variance": ("1", "variance over the squared norm of what is estimated"),
    "mse": (_SQUARE, "mean squared error against the exact value"),
    "rmse": ("reward/theta", "root mean squared error against the exact value"),
    "relative_rmse": ("1", "RMSE over the norm of what is estimated"),
    "snr": ("1", "signal to noise: squared norm of what is estimated over the variance"),
    "cosine": ("1", "mean cosine of the estimate with what is estimated"),
    "ascent_probability": ("1", "probability of a positive inner product with what is estimated"),
    "steps": ("environment steps", "environment steps per estimate"),
    "work_normalised_variance": (f"{_SQUARE} environment steps", "variance times steps"),
}
_BIAS_PARTS = {
    "discount": "that is due to the missing γ^t",
    "critic": "that is due to the error of the critic",
    "batch": "that vanishes as the batch grows",
    "normalisation": "that is due to division by a statistic of the batch",
    "clipping": "that is due to clipped ratios",
    "states": "that is due to states visited by another policy",
    "smoothing": "that is due to perturbations of θ of finite size",
    "damping": "that is due to damping the Fisher matrix",
    "exploration": "that is due to leaving the policy's variance alone",
    "support": "that is due to actions of probability 0, which no rollout sees",
    "horizon": "that is left: what the horizon cuts off",
}
_PARTS = {
    "": "",
    "_se": ", standard error",
    "_low": ", lower end of the 95 % interval",
    "_high": ", upper end of the 95 % interval",
}

VARIABLES: Mapping[str, Variable] = {
    **{
        name + suffix: Variable(CELL, units, text + part)
        for name, (units, text) in _STATISTICS.items()
        for suffix, part in _PARTS.items()
    },
    "bias_test_max_z": Variable(CELL, "1", "largest |z| of the mean against the exact gradient"),
    "bias_test_p": Variable(CELL, "1", "p-value of no bias, corrected over directions"),
    "bias_test_p_holm": Variable(CELL, "1", "the same, corrected over all cells by Holm's method"),
    "bias_test_directions": Variable(CELL, "1", "directions tested, at most 9"),
    "code_test_max_z": Variable(CELL, "1", "largest |z| of the mean against its own expectation"),
    "code_test_p": Variable(
        CELL, "1", "p-value of the exact expectation, corrected over directions"
    ),
    "code_test_p_holm": Variable(CELL, "1", "the same, corrected over all cells by Holm's method"),
    "code_test_directions": Variable(CELL, "1", "directions tested, at most 9"),
    "target_norm": Variable(
        CELL, "reward/theta", "norm of what is estimated: ∇J, or the natural gradient"
    ),
    "exact_bias": Variable(CELL, "reward/theta", "exact norm of the bias, no sampling"),
    "exact_relative_bias": Variable(CELL, "1", "exact bias over the norm of what is estimated"),
    **{
        f"exact_bias_{part}": Variable(
            CELL, "reward/theta", f"exact norm of the part of the bias {text}"
        )
        for part, text in _BIAS_PARTS.items()
    },
    "exact_variance": Variable(CELL, _SQUARE, "exact trace of the covariance of the estimate"),
    "exact_relative_variance": Variable(
        CELL, "1", "exact variance over the squared norm of what is estimated"
    ),
    "exact_rmse": Variable(CELL, "reward/theta", "exact root mean squared error"),
    "exact_note": Variable(CELL, "", "why there is no exact variance"),
    "interval_note": Variable(CELL, "", "why the variance and what hangs on it have no interval"),
    "mean_z": Variable(
        CELL, "1", "z of the mean along the gradient: exact expectation, exact variance"
    ),
    "variance_test_z": Variable(CELL, "1", "z of the variance against the exact one"),
    "variance_test_chi2": Variable(CELL, "1", "square of that z, χ² with one degree of freedom"),
    "variance_test_p": Variable(CELL, "1", "p-value of the exact variance"),
    "variance_test_p_holm": Variable(
        CELL, "1", "the same, corrected over all cells by Holm's method"
    ),
    "seconds": Variable(CELL, "s", "seconds per estimate of the estimator alone", False),
    "time_normalised_variance": Variable(CELL, f"{_SQUARE} s", "variance times seconds", False),
    "device": Variable(CELL, "", "where rollouts ran: cpu or cuda", False),
    "status": Variable(CELL, "1", "0 missing, 1 done, 2 failed, 3 skipped"),
    "message": Variable(CELL, "", "why a cell failed or was skipped"),
    "rmse_rate": Variable(RATE, "1", "slope of log RMSE against log batch size"),
    "rmse_rate_low": Variable(RATE, "1", "slope of log RMSE, lower end of the 95 % interval"),
    "rmse_rate_high": Variable(RATE, "1", "slope of log RMSE, upper end of the 95 % interval"),
    "rmse_rate_intercept": Variable(RATE, "1", "log RMSE of the fit at batch size 1"),
    "objective": Variable(SETTING, "reward", "exact J(θ)"),
    "finite_objective": Variable(SETTING, "reward", "exact J_H(θ) over the horizon of a rollout"),
    "optimal_objective": Variable(
        SETTING, "reward", "exact optimum over all policies; NaN unknown"
    ),
    "gradient_norm": Variable(SETTING, "reward/theta", "norm of the exact gradient"),
    "gradient_error_bound": Variable(
        SETTING, "reward/theta", "proven bound on the norm of that gradient's error; NaN unknown"
    ),
    "gradient_note": Variable(
        SETTING, "", "why nothing is relative to the gradient's norm: it may be zero"
    ),
    "truncation_bias": Variable(SETTING, "1", "exact relative distance of the H-step gradient"),
    "tail_bias": Variable(SETTING, "1", "exact relative norm of the score terms beyond step H"),
    "support_bias": Variable(
        SETTING, "1", "exact relative norm of what actions of probability 0 add to the gradient"
    ),
    "horizon": Variable(SETTING, "environment steps", "largest number of steps of a rollout"),
    "expected_steps": Variable(SETTING, "environment steps", "exact mean length of a rollout"),
    "n_parameters": Variable(SETTING, "1", "number of policy parameters d"),
    "value_error_bound": Variable(SETTING, "reward", "proven bound on the error of V"),
}
"""The summary's variables by name."""

MAPS: Mapping[str, Variable] = {
    "gradient": Variable(("parameter",), "reward/theta", "exact gradient"),
    "theta": Variable(("parameter",), "theta", "policy parameters"),
    "value": Variable(("state",), "reward", "exact state value V"),
    "visitation": Variable(("state",), "steps", "exact discounted visitation, unnormalised"),
    "landscape_gain": Variable(("gain",), "theta", "gains θ1 of the landscape"),
    "landscape_variance": Variable(("variance",), "theta", "variances θ2 of the landscape"),
    "landscape_objective": Variable(
        ("variance", "gain"), "reward", "exact J over gain and variance; NaN where not stable"
    ),
    "landscape_gradient": Variable(
        ("variance", "gain", "parameter"), "reward/theta", "exact ∇J over gain and variance"
    ),
    "landscape_natural_gradient": Variable(
        ("variance", "gain", "parameter"), "theta", "exact F†∇J over gain and variance"
    ),
    "mean_gradient": Variable(
        ("estimator", "batch_size", "parameter"), "reward/theta", "mean of the replicates"
    ),
    "expected_gradient": Variable(
        ("estimator", "batch_size", "parameter"),
        "reward/theta",
        "exact expectation of the estimator",
    ),
    "expected_variance": Variable(
        ("estimator", "batch_size", "parameter"), _SQUARE, "exact variance of the estimator"
    ),
    "gradient_variance": Variable(
        ("estimator", "batch_size", "parameter"), _SQUARE, "variance over the replicates"
    ),
}
"""Variables of the groups below ``maps``."""


def build(grid: Grid, journal: Journal) -> xr.DataTree:
    """The dataset of a grid from a journal; cells that are not in the journal are missing."""
    records = journal.records
    plan = settings(grid)
    root = _summary(grid, plan, records)
    root.attrs.update(journal.attributes(), name=grid.name, grid=grid.text, seed=grid.seed)
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


def schema_table() -> str:
    """The schema as a Markdown table; parts of an interval share a row."""
    lines = ["| variable | dimensions | unit | meaning |", "|---|---|---|---|"]
    parts = tuple(suffix for suffix in _PARTS if suffix)
    for prefix, schema in (("", VARIABLES), ("maps/…/", MAPS), ("ascent/", ASCENT)):
        for name, variable in schema.items():
            if name.endswith(parts):
                continue
            more = "".join(f", `{s}`" for s in parts if name + s in schema)
            note = "" if variable.reproducible else " (not the same in every run)"
            dims = ", ".join(variable.dims)
            unit = variable.units.replace("theta", "θ")
            meaning = f"{variable.long_name}{note}"
            lines.append(f"| `{prefix}{name}`{more} | {dims} | {unit} | {meaning} |")
    return "\n".join(lines)


def _ascent(grid: Grid, plan: list[Setting], records: Mapping[str, Any]) -> xr.Dataset:
    arrays, coordinates = ascent_arrays(grid, plan, records)
    coordinates = {**_problems(grid, records, plan), **coordinates}
    dataset = xr.Dataset(_described(ASCENT, arrays), coords=coordinates)
    for name in arrays:
        dataset[name].attrs["reproducible"] = int(ASCENT[name].reproducible)
    return dataset


def group_name(setting: Setting) -> str:
    """Name of a setting's group below ``maps``; a slash would start another group."""
    return f"{setting.problem.label} {setting.policy.label}".replace("/", "∕")


def _summary(grid: Grid, plan: list[Setting], records: Mapping[str, Any]) -> xr.Dataset:
    sizes = {
        "problem": len(grid.problems),
        "policy": len(grid.policies),
        "estimator": len(grid.estimators),
        "batch_size": len(grid.batch_sizes),
    }
    schema = _of_summary(bool(grid.estimators))
    arrays: dict[str, Any] = {
        name: np.full([sizes[d] for d in v.dims], np.nan) for name, v in VARIABLES.items()
    }
    arrays["status"] = np.zeros([sizes[d] for d in CELL], np.int8)
    for text in ("message", "exact_note", "interval_note", "device"):
        arrays[text] = np.full([sizes[d] for d in CELL], "", dtype=object)
    arrays["gradient_note"] = np.full([sizes[d] for d in SETTING], "", dtype=object)
    for number, setting in enumerate(plan):
        place = divmod(number, sizes["policy"])
        own = records.get(setting.key, {})
        arrays["gradient_note"][place] = own.get("gradient_note", "")
        for name, value in own.get("values", {}).items():
            arrays[name][place] = value
        for i, cell in enumerate(setting.cells):
            record = records.get(cell.key)
            if record is None:
                continue
            where = (*place, *divmod(i, sizes["batch_size"]))
            arrays["status"][where] = STATUS.index(record["status"])
            arrays["message"][where] = record.get("message", "")
            arrays["exact_note"][where] = record.get("exact_note", "")
            arrays["interval_note"][where] = record.get("interval_note", "")
            arrays["device"][where] = record.get("device", "")
            for name, value in record.get("values", {}).items():
                arrays[name][where] = value
    for test in ("bias_test", "code_test", "variance_test"):
        arrays[f"{test}_p_holm"] = holm(arrays[f"{test}_p"])
    _fit_rates(arrays, np.array(grid.batch_sizes, float))
    coordinates = _coordinates(grid, records, plan)
    dataset = xr.Dataset(
        _described(schema, {name: arrays[name] for name in schema}), coords=coordinates
    )
    if "status" in dataset:
        dataset["status"].attrs.update(flag_values=[0, 1, 2, 3], flag_meanings=" ".join(STATUS))
    for name, variable in schema.items():
        dataset[name].attrs["reproducible"] = int(variable.reproducible)
    return dataset


def _of_summary(estimating: bool) -> dict[str, Variable]:
    """Variables of the root: all, or those of settings where a grid has no estimators."""
    return {
        name: variable
        for name, variable in VARIABLES.items()
        if estimating or variable.dims == SETTING
    }


def _fit_rates(arrays: dict[str, Any], batch_sizes: Any) -> None:
    for place in np.ndindex(arrays["rmse_rate"].shape):
        own = (arrays[name][place] for name in ("rmse", "rmse_low", "rmse_high"))
        rate = fit_rate(batch_sizes, *own)
        for suffix, value in zip(
            ("", "_low", "_high", "_intercept"),
            (rate.slope, rate.low, rate.high, rate.intercept),
            strict=True,
        ):
            arrays[f"rmse_rate{suffix}"][place] = value


def _coordinates(grid: Grid, records: Mapping[str, Any], plan: list[Setting]) -> dict[str, Any]:
    return {
        **_problems(grid, records, plan),
        "estimator": [e.label for e in grid.estimators],
        "batch_size": ("batch_size", list(grid.batch_sizes), {"units": "trajectories"}),
        "estimator_name": ("estimator", [e.name for e in grid.estimators]),
    }


def _problems(grid: Grid, records: Mapping[str, Any], plan: list[Setting]) -> dict[str, Any]:
    """Labels of problems and policies, and what is known of each problem."""
    known: dict[str, Any] = {
        setting.problem.label: records[setting.key]["problem"]
        for setting in plan
        if setting.key in records
    }

    def fact(problem: Chosen, name: str, missing: Any) -> Any:
        return known.get(problem.label, {}).get(name, missing)

    problems = grid.problems
    return {
        "problem": [p.label for p in problems],
        "policy": [p.label for p in grid.policies],
        "family": ("problem", [p.name for p in problems]),
        "size_parameter": ("problem", [families()[p.name].size or "" for p in problems]),
        "n_states": ("problem", [fact(p, "n_states", 0) for p in problems]),
        "n_actions": ("problem", [fact(p, "n_actions", 0) for p in problems]),
        "state_dimension": ("problem", [fact(p, "state_dimension", 0) for p in problems]),
        "action_dimension": ("problem", [fact(p, "action_dimension", 0) for p in problems]),
        "gamma": ("problem", [fact(p, "gamma", np.nan) for p in problems]),
        "instance": ("problem", [p.instance for p in problems]),
    }


def _maps(setting: Setting, records: Mapping[str, Any]) -> xr.Dataset | None:
    own = records.get(setting.key, {}).get("maps", {})
    if not own:
        return None
    grid = setting.grid
    shape = (len(grid.estimators), len(grid.batch_sizes), own["gradient"].size)
    arrays: dict[str, Any] = dict(own)
    for i, cell in enumerate(setting.cells):
        for name, values in records.get(cell.key, {}).get("maps", {}).items():
            array = arrays.setdefault(name, np.full(shape, np.nan))
            array[divmod(i, shape[1])] = values
    attributes = {"problem": setting.problem.label, "policy": setting.policy.label}
    return xr.Dataset(_described(MAPS, arrays), attrs=attributes)


def labelled(
    schema: Mapping[str, Variable],
    arrays: Mapping[str, Any],
    coordinates: Mapping[str, Any],
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    """A dataset of arrays that a schema describes."""
    return xr.Dataset(_described(schema, arrays), coords=coordinates, attrs=dict(attributes))


def _described(schema: Mapping[str, Variable], arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays with the dimensions, names and units of their variables."""
    return {
        name: (
            schema[name].dims,
            array,
            {"long_name": schema[name].long_name, "units": schema[name].units},
        )
        for name, array in arrays.items()
    }


def validate(tree: xr.DataTree) -> None:
    """Check names, dimensions and attributes against the schema; ValueError lists what differs."""
    errors = []
    expected = _of_summary(tree.sizes.get("estimator", 0) > 0)
    for name in sorted(set(map(str, tree.data_vars)) ^ set(expected)):
        errors.append(f"{name}: {'unknown' if name in tree.data_vars else 'missing'}")
    groups: list[tuple[xr.DataTree, Mapping[str, Variable]]] = [(tree, VARIABLES)]
    if "ascent" in tree.children:
        groups.append((tree["ascent"], ASCENT))  # type: ignore[arg-type]  # a node, not an array
    if "maps" in tree.children:
        groups += [(node, MAPS) for node in tree["maps"].children.values()]
    for node, schema in groups:
        for key, array in node.data_vars.items():
            name = str(key)
            variable = schema.get(name)
            if variable is None:
                errors.append(f"{node.path}: {name}: unknown")
            elif array.dims != variable.dims:
                errors.append(f"{node.path}: {name}: dims {array.dims}, must be {variable.dims}")
            elif array.attrs.get("units") != variable.units or not array.attrs.get("long_name"):
                errors.append(f"{node.path}: {name}: needs long_name and units {variable.units!r}")
    if errors:
        raise ValueError("the dataset does not follow the schema: " + "; ".join(errors))


def write(tree: xr.DataTree, directory: Path) -> Path:
    """Write ``results.nc`` in one piece: readers see the old file or the new one, never a part."""
    path = directory / NAME
    try:
        write_netcdf(tree, path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}; the journal is complete, so the"
            " same command writes it once there is space"
        ) from error
    return path


def write_netcdf(data: xr.DataTree | xr.Dataset, path: Path) -> None:
    """Write a tree or dataset to a file in one piece."""
    with atomic_path(path) as temporary:
        data.to_netcdf(temporary, engine="h5netcdf")


def read(directory: Path) -> tuple[xr.DataTree, list[str]]:
    """The dataset of a run's directory, in memory, and notes about anything unusual.

    Where ``results.nc`` is missing, damaged or older than the journal it is built again from it.

    Raises
    ------
    OutputError
        If the directory holds neither.
    """
    path, source = directory / NAME, directory / JOURNAL_NAME
    notes: list[str] = []
    try:
        if source.stat().st_mtime_ns > path.stat().st_mtime_ns:
            raise ValueError(f"{path} is older than the journal")
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
        validate(tree)
        return tree, notes
    except (OSError, ValueError, KeyError) as error:
        journal = Journal.read(directory)
        if not journal.grids:
            raise OutputError(f"{directory} holds no results yet") from error
        if path.exists():
            notes.append(f"{path} is damaged or out of date; the journal is read instead")
        last = journal.grids[-1]
        grid = parse_grid(last["text"], str(directory / "grid.yaml"), last["contents"])
        return build(grid, journal), notes + journal.notes


def same_numbers(a: xr.DataTree, b: xr.DataTree) -> list[str]:
    """Names of reproducible variables and coordinates that differ in any byte."""
    differing = []
    paths = sorted({node.path for tree in (a, b) for node in tree.subtree})
    for path in paths:
        try:
            left, right = a[path].to_dataset(), b[path].to_dataset()
        except KeyError:
            differing.append(path)
            continue
        names: list[Any] = sorted({*left.variables, *right.variables}, key=str)
        for name in names:
            schema = {"/": VARIABLES, "/ascent": ASCENT}.get(path, {})
            if name in schema and not schema[name].reproducible:
                continue
            if name not in left or name not in right or not _identical(left[name], right[name]):
                differing.append(f"{path.rstrip('/')}/{name}")
    return differing


def _identical(a: xr.DataArray, b: xr.DataArray) -> bool:
    if a.dtype.kind in "OUT":
        return bool(np.array_equal(a.values.astype(str), b.values.astype(str)))
    return a.dtype == b.dtype and a.shape == b.shape and a.values.tobytes() == b.values.tobytes()
