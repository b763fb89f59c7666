"""Two runs compared, paired by cell: which numbers differ beyond their errors, and what got slower.

Cells are paired by their labels. Exact numbers are compared to rounding, measured ones by z =
(b - a) / √(se_a² + se_b²), corrected over all cells and quantities by Holm's method. Runs of one
seed share their trajectories: where they agree they agree closely, and the test, which takes them
for independent, finds less than there may be.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from typing import Any

import numpy as np
import xarray as xr

from pgbench.arrays import FloatArray
from pgbench.declared.outcomes import Status
from pgbench.declared.summary import CELL, SETTING, SUMMARY
from pgbench.statistics import holm

LEVEL = 0.05
"""Holm p-values below this are differences."""

ROUNDING = 1e-9
"""Relative differences of exact numbers up to this are rounding."""

SLOWER = 1.1
"""Ratios of seconds beyond this, or below its inverse, are worth a word."""

MEASURED = ("bias_squared", "variance", "mse", "cosine", "ascent_probability", "steps")
"""Measured quantities with a standard error; the square of the bias is that without a kink."""

NOT_COMPARED = ("bias_test", "code_test", "variance_test")
"""Beginnings of names of numbers that follow from the others."""


@dataclass(frozen=True)
class Difference:
    """A number that is not the same in two runs.

    Attributes
    ----------
    cell
        Labels of the cell, or of the setting, by axis.
    quantity
        Name of the variable.
    a, b
        Its values.
    z, p
        Of the measured: standard errors between them, and Holm's p-value; NaN of the exact.
    """

    cell: dict[str, Any]
    quantity: str
    a: float
    b: float
    z: float = float("nan")
    p: float = float("nan")

    @property
    def row(self) -> dict[str, Any]:
        """Everything by name."""
        numbers = {"a": self.a, "b": self.b, "z": self.z, "p": self.p}
        return {**self.cell, "quantity": self.quantity, **numbers}


@dataclass(frozen=True)
class Speed:
    """Seconds per estimate of one run over those of another, of one estimator.

    Attributes
    ----------
    ratio
        Geometric mean over cells.
    p
        Holm's p-value of as many cells that are slower as faster (sign test).
    """

    estimator: str
    cells: int
    ratio: float
    p: float

    @property
    def differs(self) -> bool:
        """Whether the estimator got slower or faster, beyond chance and by something."""
        return self.p < LEVEL and not 1 / SLOWER < self.ratio < SLOWER


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common, and what not.

    Attributes
    ----------
    paired, only_a, only_b
        Numbers of cells that were measured in both, and in one of them alone.
    tests
        Number of measured numbers that were compared.
    exact, measured
        What differs, of exact and of measured numbers.
    smallest_p
        The smallest p-value of measured numbers after Holm's correction; NaN without any.
    identical
        Whether every measured number of the pairs is the same to the last bit.
    speeds
        Of every estimator, where both runs took the time.
    machines, seeds
        The processors of the two, and their seeds, if they are not the same.
    """

    paired: int
    only_a: int
    only_b: int
    tests: int
    exact: Sequence[Difference]
    measured: Sequence[Difference]
    smallest_p: float
    identical: bool
    speeds: Sequence[Speed]
    machines: tuple[str, str] | None
    seeds: tuple[Any, Any] | None = None

    @property
    def differs(self) -> bool:
        """Whether any number does."""
        return bool(self.exact or self.measured)


def compare(a: xr.Dataset, b: xr.Dataset) -> Comparison:
    """Compare the summaries of two runs.

    Raises ValueError if they have different axes, or no cell in common.
    """
    axes = [str(axis) for axis in a["status"].dims]
    if axes != [str(axis) for axis in b["status"].dims]:
        raise ValueError(
            f"the runs have different axes: {', '.join(axes)}, and {', '.join(b['status'].dims)}"  # type: ignore[arg-type]
        )
    left, right = xr.align(a, b, join="inner")
    done = (left["status"].values == Status.DONE) & (right["status"].values == Status.DONE)
    if not done.any():
        raise ValueError("the runs have no measured cell in common")
    pairs = int(done.sum())
    measured, tests, smallest, identical = _measured(left, right, done)
    seeds = [np.asarray(own.attrs.get("seed", 0)).tolist() for own in (a, b)]
    cpus = tuple(str(own.attrs.get("cpu", "")) for own in (a, b))
    return Comparison(
        paired=pairs,
        only_a=int((a["status"].values == Status.DONE).sum()) - pairs,
        only_b=int((b["status"].values == Status.DONE).sum()) - pairs,
        tests=tests,
        exact=list(_exact(left, right, done)),
        measured=measured,
        smallest_p=smallest,
        identical=identical,
        speeds=_speeds(left, right, done),
        machines=(cpus[0], cpus[1]) if cpus[0] != cpus[1] else None,
        seeds=None if seeds[0] == seeds[1] else (seeds[0], seeds[1]),
    )


