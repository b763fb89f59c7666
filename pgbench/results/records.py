"""What the records of a journal look like: their kinds, and the fields of each.

A line of the journal may be whole and say something that no run would: written by hand, by another
version, or by a mistake of ours. What breaks a declaration here is damage, and its cell runs again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pgbench.declared.ascents import ASCENT, RUN
from pgbench.declared.outcomes import Status
from pgbench.declared.summary import CELL, MAPS, SETTING, SUMMARY
from pgbench.declared.variables import Kind, Schema

Check = Callable[[Any], str]
"""What is wrong with a value, in words; nothing if it is right."""

LARGEST = 2**53
"""The largest integer up to which all are numbers of a dataset."""

OUTCOMES = tuple(status.word for status in Status if status is not Status.MISSING)

SUMMED = ("wall_time_s", "environment_steps")
"""Attributes of executions that are added up."""


@dataclass(frozen=True)
class Fields:
    """What a mapping must hold, and what else is looked at where it is there."""

    required: Mapping[str, Check]
    optional: Mapping[str, Check] = field(default_factory=dict)

    def __call__(self, found: Any) -> str:
        """The first field that is missing or wrong."""
        if not isinstance(found, dict):
            return _must("be a mapping", found)
        if missing := self.required.keys() - found:
            return f"lacks {min(missing)}"
        for name, check in {**self.required, **self.optional}.items():
            if name in found and (wrong := check(found[name])):
                return f"{name} {wrong}"
        return ""


def _must(be: str, value: Any) -> str:
    return f"is {str(value)[:60]!r}, must {be}"


def text(value: Any) -> str:
    """Whether a value is text that a dataset can hold."""
    held = isinstance(value, str) and value == storable(value)
    return "" if held else _must("be text", value)


def storable(words: str) -> str:
    """Text as a dataset can hold it; halves of characters and zero bytes are spelled out."""
    if words.isascii() and "\0" not in words:
        return words
    return words.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def number(value: Any) -> str:
    """Whether a value is a number; not finite is one."""
    if isinstance(value, float):
        return ""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return "" if whole and abs(value) <= LARGEST else _must("be a number", value)


def count(value: Any) -> str:
    """Whether a value is a whole number that is not negative."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return "" if whole and 0 <= value <= LARGEST else _must("be a whole number", value)


def amount(value: Any) -> str:
    """Whether a value is a finite number that is not negative."""
    if wrong := number(value):
        return wrong
    return "" if 0 <= value < float("inf") else _must("be finite and not negative", value)


def status(value: Any) -> str:
    """Whether a value is what may become of a cell."""
    known = isinstance(value, str) and value in OUTCOMES
    return "" if known else _must(f"be one of {', '.join(OUTCOMES)}", value)


def each(check: Check) -> Check:
    """A mapping from names to what one check passes."""

    def wrong(found: Any) -> str:
        if not isinstance(found, dict):
            return _must("be a mapping", found)
        return next((f"{name} {why}" for name, x in found.items() if (why := check(x))), "")

    return wrong


def plain(value: Any) -> str:
    """Whether a value is text or a number."""
    return text(value) if isinstance(value, str) else number(value)


def array(value: Any) -> str:
    """Whether a value is an array."""
    return "" if isinstance(value, np.ndarray) else _must("be an array", value)


KINDS: Mapping[Kind, Check] = {"number": number, "text": text, "code": count}


def values(schema: Schema, *places: tuple[str, ...]) -> Check:
    """Single values by names that a schema declares at one of the places."""

    def wrong(found: Any) -> str:
        if not isinstance(found, dict):
            return _must("be a mapping", found)
        for name, value in found.items():
            variable = schema.get(name)
            if variable is None or variable.dims not in places:
                return f"hold {name!r}, which is not declared"
            if why := KINDS[variable.kind](value):
                return f"{name} {why}"
        return ""

    return wrong


def arrays(schema: Schema, place: tuple[str, ...]) -> Check:
    """Arrays by names that a schema declares, at a place; axes of one name are equally long."""
    beyond = len(place)

    def wrong(found: Any) -> str:
        if why := each(array)(found):
            return why
        sizes: dict[str, int] = {}
        for name, x in found.items():
            dims = schema[name].dims if name in schema else ()
            if not dims or dims[:beyond] != place or {*dims[beyond:]} & {*CELL}:
                return f"hold {name!r}, which is not declared"
            if x.ndim != len(dims) - beyond or not _alike(sizes, dims[beyond:], x.shape):
                return f"{name} has shape {x.shape}, must be {', '.join(dims[beyond:])}"
            if schema[name].kind == "code" and not np.isin(x, np.arange(128)).all():
                return f"{name} must hold codes"
        return ""

    return wrong


def _alike(sizes: dict[str, int], dims: Iterable[str], shape: Iterable[int]) -> bool:
    """Whether axes are as long as those seen before; they are seen then."""
    return all(sizes.setdefault(d, n) == n for d, n in zip(dims, shape, strict=True))


def attributes(found: Any) -> str:
    """Whether a value says by what, when and in how long something was made."""
    return each(plain)(found) or Fields(dict.fromkeys(SUMMED, amount))(found)


SUMS = ("deviations", "squares", "visits", "blocks", "sizes", "scalars", "projections")
"""Arrays of the sums of a portion."""


def sums(found: Any) -> str:
    """Whether a value holds the sums of a portion, or the sum of its estimates alone."""
    names = ("total",) if isinstance(found, dict) and "total" in found else SUMS
    return each(array)(found) or Fields(dict.fromkeys(names, array))(found)


FACTS = Fields(
    {},
    {
        **dict.fromkeys(("n_states", "n_actions", "state_dimension", "action_dimension"), count),
        "gamma": number,
    },
)

RECORDS: Mapping[str, Fields] = {
    "header": Fields({"format": text, "version": count}),
    "grid": Fields({"text": text, "contents": each(text)}),
    "setting": Fields(
        {"key": text, "problem": FACTS, "values": values(SUMMARY, SETTING)},
        {"label": text, "maps": arrays(MAPS, ()), "gradient_note": text},
    ),
    "cell": Fields({"key": text, "status": status}, {"message": text}),
    "ascent": Fields({"key": text, "status": status}, {"message": text}),
    "execution": Fields({"attributes": attributes}),
    "portion": Fields({"key": text, "device": text, "arrays": sums}),
}
"""Every kind of record, and its fields."""

DONE: Mapping[str, Fields] = {
    "cell": Fields(
        {"values": values(SUMMARY, CELL)},
        {
            "maps": arrays(MAPS, CELL[2:]),
            **dict.fromkeys(("exact_note", "interval_note", "device"), text),
        },
    ),
    "ascent": Fields(
        {"values": values(ASCENT, RUN, SETTING), "arrays": arrays(ASCENT, RUN), "goal_kind": text}
    ),
}
"""What those of cells and ascents that are done hold besides."""


def breach(record: Any) -> str:
    """What of a record breaks its declaration, in words; nothing if it is as declared."""
    if not isinstance(record, dict):
        return "it is no mapping"
    kind = record.get("kind")
    if not isinstance(kind, str) or kind not in RECORDS:
        return f"kind {_must('be one of ' + ', '.join(RECORDS), kind)}"
    if why := RECORDS[kind](record):
        return f"{kind}: {why}"
    done = record.get("status") == Status.DONE.word
    why = DONE[kind](record) if done else ""
    return f"{kind}: {why}" if why else ""
