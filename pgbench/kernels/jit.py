"""How kernels are compiled, and where compiled code is kept.

Compiled code is kept on disk, in a directory named by a hash of all kernel sources and of the
versions that made code of them: numba's own key is the file that holds a kernel, which stays the
same when a helper in another file changes. A locator of our own names the directory, because numba
reads ``NUMBA_CACHE_DIR`` anew at every compilation and forgets what else it was told.

Options of the compiler stand here, and those of CUDA's in ``cuda.jit``, and nowhere else. No kernel
is a closure over values: each is a function of its arguments.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from fcntl import LOCK_EX, flock
from hashlib import blake2b
from importlib.metadata import version
from inspect import signature
from itertools import pairwise
from pathlib import Path
from threading import Lock
from types import FunctionType
from typing import Any, Self, cast

from numba import config, get_num_threads, njit, prange, typeof, types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.dispatcher import Dispatcher
from numba.np.ufunc import parallel

from pgbench.kernels.compiling import loading

_SOURCES = Path(__file__).parent


def kernel(function: Callable[..., Any]) -> Any:
    """The function compiled on first use, or loaded as it was compiled before."""
    # No fastmath, which would add in another order. Not numba's cache, for the reason above.
    return _kept(njit(function))


def free_kernel(function: Callable[..., Any]) -> Any:
    """A kernel without the interpreter's lock: threads of Python run it at once on own arrays."""
    return _kept(njit(nogil=True)(function))


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
    alone, loop = kernel(span), _kept(njit(parallel=True)(_loop_over(span)))
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


def _kept(dispatcher: Any) -> Any:
    # With NUMBA_DISABLE_JIT it is the function itself.
    if CACHE_DIRECTORY is not None and isinstance(dispatcher, Dispatcher):
        dispatcher._cache = _KernelCache(dispatcher.py_func)  # type: ignore[attr-defined]
    return dispatcher


def _stamp() -> str:
    """Hash of the kernel sources and of the versions that make code of them.

    Numbers that kernels read, such as those in ``normal.npy``, are arguments and no part of code.
    """
    state = blake2b(digest_size=8)
    for source in sorted(_SOURCES.rglob("*.py")):
        state.update(source.read_bytes())
    state.update(
        f"{sys.version} {version('numba')} {version('llvmlite')} {version('numpy')}".encode()
    )
    return state.hexdigest()


def _roots() -> Iterator[Path]:
    """Where compiled code may be kept, the first choice first."""
    if own := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(own)
    elif cache := os.environ.get("XDG_CACHE_HOME"):
        yield Path(cache) / "pgbench"
    elif (home := Path(os.path.expanduser("~"))).is_absolute():  # it may be unknown
        yield home / ".cache" / "pgbench"
    yield Path(tempfile.gettempdir()) / f"pgbench-{os.getuid()}"


def _cache_directory() -> Path | None:
    """The first place that can be written to; None if there is none, and nothing is kept."""
    name = f"kernels-{_stamp()}"
    try:
        for root in _roots():
            if _writable(root / name):
                return root / name
    except FileNotFoundError:  # there is no temporary directory either
        pass
    return None


def _writable(directory: Path) -> bool:
    """Whether files can be made in a directory of the user's own, which is made if need be."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError:
        return False
    # Compiled code is loaded from it: in a directory that all may write to it may be another's.
    return directory.stat().st_uid == os.getuid()


CACHE_DIRECTORY = _cache_directory()
"""Where compiled code is kept, or None."""


def has_compiled() -> bool:
    """Whether any compiled code is kept."""
    return CACHE_DIRECTORY is not None and any(CACHE_DIRECTORY.glob("*.nbi"))


class _Locator(_CacheLocator):
    """Tells numba the directory; its name says of which sources, so no file needs a stamp."""

    def __init__(self, function: Any, file: str) -> None:
        self._py_file = file
        self._place = f"{function.__module__}-{function.__code__.co_firstlineno}"

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Self:
        """The locator of any kernel."""
        return cls(py_func, py_file)

    def get_cache_path(self) -> str:
        """The directory."""
        return str(CACHE_DIRECTORY)

    def get_source_stamp(self) -> str:
        """Nothing: other sources have another directory."""
        return ""

    def get_disambiguator(self) -> str:
        """Module and line, for two kernels of one name in modules of one name."""
        return self._place


class _CompiledKernel(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012  # as numba declares it


class _KernelCache(FunctionCache):
    """Code on disk; of several processes that miss the same, one compiles and the others wait."""

    _impl_class = _CompiledKernel

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._locked: dict[Any, int] = {}

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The code of a signature; where there is none the caller makes and saves it."""
        with loading():
            if (found := super().load_overload(sig, target_context)) is None:
                self._lock(sig)
                found = super().load_overload(sig, target_context)
        if found is not None:
            self._unlock(sig)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep code for all processes."""
        super().save_overload(sig, data)
        self._unlock(sig)

    def _lock(self, sig: Any) -> None:
        """Be the only process that compiles this, as long as it lives."""
        # Whoever waits holds locks only of what calls this, and nothing calls itself.
        name = blake2b(repr((self._impl.filename_base, sig)).encode(), digest_size=8).hexdigest()
        try:
            self._locked[sig] = os.open(f"{CACHE_DIRECTORY}/{name}.lock", os.O_RDWR | os.O_CREAT)
            flock(self._locked[sig], LOCK_EX)
        except OSError:
            pass  # a file system without locks: both compile

    def _unlock(self, sig: Any) -> None:
        if (lock := self._locked.pop(sig, None)) is not None:
            os.close(lock)
