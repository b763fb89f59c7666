"""Answers of exact computations, remembered for as long as what they are about lives.

Questions are compared by value, arrays too: problems and policies make equal arrays anew.
"""

from collections.abc import Callable
from functools import wraps
from math import inf
from threading import Lock
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

import numpy as np

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")

Question = tuple[Any, ...]


class _Answers(Generic[T]):
    """Answers by question, the one that was asked last at the end; at most so many."""

    def __init__(self, most: float) -> None:
        self.most = most
        self.known: list[tuple[Question, T]] = []
        self.lock = Lock()  # not held while asking: threads may work out one answer twice

    def of(self, question: Question, ask: Callable[[], T]) -> T:
        with self.lock:
            for place, (asked, answer) in enumerate(self.known):
                if _same(asked, question):
                    self.known.append(self.known.pop(place))
                    return answer
        answer = ask()
        with self.lock:
            self.known.append((tuple(map(_kept, question)), answer))
            if len(self.known) > self.most:
                del self.known[0]
        return answer


def latest(
    most: float,
) -> Callable[[Callable[Concatenate[A, P], T]], Callable[Concatenate[A, P], T]]:
    """Make a function of an object and more remember its latest answers for each object.

    The object is held weakly, so no answer may hold it.
    """

    def remembering(
        function: Callable[Concatenate[A, P], T],
    ) -> Callable[Concatenate[A, P], T]:
        known: WeakKeyDictionary[A, _Answers[T]] = WeakKeyDictionary()

        @wraps(function)
        def recalled(about: A, *args: P.args, **kwargs: P.kwargs) -> T:
            own = known.setdefault(about, _Answers(most))
            names = sorted(kwargs)
            question = (*args, *names, *(kwargs[name] for name in names))
            return own.of(question, lambda: function(about, *args, **kwargs))

        return cast(Callable[Concatenate[A, P], T], recalled)

    return remembering


def remembered(function: Callable[Concatenate[A, P], T]) -> Callable[Concatenate[A, P], T]:
    """A function of an object and more, worked out once for each object and question."""
    return latest(inf)(function)


def _same(asked: Question, question: Question) -> bool:
    """Whether two questions are equal; what is quick to compare had better stand first."""
    return len(asked) == len(question) and all(
        a is b or (np.array_equal(a, b) if isinstance(a, np.ndarray) else bool(a == b))
        for a, b in zip(asked, question, strict=True)
    )


def _kept(value: Any) -> Any:
    """An array that may be written to later is copied."""
    return value.copy() if isinstance(value, np.ndarray) and value.flags.writeable else value
