"""The journal: one durable record per finished cell, and the only truth about a run.

``journal.jsonl`` holds a line ``<crc32> <json>`` per record, appended and flushed to disk before
the cell counts as finished. A line that an interruption cut short is dropped when the journal is
next opened; lines damaged otherwise are set aside in a copy of the file and everything intact is
kept.
"""

import base64
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

HEADER = {"kind": "header", "format": "pgbench journal", "version": 1}
NAME = "journal.jsonl"


class OutputError(ValueError):
    """The output directory cannot be used; the message says why and what to do."""


JournalRecord = dict[str, Any]
"""What a line of the journal says: plain data and arrays, with its kind."""


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value, "<f8")
        return {"$f8": base64.b64encode(data.tobytes()).decode(), "shape": list(data.shape)}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be stored in the journal")


def _decode(value: dict[str, Any]) -> Any:
    if "$f8" in value:
        return np.frombuffer(base64.b64decode(value["$f8"]), "<f8").reshape(value["shape"])
    return value


def line_of(record: Mapping[str, Any]) -> bytes:
    """The line of a record, with its checksum."""
    text = json.dumps(record, default=_encode, separators=(",", ":"), ensure_ascii=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def parse_line(line: bytes) -> JournalRecord | None:
    """The record of a line without its newline, or None if the line is damaged."""
    try:
        if int(line[:8], 16) != zlib.crc32(line[9:]):
            return None
        record: JournalRecord = json.loads(line[9:], object_hook=_decode)
    except ValueError:
        return None
    return record


class Journal:
    """Records of a run by key, of which the last counts, and the file they are appended to."""

    def __init__(self, path: Path, records: list[JournalRecord], notes: list[str]) -> None:
        self.path = path
        self.notes = notes
        self.records: dict[str, JournalRecord] = {r["key"]: r for r in records if "key" in r}
        self.grids: list[JournalRecord] = [r for r in records if r["kind"] == "grid"]
        self.executions: list[JournalRecord] = [r for r in records if r["kind"] == "execution"]

    @classmethod
    def read(cls, directory: Path) -> "Journal":
        """The intact records of the journal in a directory; changes nothing.

        Raises
        ------
        OutputError
            If there is no journal, or the file is none.
        """
        path = directory / NAME
        try:
            data = path.read_bytes()
        except OSError as error:
            raise OutputError(f"{directory} holds no run: {path.name}: {error.strerror}") from error
        records, damaged = _split(data)
        if HEADER not in records and not any(r.get("kind") == "cell" for r in records):
            raise OutputError(f"{path} is not a journal of pgbench; it is left as it is")
        notes = [f"{path}: line {number} is damaged, its cell runs again" for number in damaged]
        return cls(path, records, notes)

    @classmethod
    def open(cls, directory: Path) -> "Journal":
        """The journal of a directory for writing: started if there is none, repaired if damaged.

        Raises OutputError if the directory cannot be written or holds something else.
        """
        path = directory / NAME
        try:
            if not path.exists() or path.stat().st_size == 0:
                write_file(path, line_of(HEADER))
            journal = cls.read(directory)
            data = path.read_bytes()
            whole = b"".join(
                line + b"\n" for line in data.split(b"\n") if parse_line(line) is not None
            )
            if whole != data:
                if journal.notes:
                    copy = _unused(directory, "journal.damaged-{}.jsonl")
                    write_file(copy, data)
                    journal.notes.append(f"the damaged journal is kept as {copy}")
                write_file(path, whole)
        except OSError as error:
            raise OutputError(
                f"{directory} cannot be written: {error.strerror or error}"
            ) from error
        return journal

    def append(self, records: Iterable[JournalRecord]) -> None:
        """Add records; when this returns they are on disk.

        Raises
        ------
        OutputError
            If the disk refuses them; the journal is then as it was before.
        """
        records = list(records)
        append_lines(self.path, records)
        for record in records:
            if "key" in record:
                self.records[record["key"]] = record
            if record["kind"] == "grid":
                self.grids.append(record)
            if record["kind"] == "execution":
                self.executions.append(record)

    def attributes(self) -> dict[str, Any]:
        """Provenance of the last execution, with time and steps of all of them."""
        attributes: dict[str, Any] = {}
        for execution in self.executions:
            for name, value in execution["attributes"].items():
                summed = name in ("wall_time_s", "environment_steps")
                attributes[name] = attributes.get(name, 0) + value if summed else value
        return attributes


def append_lines(path: Path, records: Iterable[JournalRecord], at: int | None = None) -> list[int]:
    """Append a line per record, on disk when this returns; the sizes of the lines in bytes.

    What lies beyond ``at``, by default the end, is lost. OutputError if the disk refuses the
    lines; the file is then as it was before.
    """
    lines = [line_of(record) for record in records]
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    size = os.fstat(descriptor).st_size if at is None else at
    try:
        os.ftruncate(descriptor, size)
        _write(descriptor, b"".join(lines))
        os.fsync(descriptor)
    except BaseException as error:
        # An interruption, too, must not leave half a line for the next record to follow.
        os.ftruncate(descriptor, size)
        if not isinstance(error, OSError):
            raise
        raise OutputError(
            f"{path} cannot be written: {error.strerror}; everything finished so far is kept"
        ) from error
    finally:
        os.close(descriptor)
    return [len(line) for line in lines]


def _split(data: bytes) -> tuple[list[JournalRecord], list[int]]:
    """Intact records, and the numbers of damaged lines; a last line cut short is neither."""
    lines = data.split(b"\n")[:-1]
    parsed = [parse_line(line) for line in lines]
    return [r for r in parsed if r is not None], [i + 1 for i, r in enumerate(parsed) if r is None]


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_file(path: Path, data: bytes) -> None:
    """Write a file in one piece; OutputError if the disk refuses."""
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def _unused(directory: Path, pattern: str) -> Path:
    number = 1
    while (path := directory / pattern.format(number)).exists():
        number += 1
    return path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path that is flushed and renamed to ``path`` when the block succeeds."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        temporary.unlink(missing_ok=True)
