"""The machine's memory: how much there is for this process, and refusing what does not fit in it.

Linux tells, below ``/proc`` and ``/sys/fs/cgroup``; where nothing tells nothing is refused.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

TRIFLE = 2**24
"""Bytes that are there: asking the system for every small problem of a long plan takes longer."""

_KEPT, _LARGE = 2**30, 2**25
"""Freed bytes that glibc keeps, and the size of arrays from which on it keeps none: its largest."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What glibc's ``malloc.h`` calls M_TRIM_THRESHOLD and M_MMAP_THRESHOLD."""

_allowed = inf
"""Bytes that this process may hold because somebody who watches it said so."""

_LIMITS = {"Max address space": "VmSize", "Max data size": "VmData"}
"""Limits of a process, and what counts against each."""

_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = ("memory.max", "memory.current", "inactive_file")
"""A control group's limit and usage, and what of the usage are files that can be dropped."""


class NotEnoughMemory(MemoryError):
    """Something does not fit in memory; the message says what, its size and what there is."""


def available(root: Path = Path("/")) -> float:
    """Bytes that this process may still take.

    That is what the machine has left or, where that is less, what limits on the process or on one
    of its control groups leave, or what it is allowed.
    """
    return max(0.0, min([_machine(root), *_process(root), *_groups(root)]))


def allow(size: float) -> None:
    """Let this process hold so many bytes in all: whoever watches it will not let it hold more."""
    global _allowed
    _allowed = size


def keep_freed() -> None:
    """Let this process use freed memory again at once; nothing where the system has no glibc.

    By default arrays go back to the system as soon as they are freed, and every new one faults on
    all of its pages: those that come and go take three times as long.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _LARGE)


def require_memory(what: str, needed: float) -> None:
    """Raise NotEnoughMemory unless so many bytes are available."""
    if needed > TRIFLE and needed > (free := available()):
        raise NotEnoughMemory(
            f"{what} takes about {in_words(needed)} of memory, {in_words(free)} are available"
        )


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Make a MemoryError of the block one that says what was being made, and what there is."""
    try:
        yield
    except NotEnoughMemory:
        raise
    except MemoryError as error:
        needed = getattr(error, "_total_size", None)
        asked = "more memory" if needed is None else f"another {in_words(needed)} of memory"
        raise NotEnoughMemory(
            f"{what} needs {asked}, {in_words(available())} are available"
        ) from error


def in_words(size: float) -> str:
    """Bytes in words, such as ``1.5 GiB``."""
    if size < 2**30:
        return f"{size / 2**20:.3g} MiB"
    return f"{size / 2**30:.3g} GiB" if size < 2**40 else f"{size / 2**30:,.0f} GiB"


def _machine(root: Path) -> float:
    return _fields(root / "proc/meminfo").get("MemAvailable", inf)


def _process(root: Path) -> Iterator[float]:
    """What the limits of the process leave."""
    used = _fields(root / "proc/self/status")
    yield _allowed - used.get("VmRSS", 0.0)
    for line in _lines(root / "proc/self/limits"):
        name, soft = line[:26].strip(), line[26:47].strip()
        if name in _LIMITS and soft != "unlimited":
            yield float(soft) - used[_LIMITS[name]]


def _groups(root: Path) -> Iterator[float]:
    """What the control groups of the process leave, and those that hold them."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        # In a container the path may be that of the host; the base is the group itself then.
        folder = base / path.lstrip("/")
        for group in (folder, *folder.parents):
            yield _left(group, *(_V1 if controllers else _V2))
            if group == base:
                break


def _left(group: Path, limit: str, usage: str, files: str) -> float:
    """What a control group leaves; all where it has no limit."""
    words = [*_lines(group / limit), "max"]
    if words[0] == "max":
        return inf
    used = float(_lines(group / usage)[0])
    stat = dict(line.split() for line in _lines(group / "memory.stat"))
    return float(words[0]) - used + float(stat.get(files, 0))


def _fields(path: Path) -> dict[str, float]:
    """The sizes in a file of lines such as ``VmSize:   1024 kB``, in bytes by name."""
    found = (line.partition(":") for line in _lines(path) if line.endswith(" kB"))
    return {name: 1024 * float(size.removesuffix("kB")) for name, _, size in found}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
