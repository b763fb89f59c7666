"""Declared parameters: a maker's signature is the one statement of what it accepts.

A problem family, a policy or an estimator is made by a function whose keyword arguments carry
annotated types, e.g. ``n_states: Annotated[int, Range(1), "number of states"]``. From that
signature come validation in the API, located errors in a grid file, the JSON schema and the
listing on the command line.
"""

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pgbench.declared.messages import shown

REQUIRED: Any = inspect.Parameter.empty


class ParameterError(ValueError):
    """A parameter is unknown, missing, of the wrong type or out of range."""


@dataclass(frozen=True)
class Range:
    """Closed bounds of a number; ``None`` leaves a side open."""

    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Choice:
    """The words that a string parameter may take."""

    options: tuple[str, ...]


@dataclass(frozen=True)
class Pattern:
    """The form of a string parameter: a regular expression, and what it allows in words.

    Where the parameter may also be an integer, digits that match are read as one, so the
    expression must keep to the integer's range.
    """

    expression: str
    words: str


@dataclass(frozen=True)
class Later:
    """Marks a parameter that its maker got after others had named results.

    At its default it is left out of what identifies a choice, so that streams, θ and keys of
    choices that never heard of it stay what they were.
    """


@dataclass(frozen=True)
class Parameter:
    """One named argument of a maker: its types, default, bounds and meaning."""

    name: str
    types: tuple[type, ...]
    default: Any
    range: Range
    choice: Choice | None
    meaning: str
    pattern: Pattern | None = None
    later: bool = False

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is REQUIRED

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        words = []
        for kind in self.types:
            if kind is int or kind is float:
                noun = "an integer" if kind is int else "a number"
                low, high = self.range.minimum, self.range.maximum
                if low is not None and high is not None:
                    noun += f" in [{low:g}, {high:g}]"
                elif low is not None:
                    noun += f" ≥ {low:g}"
                elif high is not None:
                    noun += f" ≤ {high:g}"
                words.append(noun)
            elif kind is str and self.pattern:
                words.append(self.pattern.words)
            elif kind is str:
                words.append(
                    "one of " + ", ".join(self.choice.options) if self.choice else "a string"
                )
            elif kind is bool:
                words.append("true or false")
            else:
                words.append("a mapping")
        return " or ".join(words)

    def check(self, value: Any) -> Any:
        """The value as the maker takes it, or ParameterError saying what is allowed."""
        if value is None and self.default is None:
            return None
        for kind in self.types:
            if kind is bool and isinstance(value, bool):
                return value
            if kind is int and isinstance(value, Integral) and not isinstance(value, bool):
                return int(self._in_range(value))
            if kind is float and isinstance(value, Real) and not isinstance(value, bool):
                return float(self._in_range(value))
            if kind is str and isinstance(value, str):
                return self._in_pattern(self._in_choice(value))
            if kind is dict and isinstance(value, Mapping):
                return dict(value)
        raise ParameterError(f"{shown(value)} is not allowed here, must be {self.allowed}")

    def _in_range(self, value: Any) -> Any:
        low, high = self.range.minimum, self.range.maximum
        if (
            not -sys.float_info.max <= value <= sys.float_info.max
            or (low is not None and value < low)
            or (high is not None and value > high)
        ):
            raise ParameterError(f"{shown(value)} is out of range, must be {self.allowed}")
        return value

    def _in_choice(self, value: str) -> str:
        if self.choice is None or value in self.choice.options:
            return value
        hint = did_you_mean(value, self.choice.options)
        raise ParameterError(f"{shown(value)} is unknown{hint}, must be {self.allowed}")

    def _in_pattern(self, value: str) -> Any:
        if self.pattern is None:
            return value
        if not re.fullmatch(self.pattern.expression, value):
            raise ParameterError(
                f"{shown(value)} is not of the form needed, must be {self.allowed}"
            )
        # One value has one spelling, whether a file quotes its digits or not.
        return int(value) if int in self.types and value.isdigit() else value

    def schema(self) -> dict[str, Any]:
        """JSON schema of one value."""
        options: list[dict[str, Any]] = []
        for kind in self.types:
            names = {int: "integer", float: "number", bool: "boolean", str: "string"}
            entry: dict[str, Any] = {"type": names.get(kind, "object")}
            if kind is int or kind is float:
                if self.range.minimum is not None:
                    entry["minimum"] = self.range.minimum
                if self.range.maximum is not None:
                    entry["maximum"] = self.range.maximum
            if kind is str and self.choice:
                entry["enum"] = list(self.choice.options)
            if kind is str and self.pattern:
                entry["pattern"] = f"^({self.pattern.expression})$"
            options.append(entry)
        if self.default is None:
            options.append({"type": "null"})
        return options[0] if len(options) == 1 else {"anyOf": options}


