"""What the horizon does to an estimator: exact bias, variance and steps, with no sampling.

A longer horizon lowers the truncation bias, and adds variance and steps. For every problem, policy
and estimator of a grid the exact moments of a one-trajectory estimate are computed at a dozen
horizons, from one step to beyond the grid's own.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.horizon_study import CURVES, STUDY
from pgbench.declared.outcomes import Status
from pgbench.declared.summary import dimension
from pgbench.declared.variables import allocate, on_axes
from pgbench.estimators import TableEstimator, estimators, is_added
from pgbench.exact.horizon import expected_steps
from pgbench.exact.table_moments import TooLarge, table_moments
from pgbench.exact.truth import Truth
from pgbench.grid.grid import Chosen, Grid
from pgbench.grid.plan import Prepared, Setting, settings
from pgbench.harness.child import Child, ChildError, doing
from pgbench.harness.directory import HORIZONS_NAME
from pgbench.harness.measuring import sentence
from pgbench.harness.performing import PATIENCE
from pgbench.harness.provenance import provenance
from pgbench.kernels.blas import single_threaded_blas
from pgbench.policies import NotApplicable
from pgbench.process.tables import Tables
from pgbench.results.coordinates import estimator_coordinates, setting_coordinates
from pgbench.results.dataset import write_netcdf
from pgbench.results.files import remove_temporaries
from pgbench.results.labelled import labelled

if TYPE_CHECKING:
    from xarray import Dataset


UP_TO_OWN, BEYOND_OWN = 9, 3
"""Numbers of horizons up to the grid's own and beyond it, each evenly spaced on the logarithm."""

LONGEST = 4
"""The longest is so many times the grid's own."""


def study(
    grid: Grid,
    progress: Callable[[str], None] = lambda line: None,
    mapping: Callable[..., Iterable[Any]] = map,
    set_up: Callable[[], Any] | None = None,
) -> "Dataset":
    """Exact bias, variance and steps of a grid's estimators against the horizon.

    Parameters
    ----------
    grid
        Its batch sizes and replicates are not used.
    progress
        Called with a line of text after every setting.
    mapping
        Works settings out and gives what was found in their order, like the builtin ``map``.
    set_up
        Lets other processes know the estimators of users' files. Those are then worked out in a
        child, so that a curve that ends its process, hangs or takes all memory fails alone.

    Returns
    -------
    xarray.Dataset
        The variables of ``STUDY`` over problem, policy, estimator and point; horizons grow with
        the point, and there are fewer where they are short. What was not computed is NaN.
    """
    begin = time.perf_counter()
    plan = settings(grid)
    places = {dimension(axis): len(chosen) for axis, chosen in grid.axes.items()}
    schema = on_axes(STUDY, [dimension(axis) for axis in grid.more_axes])
    sizes = {**places, "estimator": len(grid.estimators), "point": UP_TO_OWN + BEYOND_OWN}
    arrays: dict[str, Any] = allocate(schema, sizes)
    sweeps = [Sweep(setting.recipe, grid.estimators, set_up) for setting in plan]
    with single_threaded_blas(), closing(_child(set_up)):
        for number, (found, seconds) in enumerate(mapping(_sweep, sweeps)):
            for name, own in found.items():
                arrays[name][np.unravel_index(number, [*places.values()])] = own[0, 0]
            progress(f"[{number + 1}/{len(plan)}] {plan[number].label}: {seconds:.1f} s")
    coordinates = setting_coordinates(grid) | estimator_coordinates(grid)
    made = provenance(os.cpu_count() or 1, seconds=time.perf_counter() - begin, steps=0.0)
    attributes = {**made, "name": grid.name, "grid": grid.text, "seed": grid.seed}
    return labelled(schema, arrays, coordinates, attributes)


def write(found: "Dataset", directory: Path) -> Path:
    """Write a study to ``horizons.nc`` in one piece; OSError or OutputError if that is refused."""
    directory.mkdir(parents=True, exist_ok=True)
    remove_temporaries(directory)
    path = directory / HORIZONS_NAME
    write_netcdf(found, path)
    return path


def swept(own: int, longest: int) -> list[int]:
    """Horizons from 1 through the own one to 4 times it, or to the longest allowed if less."""
    last = max(own, min(LONGEST * own, longest))
    up = np.geomspace(1, own, UP_TO_OWN)
    beyond = np.geomspace(own, last, BEYOND_OWN + 1)
    return sorted({int(h) for h in np.concatenate([up, beyond]).round()})


@dataclass(frozen=True)
class Sweep:
    """The curves of a setting, a recipe for whoever works them out; ``set_up`` as in ``study``."""

    setting: Setting
    estimators: Sequence[Chosen]
    set_up: Callable[[], Any] | None = None

    def __str__(self) -> str:
        return self.setting.label


class Curves(NamedTuple):
    """What was found of an estimator: status and message, and curves by name, NaN where unknown."""

    status: Status
    message: str
    arrays: Mapping[str, FloatArray] = {}


