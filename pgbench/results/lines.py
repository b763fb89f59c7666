"""Records as lines of a file, each with its checksum, appended so that none is lost.

A line is ``<crc32> <json>``. Whole lines are on disk when an append returns, and no half line
stands before another.
"""

import base64
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from pgbench.results.files import OutputError, write_all
from pgbench.results.records import breach, storable

JournalRecord = dict[str, Any]
"""What a line says: plain data and arrays, with its kind."""


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value, "<f8")
        return {"$f8": base64.b64encode(data.tobytes()).decode(), "shape": list(data.shape)}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be stored in the journal")


def _decode(value: dict[str, Any]) -> Any:
    """What an object of JSON stands for; ValueError where it is an array and a wrong one."""
    if "$f8" not in value:
        return value
    text, shape = value["$f8"], value.get("shape")
    if not isinstance(text, str) or not _is_shape(shape):
        raise ValueError("an array lacks data or shape")
    data = base64.b64decode(text, validate=True)
    if len(data) != 8 * prod(shape):
        raise ValueError(f"an array of shape {shape} has {len(data)} bytes")
    return np.frombuffer(data, "<f8").reshape(shape)


def _is_shape(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**40 for n in value)


def line_of(record: Mapping[str, Any]) -> bytes:
    """The line of a record, with its checksum and its newline."""
    text = json.dumps(record, default=_encode, separators=(",", ":"), ensure_ascii=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def parsed(line: bytes) -> JournalRecord:
    """The record of a line without its newline; ValueError says what is damaged."""
    if line[:9] != b"%08x " % zlib.crc32(line[9:]):
        raise ValueError("its checksum is wrong")
    try:
        record = json.loads(line[9:], object_hook=_decode)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if wrong := breach(record):
        raise ValueError(wrong)
    return record


class LineFile:
    """A file of lines that is appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._torn: int | None = None
        """Where the last append began, until all of it is on disk."""

    def append(self, records: Iterable[JournalRecord]) -> list[int]:
        """Add records; when this returns they are on disk. Bytes of their lines.

        Raises
        ------
        OutputError
            If the disk refuses them; the file is then as it was before.
        ValueError
            If a record is none that could be read back.
        """
        lines = [line_of(_storable(record)) for record in records]
        with refusals(self.path, "; everything finished so far is kept"):
            self._write(b"".join(lines))
        return [len(line) for line in lines]

    def cut(self, end: int) -> None:
        """Let the next append begin there: what follows was cut short."""
        self._torn = end

    def _write(self, data: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            if self._torn is None:
                self._torn = os.fstat(descriptor).st_size
            # A disk may have refused to take back what an append before this one left.
            os.ftruncate(descriptor, self._torn)
            write_all(descriptor, data)
            os.fsync(descriptor)
            self._torn = None
        except BaseException:
            # An interruption, too, must not leave half a line for the next record to follow.
            if self._torn is not None:
                with suppress(OSError):
                    os.ftruncate(descriptor, self._torn)
            raise
        finally:
            os.close(descriptor)


def _storable(record: JournalRecord) -> JournalRecord:
    """A record whose words a dataset can hold; ValueError if it is not as declared."""
    record = {name: storable(x) if isinstance(x, str) else x for name, x in record.items()}
    if wrong := breach(record):
        raise ValueError(f"a record of the journal is not as declared: {wrong}")
    return record


@contextmanager
def refusals(path: Path, kept: str = "") -> Iterator[None]:
    """What the disk refuses within the block, as one OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}{kept}") from error