def did_you_mean(word: str, options: Any) -> str:
    """A suggestion such as ``, did you mean n_states?``, or nothing if no option is close."""
    close = difflib.get_close_matches(str(word), [str(option) for option in options], n=1)
    return f", did you mean {close[0]}?" if close else ""


def parameters_of(maker: Callable[..., Any], skip: int = 0) -> dict[str, Parameter]:
    """The parameters that a maker declares in its signature, after the first ``skip``."""
    hints = get_type_hints(maker, include_extras=True)
    arguments = list(inspect.signature(maker).parameters.values())[skip:]
    return {a.name: _parameter(a.name, hints[a.name], a.default) for a in arguments}


def _parameter(name: str, hint: Any, default: Any) -> Parameter:
    extras: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        extras = tuple(rest)
    types = get_args(hint) if isinstance(hint, UnionType) or get_origin(hint) is Union else (hint,)
    return Parameter(
        name=name,
        types=tuple(get_origin(kind) or kind for kind in types if kind is not type(None)),
        default=default,
        range=next((e for e in extras if isinstance(e, Range)), Range()),
        choice=next((e for e in extras if isinstance(e, Choice)), None),
        meaning=next((e for e in extras if isinstance(e, str)), ""),
        pattern=next((e for e in extras if isinstance(e, Pattern)), None),
        later=any(isinstance(e, Later) for e in extras),
    )


def bind(
    owner: str, parameters: Mapping[str, Parameter], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Every parameter's value, given or default; ParameterError lists all that is wrong."""
    errors = [
        f"{owner}.{name}: unknown parameter{did_you_mean(name, parameters)}"
        f" (has {', '.join(parameters) or 'none'})"
        for name in given
        if name not in parameters
    ]
    values: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if name in given:
            try:
                values[name] = parameter.check(given[name])
            except ParameterError as error:
                errors.append(f"{owner}.{name}: {error}")
        elif parameter.required:
            errors.append(f"{owner}.{name}: missing, must be {parameter.allowed}")
        else:
            values[name] = parameter.default
    if errors:
        raise ParameterError("; ".join(errors))
    return values


def check_counts(**counts: Any) -> None:
    """ValueError naming the first count that is not a positive integer."""
    for name, value in counts.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ParameterError(f"{name} is {shown(value)}, must be an integer ≥ 1")


Formula = str | Callable[..., str]
"""LaTeX mathematics, or a function of parameters to it where it depends on them."""


def write_formula(
    formula: Formula, parameters: Mapping[str, Parameter], given: Mapping[str, Any]
) -> str:
    """The formula with given parameters, defaults for the others; LaTeX mathematics."""
    if isinstance(formula, str):
        return formula
    defaults = {name: p.default for name, p in parameters.items() if not p.required}
    return formula(**defaults | dict(given))


def label(name: str, parameters: Mapping[str, Parameter], values: Mapping[str, Any]) -> str:
    """A short stable name such as ``gae[lam=0.95]``: every value that is not the default."""
    shown = [
        f"{key}={spelt(values[key])}"
        for key, parameter in parameters.items()
        if key in values and (parameter.required or values[key] != parameter.default)
    ]
    return f"{name}[{', '.join(shown)}]" if shown else name


def spelt(value: Any) -> str:
    """A value as labels have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={spelt(v)}" for k, v in value.items()) + "}"
    return str(value)
