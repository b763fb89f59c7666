"""What figures of relative numbers leave out: settings whose exact gradient has no direction."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING

import numpy as np

from pgbench.report.panels import Drawing

if TYPE_CHECKING:
    from xarray import Dataset

_NAMED = 4
"""Settings that are named; more are counted."""


def unresolved(summary: "Dataset") -> list[str]:
    """Settings in which nothing can be relative to ‖∇J‖, as ``problem × policy``."""
    notes = summary["gradient_note"].values.astype(str)
    problems, policies = summary["problem"].values, summary["policy"].values
    return [f"{problems[i]} × {policies[j]}" for i, j in np.argwhere(notes != "")]


def noted(figure: Callable[["Dataset"], Drawing]) -> Callable[["Dataset"], Drawing]:
    """Add to a figure a sentence on the settings that it cannot show."""

    @wraps(figure)
    def drawn(summary: "Dataset") -> Drawing:
        drawing = figure(summary)
        absent = unresolved(summary)
        if not absent:
            return drawing
        named = ", ".join(absent[:_NAMED])
        more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
        note = f" Left out, because ∇J cannot be told from zero there: {named}{more}."
        return replace(drawing, caption=drawing.caption + note)

    return drawn
