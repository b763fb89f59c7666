"""Sums of portions of large cells, in a file beside the journal.

``portions.jsonl`` has the journal's lines. What it holds can be measured again, so it may be
deleted: it lets an interrupted run go on within a large cell, and more replicates extend one.
Records are large and stay on disk until they are asked for.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pgbench.arrays import FloatArray
from pgbench.results.files import OutputError
from pgbench.results.lines import JournalRecord, LineFile, parsed

NAME = "portions.jsonl"


class Portions:
    """Records of portions by key, of a run's directory.

    Parameters
    ----------
    directory
        Where the file is or will be. Lines that are damaged count as not there.
    """

    def __init__(self, directory: Path) -> None:
        self._file = LineFile(directory / NAME)
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0
        if self._file.path.exists():
            self._look_through()

    def _look_through(self) -> None:
        """Find the lines of a file."""
        with self._file.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    self._file.cut(self._end)  # an interruption did
                    return
                if (record := _intact(line)) is not None:
                    self._places[record["key"]] = self._end, len(line)
                self._end += len(line)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def append(self, records: Sequence[JournalRecord]) -> None:
        """Add records; when this returns they are on disk. OutputError if the disk refuses."""
        for record, size in zip(records, self._file.append(records), strict=True):
            self._places[record["key"]] = self._end, size
            self._end += size

    def take(self, other: "Portions") -> None:
        """Add what others have; OutputError, before anything is written, if they contradict."""
        for key in other:
            if key in self and not _same(self.read(key), other.read(key)):
                raise OutputError(
                    f"{other._file.path}: the portion {key} says something else than in"
                    f" {self._file.path}"
                )
        for key in other:
            if key not in self and (record := other.read(key)) is not None:
                self.append([record])

    def read(self, key: str) -> JournalRecord | None:
        """The record of a portion, or None where there is none, or none any more."""
        if key not in self._places:
            return None
        begin, size = self._places[key]
        with self._file.path.open("rb") as file:
            file.seek(begin)
            return _intact(file.read(size))


def _same(one: JournalRecord | None, other: JournalRecord | None) -> bool:
    """Whether two records of a portion hold the same numbers, or one is not there any more."""
    if one is None or other is None:
        return True
    a, b = one["arrays"], other["arrays"]
    return a.keys() == b.keys() and all(_bytes(a[name]) == _bytes(b[name]) for name in a)


def _bytes(array: FloatArray) -> tuple[tuple[int, ...], bytes]:
    return array.shape, array.tobytes()


def _intact(line: bytes) -> JournalRecord | None:
    """The record of a portion that a whole line holds; None where it is damaged."""
    try:
        record = parsed(line.removesuffix(b"\n"))
    except ValueError:
        return None
    return record if record["kind"] == "portion" else None
