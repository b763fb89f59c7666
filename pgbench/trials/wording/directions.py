"""Where a biased mean points, and what else is wrong with it, in plain words."""

from collections.abc import Iterator

import numpy as np
from rich import box
from rich.table import Table

from pgbench.statistics import Estimate
from pgbench.trials.directions import NEAR, Direction, nearest
from pgbench.trials.verdict import Verdict

FAMILIES = (("∇J", "∇J"), ("F†", "the natural gradient"), ("(F", "the damped natural gradient"),
            ("Σ_t", "the sum without γ^t"))  # fmt: skip
"""How words of hypotheses begin, and what they have in common."""


def pointing_lines(verdict: Verdict) -> Iterator[str]:
    """What direction a biased mean has, over all problems and with every gradient."""
    if not verdict.directions:
        return
    held = verdict.direction
    if held is not None:
        yield (
            f"Its direction cannot be told from that of {held.hypothesis.words}, on any problem:"
            f" {_angle(held)}. Its length is {_span(held)} times what it should be."
        )
    elif (best := nearest(verdict.directions)).holds:
        yield (
            f"Its direction cannot be told from that of {best.hypothesis.words}: {_angle(best)}."
        )
    else:
        yield "Its direction is that of no gradient that is known here, on all problems."
    for family, name in FAMILIES:
        members = [one for one in verdict.directions if one.hypothesis.words.startswith(family)]
        if members:
            best = nearest(members)
            yield f"- cosine with {name}: {_cosines(best)}{_which(best)}"
    yield f"Problem by problem, next to {_shown(verdict).hypothesis.words}:"


def _shown(verdict: Verdict) -> Direction:
    """The direction that the table is about."""
    return verdict.direction or nearest(verdict.directions)


def _angle(direction: Direction) -> str:
    if not np.isfinite(direction.resolution):
        return "the angle is not known"
    if direction.resolution < 0.05:
        return "the angle is zero to rounding"
    return (
        f"angles above {direction.resolution:.2g} degrees are excluded where it is known within 26"
    )


def _which(direction: Direction) -> str:
    words = f" ({direction.hypothesis.words.split(', the')[0]}"
    if direction.damping is None:
        return f"{words})"
    return f"{words}; λ = {direction.damping[1]:.3g} fits the other half of the replicates best)"


def _cosines(direction: Direction) -> str:
    every = [one.cosine.value for one in direction.pointings]
    values = [value for value in every if np.isfinite(value)]
    if not values:
        return "not known on any problem"
    low, high = min(values), max(values)
    if low > 1 - 1e-9:
        return "1"
    return (
        f"{direction.cosine:.4f} with the larger batches, on all problems and sizes {low:.3f} to"
        f" {high:.3f}"
    )


def _span(direction: Direction) -> str:
    lengths = [one.length.value for one in direction.pointings]
    low, high = min(lengths), max(lengths)
    return f"{low:.3g}" if high - low <= 1e-3 * abs(high) else f"{low:.3g} to {high:.3g}"


def pointing_table(verdict: Verdict) -> Table | None:
    """Problem by problem: cosine and length next to the direction that is nearest."""
    if not verdict.directions:
        return None
    shown = _shown(verdict)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("problem", "N", "cosine", "length", "p"):
        table.add_column(column, justify="left" if column == "problem" else "right")
    for one, p in zip(shown.pointings, shown.p, strict=True):
        made = one.result.estimates
        table.add_row(
            made.case.name, str(made.batch_size), _interval(one.cosine), _interval(one.length),
            f"{p:.2g}" if np.isfinite(p) else "untested",
        )  # fmt: skip
    return table


def _interval(x: Estimate) -> str:
    if not x.high - x.low > 1e-6 * abs(x.value):
        return f"{x.value:.4g}"
    return f"{x.value:.3g} ({x.low:.3g} to {x.high:.3g})"


def second_mistake(verdict: Verdict) -> Iterator[str]:
    """What is wrong beyond a missing γ^t, if that is all that is wrong elsewhere."""
    behind = verdict.behind
    if behind is not None:
        yield (
            "Two things are wrong. γ^t is left out: where nothing else is wrong its mean cannot be"
            f" told from {behind.reference.hypothesis.words}."
            f" Beyond that a bias shows {behind.where}."
        )


def causes(verdict: Verdict) -> str:
    """What is known of a mean that is not known, for the last line, or nothing."""
    if verdict.behind is not None:
        return f": γ^t is missing, and there is a second bias {verdict.behind.where}"
    if not verdict.directions or verdict.direction is not None:
        return ""
    best = nearest(verdict.directions)
    if not best.cosine >= NEAR:
        return ": its direction is that of no gradient that is known here"
    return (
        f": its direction is nearest to that of {best.hypothesis.words}, with a cosine of"
        f" {best.cosine:.2g} where batches are larger"
    )


def direction_words(direction: Direction) -> str:
    """``the direction of ∇J_H, the gradient of the H-step objective, and another length``."""
    return f"the direction of {direction.hypothesis.words}, and another length"
