"""Compiled kernels: random streams, alias tables, rollouts, running sums; and a reference.

Only this package imports numba, and it needs nothing else but numpy. Compiled code is kept on disk
in a directory keyed by a hash of the kernel sources and of the versions that produced it, because
numba's own cache does not notice when a helper in another file changes.
"""

import os
import sys
import tempfile
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path


def _cache_directory() -> Path:
    """The directory for compiled code, in ``NUMBA_CACHE_DIR`` or the user's cache."""
    state = blake2b(digest_size=8)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        state.update(source.read_bytes())
    state.update(
        f"{sys.version} {version('numba')} {version('llvmlite')} {version('numpy')}".encode()
    )
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pgbench"
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or default)
    for root in (base, Path(tempfile.gettempdir()) / f"pgbench-{os.getuid()}"):
        directory = root / f"kernels-{state.hexdigest()}"
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(directory, os.W_OK):
            return directory
    raise OSError(f"neither {base} nor the temporary directory can hold compiled kernels")


def _use(directory: Path) -> None:
    # The variable serves a numba that is imported later, the setting one that already was.
    inherited = os.environ.get("NUMBA_CACHE_DIR")
    os.environ["NUMBA_CACHE_DIR"] = str(directory)
    import numba

    numba.config.CACHE_DIR = str(directory)  # type: ignore[attr-defined]
    if inherited is None:
        del os.environ["NUMBA_CACHE_DIR"]
    else:
        os.environ["NUMBA_CACHE_DIR"] = inherited


CACHE_DIRECTORY = _cache_directory()
_use(CACHE_DIRECTORY)
