"""Variants of estimators: parameter values to try, the same wherever estimators are enumerated."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from pgbench.declared.parameters import Parameter
from pgbench.estimators.parts.estimator import Estimator


def variants(estimator: Estimator) -> Iterator[dict[str, Any]]:
    """Parameter values to try: the defaults, and every change that may bias, one at a time."""
    one_at_a_time = ({name: value} for name, value, _ in changes(estimator))
    return combinations(estimator, lambda parameter: [0.5], [{}, *one_at_a_time])


def combinations(
    estimator: Estimator,
    tried: Callable[[Parameter], Iterable[Any]],
    selections: Iterable[Mapping[str, Any]],
) -> Iterator[dict[str, Any]]:
    """Values tried for parameters without a default, each with every selection of the others."""
    needed = [p for p in estimator.parameters.values() if p.required]
    chosen = list(selections)
    for values in product(*map(tried, needed)):
        given = dict(zip((p.name for p in needed), values, strict=True))
        yield from ({**given, **others} for others in chosen)


def required(estimator: Estimator) -> dict[str, Any]:
    """Values for parameters that have no default."""
    return {p.name: 0.5 for p in estimator.parameters.values() if p.required}


def changes(estimator: Estimator) -> Iterator[tuple[str, Any, str]]:
    """Values of one parameter that may bias: switches thrown, words, what is zero by default."""
    for p in estimator.parameters.values():
        if p.required:
            continue
        for other in others(p):
            yield p.name, other, str(other).lower() if isinstance(other, bool) else other
        if float in p.types and p.default == 0 and p.range.minimum == 0:
            yield p.name, 0.5, "> 0"


def others(parameter: Parameter) -> list[Any]:
    """What a switch or a word may be beside its default."""
    words = list(parameter.choice.options) if parameter.choice else []
    switch = [False, True] if bool in parameter.types else []
    return [value for value in [*switch, *words] if value != parameter.default]
