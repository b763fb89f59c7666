"""Results of exact computations, remembered for as long as the problem they belong to lives."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

from pgbench.exact.truth import Truth

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A", bound=Truth)


def remembered(
    function: Callable[Concatenate[A, P], T],
) -> Callable[Concatenate[A, P], T]:
    """The same function of a truth and hashable arguments, worked out once for each."""
    known: WeakKeyDictionary[A, dict[Any, T]] = WeakKeyDictionary()

    @wraps(function)
    def recalled(truth: A, *args: P.args, **kwargs: P.kwargs) -> T:
        own = known.setdefault(truth, {})
        key = (args, tuple(sorted(kwargs.items())))
        if key not in own:
            own[key] = function(truth, *args, **kwargs)
        return own[key]

    return cast(Callable[Concatenate[A, P], T], recalled)
