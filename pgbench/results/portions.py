"""Sums of portions of large cells, in a file beside the journal.

``portions.jsonl`` has the journal's format. What it holds can be measured again, so it may be
deleted: it lets an interrupted run go on within a large cell, and more replicates extend one.
Records are large and stay on disk until they are asked for.
"""

from collections.abc import Sequence
from pathlib import Path

from pgbench.results.journal import JournalRecord, append_lines, parse_line

NAME = "portions.jsonl"


class Portions:
    """Records of portions by key, of a run's directory.

    Parameters
    ----------
    directory
        Where the file is or will be. Lines that are damaged count as not there.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # an interruption cut it short
                record = parse_line(line[:-1])
                if record is not None:
                    self._places[record["key"]] = (self._end, len(line))
                self._end += len(line)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def append(self, records: Sequence[JournalRecord]) -> None:
        """Add records; when this returns they are on disk. OutputError if the disk refuses."""
        for record, size in zip(
            records, append_lines(self._path, records, at=self._end), strict=True
        ):
            self._places[record["key"]] = (self._end, size)
            self._end += size

    def read(self, key: str) -> JournalRecord | None:
        """The record of a portion, or None where there is none."""
        if key not in self._places:
            return None
        begin, size = self._places[key]
        with self._path.open("rb") as file:
            file.seek(begin)
            return parse_line(file.read(size)[:-1])
