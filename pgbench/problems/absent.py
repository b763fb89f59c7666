"""Actions that a state does not have: a mask says so, or rows that hold nothing."""

from typing import Any

import numpy as np

from pgbench.arrays import BoolArray
from pgbench.problems.checks import warn
from pgbench.problems.problem import ProblemError


class AbsentActions(UserWarning):
    """Some states have fewer actions than others, as rows of zeros or NaN say."""


def existing_actions(name: str, rows: Any, terminal: Any, allowed: Any) -> BoolArray | None:
    """Which actions each state has, (S, A), or None where every state has all.

    By the mask ``allowed``, or without one by rows (S, A, n): one of zeros or NaN alone is no
    action, with a warning that counts them. Terminal states have all, for none is ever taken there.

    Raises
    ------
    ProblemError
        If the mask has another shape, or a state has no action at all.
    """
    table = np.asarray(rows)
    if table.ndim != 3 or table.size == 0 or table.dtype.kind not in "fiub":
        return None  # the caller says what is wrong with it
    shape = table.shape[:2]
    if allowed is None:
        exists = ~(np.isnan(table).all(axis=2) | (table == 0).all(axis=2))
    else:
        exists = np.array(allowed)
        if exists.shape != shape or exists.dtype != bool:
            raise ProblemError(
                f"allowed has shape {exists.shape} and dtype {exists.dtype}, must be {shape} bool"
            )
    if np.shape(terminal) == shape[:1]:
        exists[np.asarray(terminal, bool)] = True
    none = np.flatnonzero(~exists.any(axis=1))
    if none.size:
        s = int(none[0])
        said = "allowed is false"
        if allowed is None and np.isnan(table[s, 0, 0]):
            said = f"{name}[{s}, 0, 0] is nan, must be finite"
        elif allowed is None:
            said = f"{name}[{s}, 0] sums to 0, must sum to 1"
        raise ProblemError(f"{said}: state {s} has no action at all")
    if exists.all():
        return None
    if allowed is None:
        s, a = (int(i) for i in np.argwhere(~exists)[0])
        warn(
            f"{name}[{s}, {a}] holds nothing: state {s} does not have action {a}"
            f" ({int((~exists).sum())} such in all); a mask, allowed (S, A), says so without this",
            AbsentActions,
        )
    return exists


def blanked(table: Any, exists: BoolArray | None) -> Any:
    """The table (S, A) or (S, A, n) with zeros where a state does not have the action."""
    if exists is None:
        return table
    array = np.asarray(table)
    if array.shape[:2] != exists.shape or array.ndim > 3:
        return table  # the caller says what is wrong with it
    return np.where(exists if array.ndim == 2 else exists[:, :, None], array, 0)
