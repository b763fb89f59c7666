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
from functools import wraps
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from types import FunctionType
from typing import Any, Self, cast

from numba import get_num_threads, njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.dispatcher import Dispatcher
from numba.np.ufunc import parallel

_SOURCES = Path(__file__).parent


def kernel(function: Callable[..., Any]) -> Any:
    """The function compiled on first use, or loaded as it was compiled before."""
    # No fastmath, which would add in another order. Not numba's cache, for the reason above.
    return _kept(njit(function))


def free_kernel(function: Callable[..., Any]) -> Any:
    """A kernel without the interpreter's lock: threads of Python run it at once on own arrays."""
    return _kept(njit(nogil=True)(function))


def parallel_kernel(function: Callable[..., Any]) -> Any:
    """The function compiled with ``prange`` over threads, or loaded as it was compiled before.

    In a process that was forked after its parent's threads had begun it runs on one thread, with
    the same numbers: GNU OpenMP ends a child that asks for the threads that it has lost.
    """
    # Not for every kernel, because to look for loops that could be parallel takes seconds.
    over_threads = _kept(njit(parallel=True)(function))
    in_turn = kernel(_named_apart(function))

    @wraps(function)
    def run(*arguments: Any) -> Any:
        if _threads_lost:
            return in_turn(*arguments)
        with _turn():
            return over_threads(*arguments)

    return run


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


def _named_apart(function: Callable[..., Any]) -> FunctionType:
    """The function by another name, under which numba keeps other code of it."""
    same = cast(FunctionType, function)
    copy = FunctionType(same.__code__, same.__globals__)
    copy.__name__ = copy.__qualname__ = f"{same.__name__}_in_turn"
    return copy


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
    _impl_class = _CompiledKernel
