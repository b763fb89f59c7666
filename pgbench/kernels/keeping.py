"""Where compiled code is kept, for all processes of a user.

In a directory named by a hash of all kernel sources and of the versions that made code of them:
numba's own key is the file that holds a kernel, which stays the same when a helper in another file
changes. A locator of our own names the directory, because numba reads ``NUMBA_CACHE_DIR`` anew at
every compilation and forgets what else it was told.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

from pgbench.kernels.compiling import loading

_SOURCES = Path(__file__).parent


def keep(kernel: Any, *, unit: bool = False) -> Any:
    """The kernel, whose compiled code is kept if there is any place for it.

    As a ``unit`` the same function has other code.
    """
    if CACHE_DIRECTORY is not None:
        kernel._cache = (_UnitCache if unit else _KernelCache)(kernel.py_func)
    return kernel


def release(kernel: Any) -> None:
    """Let others compile the kernel again: its compilation has ended, well or not."""
    if isinstance(kernel._cache, _KernelCache):
        kernel._cache.release()


def taken(kernel: Any, kinds: tuple[Any, ...]) -> bool:
    """Whether another process compiles the kernel for arguments of those types now."""
    return isinstance(kernel._cache, _KernelCache) and kernel._cache.taken(kinds)


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


_HELD: set[int] = set()
"""Descriptors of the locks that this process holds."""


def _leave_to_parent() -> None:
    """A forked child gives up the locks of its parent's, which would outlive that."""
    while _HELD:
        os.close(_HELD.pop())


os.register_at_fork(after_in_child=_leave_to_parent)


class _CompiledKernel(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012  # as numba declares it


class _KernelCache(FunctionCache):
    """Code on disk; of several processes that miss the same, one compiles and the others wait."""

    _impl_class = _CompiledKernel

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._locks: list[int] = []

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The code of a signature; where there is none the caller makes and saves it."""
        with loading():
            if (found := super().load_overload(sig, target_context)) is None:
                self._lock(sig)
                found = super().load_overload(sig, target_context)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep code for all processes, if there is room for it."""
        with suppress(OSError):
            super().save_overload(sig, data)

    def taken(self, sig: Any) -> bool:
        """Whether another process compiles this now."""
        with suppress(OSError):
            lock = self._open(sig)
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(lock)
        return False

    def _lock(self, sig: Any) -> None:
        """Be the only process that compiles this, as long as it lives."""
        # Whoever waits holds locks only of what calls this, and nothing calls itself.
        with suppress(OSError):  # a file system without locks: both compile
            self._locks.append(lock := self._open(sig))
            _HELD.add(lock)
            flock(lock, LOCK_EX)

    def _open(self, sig: Any) -> int:
        name = blake2b(repr((self._impl.filename_base, sig)).encode(), digest_size=8).hexdigest()
        return os.open(f"{CACHE_DIRECTORY}/{name}.lock", os.O_RDWR | os.O_CREAT)

    def release(self) -> None:
        """Let others compile what this process has compiled, or failed to."""
        while self._locks:
            lock = self._locks.pop()
            if lock in _HELD:  # else it was the parent's
                _HELD.remove(lock)
                os.close(lock)


class _UnitLocator(_Locator):
    def get_disambiguator(self) -> str:
        return f"{super().get_disambiguator()}-unit"


class _CompiledUnit(CompileResultCacheImpl):
    _locator_classes = [_UnitLocator]  # noqa: RUF012


class _UnitCache(_KernelCache):
    _impl_class = _CompiledUnit  # type: ignore[assignment]