def _sweep(sweep: Sweep) -> tuple[dict[str, Any], float]:
    """The curves of a setting as arrays of one problem and one policy, and the seconds taken."""
    begin = time.perf_counter()
    sizes = {"problem": 1, "policy": 1, "estimator": len(sweep.estimators)}
    arrays: dict[str, Any] = allocate(STUDY, {**sizes, "point": UP_TO_OWN + BEYOND_OWN})
    _fill(sweep, arrays)
    return arrays, time.perf_counter() - begin


def _fill(sweep: Sweep, arrays: Mapping[str, Any]) -> None:
    """Fill in the curves of a setting."""
    place, setting = (0, 0), sweep.setting
    arrays["status"][place] = Status.FAILED
    try:
        prepared = setting.prepare()
    except NotApplicable as reason:
        arrays["status"][place] = Status.SKIPPED
        arrays["message"][place] = str(reason)
        return
    except (ValueError, MemoryError) as error:
        arrays["message"][place] = sentence(error)
        return
    horizons = swept(prepared.horizon, setting.grid.max_horizon)
    arrays["horizon"][place][: len(horizons)] = horizons
    arrays["grid_horizon"][place] = prepared.horizon
    arrays["gradient_norm"][place] = np.linalg.norm(prepared.truth.gradient)
    for e, found in enumerate(_every_curve(sweep, prepared, horizons)):
        arrays["status"][*place, e], arrays["message"][*place, e] = found.status, found.message
        for name, curve in found.arrays.items():
            arrays[name][*place, e, : curve.size] = curve


def _every_curve(sweep: Sweep, prepared: Prepared, horizons: list[int]) -> Iterator[Curves]:
    """The curves of every estimator; those of users' files are worked out in a child."""
    for chosen in sweep.estimators:
        if sweep.set_up is None or not is_added(chosen.name):
            yield _curves(prepared, chosen, horizons)
            continue
        given = sweep.setting, chosen, horizons
        try:
            yield _child(sweep.set_up).perform(_curves_apart, *given, seconds=PATIENCE)
        except ChildError as error:
            yield Curves(Status.FAILED, str(error))
        except Exception as error:
            yield Curves(Status.FAILED, sentence(error))


@lru_cache(maxsize=1)
def _child(set_up: Callable[[], Any] | None) -> Child:
    """The child of this process that knows users' estimators; it ends when it is not kept."""
    return Child(set_up)


def _curves_apart(setting: Setting, chosen: Chosen, horizons: list[int]) -> Curves:
    """The curves of a user's estimator, in a child."""
    with single_threaded_blas(), doing(chosen.label):
        return _curves(setting.prepare(), chosen, horizons)


def _curves(prepared: Prepared, chosen: Chosen, horizons: list[int]) -> Curves:
    """The curves of an estimator; whatever it fails of is its own failure."""
    curves = {name: np.full(len(horizons), np.nan) for name in CURVES}
    try:
        _follow(prepared.truth, chosen, horizons, curves)
    except NotApplicable as reason:
        return Curves(Status.SKIPPED, str(reason))
    except TooLarge as reason:
        known = int(np.isfinite(curves["expected_steps"]).sum())
        if known == 0:
            return Curves(Status.SKIPPED, str(reason))
        message = f"nothing beyond H = {horizons[known - 1]}: {reason}"
        return Curves(Status.DONE, message, curves)
    except Exception as error:
        return Curves(Status.FAILED, sentence(error), curves)
    return Curves(Status.DONE, prepared.truth.unresolved_note, curves)


def _follow(
    truth: Truth, chosen: Chosen, horizons: list[int], curves: Mapping[str, FloatArray]
) -> None:
    """Fill in the curves of an estimator, horizon by horizon; NotApplicable if it has none."""
    record = estimators()[chosen.name]
    if not isinstance(record, TableEstimator):
        raise NotApplicable("it is a function of batches, without exact moments at every horizon")
    for i, horizon in enumerate(horizons):
        tables = record.make(truth, horizon, **chosen.values)
        if tables.process.horizon is not None:
            raise NotApplicable("it draws its horizon at random")
        for name, value in point(truth, tables, horizon).items():
            curves[name][i] = value


def point(truth: Truth, tables: Tables, horizon: int) -> dict[str, float]:
    """The values of ``CURVES`` of an estimator at one horizon; NaN where ∇J may be zero.

    Raises TooLarge where the exact moments are.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        exact = table_moments(truth, tables, horizon)
    norm = float(np.linalg.norm(truth.gradient)) if truth.resolved else np.nan
    process = tables.process
    return {
        "relative_truncation_bias": float(np.linalg.norm(exact.truncation_bias)) / norm,
        "relative_remaining_bias": float(np.linalg.norm(exact.remaining_bias)) / norm,
        "relative_bias": float(np.linalg.norm(exact.bias)) / norm,
        "relative_variance": exact.trace / norm**2,
        "expected_steps": expected_steps(process.mdp, process.pi, horizon),
    }
