"""Children that perform calls side by side, as many as the machine has cores for."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from math import inf
from typing import Any, Self, TypeVar

from pgbench.harness.child import SHARE, Child
from pgbench.memory import available

T = TypeVar("T")

MOST = 8
"""Most children; more cores than that are threads of theirs."""

_LOOK = 0.05
"""Seconds between two looks at whether those that were told to stop have."""


class Crew:
    """Children, each of which performs one call at a time, and starts with the first.

    They share the memory that is available now. All end with the block, whatever they are doing.

    Parameters
    ----------
    number
        How many; by default one for every core, but at most ``MOST``.
    prepare
        What every one calls first, as in ``Child``.
    """

    def __init__(
        self, number: int | None = None, prepare: Callable[[], object] | None = None
    ) -> None:
        number = number or min(os.cpu_count() or 1, MOST)
        share = int(SHARE * available() / number)
        self._children = [Child(prepare, share) for _ in range(number)]
        self._waiting = [ThreadPoolExecutor(1) for _ in self._children]
        self._calls: set[Future[Any]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._children)

    def submit(
        self, place: int, function: Callable[..., T], *arguments: Any, seconds: float = inf
    ) -> "Future[T]":
        """What ``Child.perform`` of the child at that place will return or raise.

        It performs its calls in the order in which they came.
        """

        def perform() -> T:
            return self._children[place].perform(function, *arguments, seconds=seconds)

        call = self._waiting[place].submit(perform)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return call

    def each(self, function: Callable[..., object], *arguments: Any) -> None:
        """Let every child perform the same call, and wait for all of them."""
        calls = [self.submit(place, function, *arguments) for place in range(len(self))]
        for call in calls:
            call.result()

    def unordered(
        self, function: Callable[[Any], T], items: Sequence[Any]
    ) -> Iterator[tuple[int, T]]:
        """The place of every item, and what the function returns of it, as they come.

        Items are begun in their order. What the function raises is raised here.
        """
        left, running = iter(enumerate(items)), dict[Future[T], tuple[int, int]]()

        def begin(place: int) -> None:
            for number, item in left:
                running[self.submit(place, function, item)] = place, number
                return

        for place in range(len(self)):
            begin(place)
        while running:
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for call in ended:
                place, number = running.pop(call)
                begin(place)
                yield number, call.result()

    def close(self) -> None:
        """End every child; those that perform a call lose it."""
        for waiting in self._waiting:
            waiting.shutdown(wait=False, cancel_futures=True)
        while calls := set(self._calls):
            for child in self._children:
                child.stop()
            wait(calls, _LOOK)
        for child in self._children:
            child.close()
