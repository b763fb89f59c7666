"""How kernels are compiled; what is asked of numba stands in ``parts``, of CUDA in ``cuda.jit``.

No kernel is a closure over values: each is a function of its arguments. No fastmath, which would
add in another order. Compiled code is kept for later processes, see ``keeping``.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from itertools import pairwise
from threading import Lock
from types import FunctionType
from typing import Any, cast

from numba import config, get_num_threads, prange, typeof, types
from numba.np.ufunc import parallel

from pgbench.kernels.keeping import keep, taken
from pgbench.kernels.parts import Kernel
from pgbench.kernels.units import Unit


def kernel(function: Callable[..., Any]) -> Any:
    """The function compiled on first use, or loaded as it was compiled before."""
    return _compiled(function)


def part(function: Callable[..., Any]) -> Any:
    """A kernel that makes no arrays and returns none: it need not count who refers to them.

    A function of many arrays takes 100 ns and more to count references, and long to compile.
    """
    compiled = _compiled(function)
    if isinstance(compiled, Kernel):
        compiled.counts = False
    return compiled


def free_kernel(function: Callable[..., Any]) -> Any:
    """A kernel without the interpreter's lock: threads of Python run it at once on own arrays."""
    return _compiled(function, nogil=True)


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    # Without a compiler it is the function itself.
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return function
    return keep(Kernel.of(function, **options))


def unit(function: Any, *arguments: Any) -> Any:
    """A part that is compiled by itself, and is an argument of the kernels that call it.

    What takes seconds to compile is cut into units, which several processes compile at once. It
    takes arguments of the types of these, and returns nothing.
    """
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return function
    return keep(Unit(function.py_func, tuple(map(typeof, arguments))), unit=True)


def compile_units(units: Iterable[Any]) -> None:
    """Compile, or load, those units that no other process compiles at this moment."""
    for own in units:
        if isinstance(own, Unit) and not taken(own, own.own.args):
            own.compile(own.own)


def parallel_kernel(span: Callable[..., Any]) -> Any:
    """A kernel whose work is cut into spans, which several threads share.

    ``span(..., begin, end)`` does the part from ``begin`` to ``end``. What comes back is called
    with ``bounds`` (K + 1,) int64, where each of K spans begins and the last ends, and with the
    other arguments. A single span runs on the thread that calls. So do all in a process that was
    forked after its parent's threads had begun, with the same numbers: GNU OpenMP ends a child that
    asks for the threads that it has lost.

    The loop over threads reaches ``span`` by a pointer: it is compiled once, whether threads are
    used or not, and not optimised anew for every loop around it, which takes many seconds.
    """
    alone, loop = kernel(span), _compiled(_loop_over(span), parallel=True)
    known: dict[Any, Callable[..., None]] = {}

    def run(bounds: Any, *arguments: Any) -> None:
        if len(bounds) == 2 or _threads_lost or config.DISABLE_JIT:  # type: ignore[attr-defined]
            for begin, end in pairwise(bounds.tolist()):
                alone(*arguments, begin, end)
            return
        kinds = tuple(map(typeof, arguments))
        if kinds not in known:
            own = types.void(*kinds, types.intp, types.intp)
            alone.compile(own)
            with_pointer = types.void(types.FunctionType(own), typeof(bounds), *kinds)
            loop.compile(with_pointer)
            known[kinds] = loop.get_overload(with_pointer)
        with _turn():
            known[kinds](alone, bounds, *arguments)

    return run


def _loop_over(span: Callable[..., Any]) -> Callable[..., Any]:
    """A function ``(span, bounds, ...)`` that calls it for every span, with its own parameters."""
    # Written out: prange takes named tuples as parameters, but not within a tuple of arguments.
    own = ", ".join([*signature(span).parameters][:-2])
    text = f"""
def over_threads(span, bounds, {own}):
    for k in prange(bounds.size - 1):
        span({own}, bounds[k], bounds[k + 1])
"""
    code = cast(FunctionType, span).__code__
    found: dict[str, Any] = {"__name__": span.__module__, "prange": prange}
    exec(compile("\n" * code.co_firstlineno + text, code.co_filename, "exec"), found)
    loop: Callable[..., Any] = found["over_threads"]
    return loop


_one_at_a_time = Lock()
_threads_lost = False


def _turn() -> AbstractContextManager[Any]:
    """What to hold in a parallel kernel: numba's work queue takes one at a time, or aborts."""
    if parallel._threading_layer is None:
        get_num_threads()  # loads it
    return _one_at_a_time if parallel._threading_layer == "workqueue" else nullcontext()


def _after_fork() -> None:
    """See whether OpenMP's threads had begun, which the parent alone has now."""
    global _one_at_a_time, _threads_lost
    _threads_lost = parallel._threading_layer == "omp"
    _one_at_a_time = Lock()  # a thread of the parent's may have held it


os.register_at_fork(after_in_child=_after_fork)
