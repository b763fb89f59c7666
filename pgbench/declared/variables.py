"""What schemas of datasets are made of, arrays made by a schema, and what breaks one.

A schema is a mapping from names to variables. Nothing is stored under a name that it lacks.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pgbench.declared.parameters import did_you_mean

Kind = Literal["number", "text", "code"]

ENDS = {"_low": ", lower end of the 95 % interval", "_high": ", upper end of the 95 % interval"}
"""Suffixes of variables that are the ends of an interval, and what they add to descriptions."""

INTERVAL = ("", *ENDS)
"""Suffixes of a value and of the ends of its interval."""

SPREAD = {"_se": ", standard error", **ENDS}
"""Those and that of the standard error."""


@dataclass(frozen=True)
class Variable:
    """One variable of a dataset: where it lives, its unit and what it is.

    ``reproducible`` is false for what a clock measured; everything else is the same bytes for the
    same grid and seed. A ``code`` is a member of an enumeration of ``outcomes``. One of an ``axis``
    is there only where the grid names that axis.
    """

    dims: tuple[str, ...]
    units: str
    long_name: str
    reproducible: bool = True
    kind: Kind = "number"
    axis: str = ""

    @property
    def attributes(self) -> dict[str, str]:
        """What is stored beside the array."""
        return {"long_name": self.long_name, "units": self.units}

    def empty(self, sizes: Mapping[str, int]) -> NDArray[Any]:
        """An array in which nothing is known yet: NaN, no text, or code 0."""
        shape = [sizes[d] for d in self.dims]
        if self.kind == "text":
            return np.full(shape, "", dtype=object)
        return np.zeros(shape, np.int8) if self.kind == "code" else np.full(shape, np.nan)


Schema = Mapping[str, Variable]


def text(dims: tuple[str, ...], long_name: str, reproducible: bool = True) -> Variable:
    """A variable of words."""
    return Variable(dims, "", long_name, reproducible, "text")


def code(dims: tuple[str, ...], long_name: str) -> Variable:
    """A variable of codes, whose meanings its description lists."""
    return Variable(dims, "1", long_name, kind="code")


def with_ends(name: str, variable: Variable, ends: Mapping[str, str] = ENDS) -> dict[str, Variable]:
    """A variable by its name, and the ends of its interval by theirs."""
    more = {
        name + end: replace(variable, long_name=variable.long_name + meaning)
        for end, meaning in ends.items()
    }
    return {name: variable, **more}


def allocate(schema: Schema, sizes: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """An empty array for every variable of a schema, by name."""
    return {name: variable.empty(sizes) for name, variable in schema.items()}


def on_axes(schema: Schema, axes: Collection[str]) -> Schema:
    """The schema of a dataset whose grid names these axes of settings beside problem and policy.

    Whatever has a dimension ``policy`` has them after it.
    """
    return {
        name: replace(variable, dims=_with_axes(variable.dims, axes))
        for name, variable in schema.items()
        if variable.axis in ("", *axes)
    }


def _with_axes(dims: tuple[str, ...], axes: Iterable[str]) -> tuple[str, ...]:
    if "policy" not in dims:
        return dims
    after = dims.index("policy") + 1
    return (*dims[:after], *axes, *dims[after:])


def require_declared(names: Iterable[str], schema: Schema, what: str = "the dataset") -> None:
    """Raise ValueError for the first name that a schema does not declare."""
    for name in names:
        if name not in schema:
            raise ValueError(
                f"{name!r} is not a declared variable of {what}{did_you_mean(name, schema)}"
            )


def breaches(schema: Schema, arrays: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """What of labelled arrays breaks a schema: names, dimensions and units, a sentence each.

    Every array has ``dims`` and ``attrs``, as those of xarray do.
    """
    for name, array in arrays.items():
        variable = schema.get(name)
        if variable is None:
            yield f"{place}{name}: unknown"
        elif array.dims != variable.dims:
            yield f"{place}{name}: dims {array.dims}, must be {variable.dims}"
        elif array.attrs.get("units") != variable.units or not array.attrs.get("long_name"):
            yield f"{place}{name}: needs long_name and units {variable.units!r}"
