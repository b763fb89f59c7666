"""Parameters of what stands along an axis of a dataset, read off its coordinates."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pgbench.declared.parameters import Parameter, spelt
from pgbench.results.coordinates import parameter_coordinate

if TYPE_CHECKING:
    from xarray import Dataset

Values = dict[str, Any]
"""Numbers and words by the name of a parameter."""


def values_along(data: "Dataset", axis: str) -> list[Values]:
    """The parameters of each place of an axis other than that of estimators.

    A parameter that a place has not, or that says nothing there, is left out.
    """
    prefix = f"{axis}_"
    columns = {
        str(name).removeprefix(prefix): column.values.tolist()
        for name, column in data.coords.items()
        if str(name).startswith(prefix) and str(name) not in (f"{axis}_name", f"{axis}_label")
    }
    n = data["policy" if axis not in data.dims else axis].size
    return [{name: own[i] for name, own in columns.items() if _said(own[i])} for i in range(n)]


def of_estimator(data: "Dataset", place: int, declared: Mapping[str, Parameter]) -> Values:
    """The parameters of an estimator as its maker takes them; what says nothing is left out."""
    found = {name: data[parameter_coordinate(name)].values.tolist()[place] for name in declared}
    return {name: _typed(declared[name], own) for name, own in found.items() if _said(own)}


def word(value: Any) -> str:
    """A value in few words: whole numbers have no decimals."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else spelt(value)


def _said(value: Any) -> bool:
    return value != "" and value == value  # NaN is not itself


def _typed(parameter: Parameter, value: Any) -> Any:
    """A number or word of a coordinate in the type that its parameter has."""
    if value in ("true", "false") and bool in parameter.types:
        return value == "true"
    if isinstance(value, str) and value.replace(".", "").replace("-", "").isdigit():
        value = float(value)
    if isinstance(value, float) and float not in parameter.types:
        return int(value)
    return value