def _exact(left: xr.Dataset, right: xr.Dataset, done: Any) -> Iterator[Difference]:
    """Exact numbers that differ by more than rounding, those of settings first."""
    for name, variable in sorted(SUMMARY.items(), key=lambda own: len(own[1].dims)):
        exact = name.startswith("exact_") or variable.dims == SETTING
        if not exact or variable.kind != "number" or name not in left or name not in right:
            continue
        x, y = left[name].values, right[name].values
        both = np.isfinite(x) & np.isfinite(y)
        if variable.dims == CELL:
            both &= done
        scale = np.maximum(np.abs(x), np.abs(y))
        # Norms of biases are differences of numbers as large as what they are a bias of.
        if name.startswith("exact_") and "bias" in name:
            scale = np.maximum(scale, left["target_norm"].values if "relative" not in name else 1.0)
        for place in map(tuple, np.argwhere(both & (np.abs(x - y) > ROUNDING * scale))):
            yield Difference(_cell(left[name], place), name, float(x[place]), float(y[place]))


def _measured(
    left: xr.Dataset, right: xr.Dataset, done: Any
) -> tuple[list[Difference], int, float, bool]:
    """What differs beyond errors, how much was compared, the smallest p, and if all is equal."""
    names = [name for name in MEASURED if name in left and name in right]
    x, y = (np.stack([own[name].values for name in names]) for own in (left, right))
    errors = [np.stack([own[f"{n}_se"].values for n in names]) for own in (left, right)]
    error = np.sqrt(errors[0] ** 2 + errors[1] ** 2)
    known = done & np.isfinite(x) & np.isfinite(y)
    identical = bool((x[known] == y[known]).all())
    tested = known & np.isfinite(error)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(x == y, 0.0, (y - x) / error)
    p = np.full(z.shape, np.nan)
    p[tested] = [erfc(abs(own) / sqrt(2)) for own in z[tested]]
    adjusted = holm(p)
    found = []
    for place in map(tuple, np.argwhere(adjusted < LEVEL)):
        name = names[place[0]]
        numbers = (float(own[place]) for own in (x, y, z, adjusted))
        found.append(Difference(_cell(left[name], place[1:]), name, *numbers))
    found.sort(key=lambda own: own.p)
    smallest = float(np.nanmin(adjusted)) if tested.any() else float("nan")
    return found, int(tested.sum()), smallest, identical


def _speeds(left: xr.Dataset, right: xr.Dataset, done: Any) -> list[Speed]:
    """Ratios of seconds of every estimator."""
    x, y = left["seconds"].values, right["seconds"].values
    good = done & (x > 0) & (y > 0)
    axis = left["seconds"].dims.index("estimator")
    ratios: list[tuple[str, FloatArray]] = []
    for e, label in enumerate(left["estimator"].values):
        own = np.take(good, e, axis)
        if own.any():
            ratios.append((str(label), np.take(y, e, axis)[own] / np.take(x, e, axis)[own]))
    adjusted = holm([_sign_test(own) for _, own in ratios])
    return [
        Speed(label, own.size, float(np.exp(np.log(own).mean())), float(p))
        for (label, own), p in zip(ratios, adjusted, strict=True)
    ]


def _sign_test(ratios: FloatArray) -> float:
    """p-value of as many ratios above one as below."""
    from scipy.stats import binomtest  # half a second, for what only comparisons ask

    above, below = int((ratios > 1).sum()), int((ratios < 1).sum())
    return float(binomtest(above, above + below).pvalue) if above + below else 1.0


def _cell(array: xr.DataArray, place: tuple[int, ...]) -> dict[str, Any]:
    """Labels of a place."""
    return {
        str(axis): array[axis].values.tolist()[i] for axis, i in zip(array.dims, place, strict=True)
    }
