"""How long numba has compiled: kernels, and everybody else's functions."""

import time

from numba.core import event


class _Clock(event.Listener):
    """Seconds of compiling; what is compiled for something else is part of that."""

    def __init__(self) -> None:
        self._whole, self._begin, self._depth = 0.0, 0.0, 0

    def on_start(self, event) -> None:
        if self._depth == 0:
            self._begin = time.perf_counter()
        self._depth += 1

    def on_end(self, event) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._whole += time.perf_counter() - self._begin

    def seconds(self) -> float:
        now = time.perf_counter() - self._begin if self._depth else 0.0
        return self._whole + now


_CLOCK = _Clock()
event.register("numba:compile", _CLOCK)


def compiled_seconds() -> float:
    """Seconds that numba has compiled since this module was imported, until now."""
    return _CLOCK.seconds()
