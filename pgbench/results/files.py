"""Files in one piece: readers see the old one or the new one, never a part of either."""

import os
import re
import shutil
from contextlib import suppress
from errno import ENOSPC
from pathlib import Path

TEMPORARY = re.compile(r"\..+\.(?P<process>\d{1,9})\.tmp")
"""Names of files that are being written: what they will be called, and which process writes."""


class OutputError(ValueError):
    """The output directory cannot be used; the message says why and what to do."""


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Write a file in one piece.

    Raises
    ------
    OutputError
        If the disk refuses; what was there before is kept.
    """
    try:
        _replace(path, data)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {_why(error, path, len(data))}") from error


def remove_temporaries(directory: Path) -> None:
    """Remove what processes that are gone left of files that they were writing.

    Raises
    ------
    OSError
        If the directory refuses.
    """
    for path in directory.iterdir():
        name = TEMPORARY.fullmatch(path.name)
        if name and not _at_work(int(name["process"])):
            path.unlink(missing_ok=True)


def _replace(path: Path, data: bytes | memoryview) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb", buffering=0) as file:
            write_all(file.fileno(), data)
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _make_names_durable(path.parent)
    finally:
        # If the disk refuses that too, the next run does it.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write data to an open file; the system may take it in pieces."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _make_names_durable(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _why(error: OSError, path: Path, needed: int) -> str:
    """What the system says, and of a full disk how much it lacks."""
    why = error.strerror or str(error)
    if error.errno != ENOSPC:
        return why
    free = shutil.disk_usage(path.parent).free
    return f"{why}: {needed / 2**20:.2f} MiB are needed, {free / 2**20:.2f} MiB are free"


def _at_work(process: int) -> bool:
    """Whether a process is there that may be writing; this one is not while it asks."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
