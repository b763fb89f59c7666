"""How long numba has compiled or loaded code: kernels, and everybody else's functions."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from numba.core import event


class _Clock(event.Listener):
    """Seconds of compiling; what is compiled for something else is part of that."""

    def __init__(self) -> None:
        self._whole, self._begin, self._depth = 0.0, 0.0, 0

    def on_start(self, event) -> None:
        self.begin()

    def on_end(self, event) -> None:
        self.end()

    def begin(self) -> None:
        if self._depth == 0:
            self._begin = time.perf_counter()
        self._depth += 1

    def end(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._whole += time.perf_counter() - self._begin

    def seconds(self) -> float:
        now = time.perf_counter() - self._begin if self._depth else 0.0
        return self._whole + now


_CLOCK = _Clock()
event.register("numba:compile", _CLOCK)


@contextmanager
def loading() -> Iterator[None]:
    """Count the block, which loads what was compiled before or waits for it."""
    _CLOCK.begin()
    try:
        yield
    finally:
        _CLOCK.end()


def compiled_seconds() -> float:
    """Seconds of compiling and loading since this module was imported, until now."""
    return _CLOCK.seconds()


class Stopwatch:
    """Seconds since it was made, less those of compiling and loading."""

    def __init__(self) -> None:
        self._begin, self._compiled = time.perf_counter(), compiled_seconds()

    @property
    def seconds(self) -> float:
        """Until now."""
        return time.perf_counter() - self._begin - (compiled_seconds() - self._compiled)
