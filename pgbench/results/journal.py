"""The journal: one durable record per finished cell, and the only truth about a run.

``journal.jsonl`` holds a line ``<crc32> <json>`` per record, appended and flushed to disk before
the cell counts as finished. A line that an interruption cut short is dropped when the journal is
next opened; lines damaged otherwise are set aside in a copy of the file and everything intact is
kept.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgbench.results.files import OutputError, write_file
from pgbench.results.lines import JournalRecord, LineFile, line_of, parsed, refusals
from pgbench.results.records import SUMMED

HEADER = {"kind": "header", "format": "pgbench journal", "version": 1}
NAME = "journal.jsonl"

MOST_NOTES = 5
"""Damaged lines of which each has a note."""


@dataclass(frozen=True)
class Lines:
    """What is in the file of a journal.

    Attributes
    ----------
    records
        Of the intact lines.
    damaged
        What is wrong with the others, by their numbers.
    end
        Where the last whole line ends, in bytes; what follows was cut short.
    size
        Bytes of the file.
    """

    records: list[JournalRecord]
    damaged: dict[int, str]
    end: int
    size: int

    @classmethod
    def read(cls, path: Path) -> "Lines":
        """The lines of a file; OSError if it cannot be read."""
        records: list[JournalRecord] = []
        damaged: dict[int, str] = {}
        end = size = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                size += len(line)
                if not line.endswith(b"\n"):
                    break
                end = size
                try:
                    records.append(parsed(line[:-1]))
                except ValueError as error:
                    damaged[number] = str(error)
        return cls(records, damaged, end, size)

    def notes(self, path: Path) -> list[str]:
        """What is said of damaged lines; of many the first and how many they are."""
        shown = list(self.damaged.items())[:MOST_NOTES]
        found = [f"{path}: line {n} is damaged ({why}), its cell runs again" for n, why in shown]
        if more := len(self.damaged) - len(shown):
            found.append(f"{path}: {more} more lines are damaged, their cells run again")
        return found


class Journal:
    """Records of a run by key, of which the last counts, and the file they are appended to."""

    def __init__(
        self,
        path: Path,
        records: Iterable[JournalRecord],
        notes: Iterable[str] = (),
    ) -> None:
        self.path = path
        self.notes = list(notes)
        self.records: dict[str, JournalRecord] = {}
        self.grids: list[JournalRecord] = []
        self.executions: list[JournalRecord] = []
        self._file = LineFile(path)
        self._take(records)

    def _take(self, records: Iterable[JournalRecord]) -> None:
        lists = {"grid": self.grids, "execution": self.executions}
        for record in records:
            if "key" in record:
                self.records[record["key"]] = record
            elif record["kind"] in lists:
                lists[record["kind"]].append(record)

    @classmethod
    def read(cls, directory: Path, name: str = NAME) -> "Journal":
        """The intact records of the journal in a directory; changes nothing.

        Raises
        ------
        OutputError
            If there is no journal, or the file is none.
        """
        path = directory / name
        lines = _lines(path)
        return cls(path, lines.records, lines.notes(path))

    @classmethod
    def open(cls, directory: Path, name: str = NAME) -> "Journal":
        """The journal of a directory for writing: started if there is none, repaired if damaged.

        Raises OutputError if the directory cannot be written or holds something else.
        """
        path = directory / name
        with refusals(path):
            if _unstarted(path):
                write_file(path, line_of(HEADER))
            lines = _lines(path)
            journal = cls(path, lines.records, lines.notes(path))
            if lines.damaged:
                journal.notes.append(f"the damaged journal is kept as {_set_aside(path, lines)}")
            elif lines.end < lines.size:
                os.truncate(path, lines.end)
        return journal

    def append(self, records: Iterable[JournalRecord]) -> None:
        """Add records; when this returns they are on disk.

        Raises
        ------
        OutputError
            If the disk refuses them; the journal is then as it was before.
        ValueError
            If a record is none that could be read back.
        """
        records = list(records)
        self._file.append(records)
        self._take(records)

    def attributes(self) -> dict[str, Any]:
        """Provenance of the last execution, with time and steps of all of them.

        A run that was killed leaves no record of its own: its time and steps count as none.
        """
        attributes: dict[str, Any] = dict.fromkeys(SUMMED, 0.0)
        for execution in self.executions:
            for name, value in execution["attributes"].items():
                attributes[name] = attributes[name] + value if name in SUMMED else value
        return attributes


def _lines(path: Path) -> Lines:
    """The lines of a journal; OutputError if it is none."""
    try:
        lines = Lines.read(path)
    except OSError as error:
        raise OutputError(f"{path.parent} holds no run: {path.name}: {error.strerror}") from error
    if not lines.records:
        raise OutputError(f"{path} is not a journal of pgbench; it is left as it is")
    headers = [record for record in lines.records if record["kind"] == "header"]
    if foreign := [header for header in headers if header != HEADER]:
        raise OutputError(
            f"{path} is a {foreign[0]['format']} of version {foreign[0]['version']}, must be"
            f" a {HEADER['format']} of version {HEADER['version']}; it is left as it is"
        )
    return lines


def _unstarted(path: Path) -> bool:
    """Whether there is no journal yet, or one that ends within its first line."""
    first = line_of(HEADER)
    if not path.exists():
        return True
    return path.stat().st_size < len(first) and first.startswith(path.read_bytes())


def _set_aside(path: Path, lines: Lines) -> Path:
    """Keep a copy of a damaged journal, and in the journal what is intact; the path of the copy."""
    data = path.read_bytes()
    copy = _unused(path)
    write_file(copy, data)
    whole = enumerate(data[: lines.end].split(b"\n")[:-1], 1)
    write_file(path, b"".join(line + b"\n" for n, line in whole if n not in lines.damaged))
    return copy


def _unused(path: Path) -> Path:
    """A name beside a journal for a damaged copy of it."""
    number = 1
    while (copy := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    return copy
