"""Discovery: a file dropped into a package is found, listed, validated and tested.

Each module of ``pgbench.problems``, ``pgbench.policies`` and ``pgbench.estimators`` may hold one
or more records; the packages list what their modules hold. There is no table to edit.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from pgbench.declared.parameters import Parameter, did_you_mean, parameters_of


class Record(Protocol):
    """What can be discovered: a thing with a name and declared parameters."""

    @property
    def name(self) -> str:
        """The name used in the API, in grids and in reports."""

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The declared parameters by name."""


class Made:
    """A record whose maker says it all: parameters in its signature, a summary in its docstring.

    Attributes
    ----------
    maker
        The function that makes what the record is called after.
    leading
        How many of the maker's first arguments are no parameters.
    paths
        Parameters that name files; in a grid they are relative to the folder of the grid's file.
    """

    maker: Callable[..., Any]
    leading: ClassVar[int] = 0
    paths: tuple[str, ...] = ()

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """The declared parameters by name."""
        return parameters_of(self.maker, skip=self.leading)

    @property
    def summary(self) -> str:
        """First line of the maker's description."""
        return (self.maker.__doc__ or "").strip().splitlines()[0]

    def located(self, folder: Path, values: Mapping[str, Any]) -> dict[str, Any]:
        """Parameter values in which paths begin at a folder, unless they are absolute."""
        given = [key for key in self.paths if values.get(key) is not None]
        return dict(values) | {key: str(folder / values[key]) for key in given}


R = TypeVar("R", bound=Record)


@cache
def _scan(package: str, kind: Any) -> dict[str, Any]:
    records: dict[str, Any] = {}
    for module in sorted(
        m.name for m in pkgutil.iter_modules(importlib.import_module(package).__path__)
    ):
        for value in vars(importlib.import_module(f"{package}.{module}")).values():
            if isinstance(value, kind) and records.setdefault(value.name, value) is not value:
                raise ValueError(f"two records of {package} are called {value.name!r}")
    return dict(sorted(records.items()))


def discover(package: str, kind: Callable[..., R]) -> dict[str, R]:
    """Records of one kind, a class, in the modules of a package, by name, in order of name."""
    return dict(_scan(package, kind))


def find(what: str, records: dict[str, R], name: str) -> R:
    """The record of that name, or ValueError with a suggestion and the known names."""
    if name in records:
        return records[name]
    raise ValueError(
        f"unknown {what} {name!r}{did_you_mean(name, records)} (known: {', '.join(records)})"
    )
