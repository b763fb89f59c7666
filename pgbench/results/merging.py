"""Journals of several runs as one: shards of a grid, and grids that overlap.

A key names what a record is about, and all that its numbers depend on, so two records of one key
say the same, or one of them is wrong. What a clock measured may differ, and the first one counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pgbench.declared.ascents import ASCENT
from pgbench.declared.outcomes import Status
from pgbench.declared.summary import SUMMARY
from pgbench.results.journal import Journal
from pgbench.results.lines import JournalRecord

RANK = {status.word: i for i, status in enumerate((Status.DONE, Status.SKIPPED, Status.FAILED))}
"""Of several records of a cell one of the first of these counts."""

CLOCKS = {name for schema in (SUMMARY, ASCENT) for name, v in schema.items() if not v.reproducible}

CONTENT = (
    *("kind", "problem", "gradient_note", "goal_kind", "message", "exact_note", "interval_note"),
    *("values", "maps", "arrays"),
)
"""Fields that are the same in every run; others name things, or tell where and how."""


class Contradiction(ValueError):
    """Two journals say something else of the same; the message says which, of what, and what."""


@dataclass(frozen=True)
class Joined:
    """What several journals say together.

    Attributes
    ----------
    records
        Of settings, cells and ascents, by key.
    executions
        By what, when and in how long they were made, each once, in the order of time.
    """

    records: dict[str, JournalRecord]
    executions: list[JournalRecord]


def join(journals: Sequence[Journal], names: Mapping[str, str]) -> Joined:
    """What journals say together; cells that are done count before those skipped or failed.

    Parameters
    ----------
    journals
        Of two that say the same, the first counts.
    names
        What is said of a key in an error, where it is known.

    Raises
    ------
    Contradiction
        If two of them say something else under the same key.
    """
    found: dict[str, tuple[JournalRecord, Journal]] = {}
    wrong: list[str] = []
    for journal in journals:
        for key, record in journal.records.items():
            other = found.setdefault(key, (record, journal))
            if _rank(record) < _rank(other[0]):
                found[key] = record, journal
            elif _rank(record) == _rank(other[0]):
                wrong += _contradictions(names.get(key, f"key {key}"), other, (record, journal))
    if wrong:
        more = f"; {len(wrong) - 1} more differ" if wrong[1:] else ""
        raise Contradiction(f"{wrong[0]}{more}; one of them is wrong, nothing was written")
    made = _once([record for journal in journals for record in journal.executions])
    return Joined(
        {key: record for key, (record, _) in found.items()},
        sorted(made, key=lambda record: str(record["attributes"].get("created", ""))),
    )


def _rank(record: JournalRecord) -> int:
    return RANK.get(record.get("status", ""), 0)


def _once(records: Sequence[JournalRecord]) -> list[JournalRecord]:
    return [record for i, record in enumerate(records) if record not in records[:i]]


def _contradictions(
    name: str, one: tuple[JournalRecord, Journal], other: tuple[JournalRecord, Journal]
) -> Iterator[str]:
    """A sentence for everything in which two records of a key differ; those of failures may."""
    if one[0].get("status") == Status.FAILED.word:
        return
    first, second = (dict(_content(record)) for record, _ in (one, other))
    for field in {**first, **second}:
        a, b = first.get(field), second.get(field)
        if not _same(a, b):
            places = (journal.path.parent for _, journal in (one, other))
            yield f"{name}: {field} is " + " and ".join(
                f"{_shown(x)} in {place}" for x, place in zip(_where(a, b), places, strict=True)
            )


def _content(record: JournalRecord) -> Iterator[tuple[str, Any]]:
    """Names and values of what is the same in every run."""
    for field in CONTENT:
        value = record.get(field)
        if isinstance(value, dict):
            yield from ((name, x) for name, x in value.items() if name not in CLOCKS)
        elif value is not None:
            yield field, value


def _same(a: Any, b: Any) -> bool:
    """Whether two values are the same bytes; NaN is the same as NaN."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and repr(a) == repr(b)


def _where(a: Any, b: Any) -> tuple[Any, Any]:
    """Of arrays of one shape the first entries that differ, else the values themselves."""
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.shape != b.shape:
        return a, b
    differing = a.view(np.int64) != b.view(np.int64)
    return float(a[differing][0]), float(b[differing][0])


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"of shape {value.shape}"
    return "missing" if value is None else repr(value)
