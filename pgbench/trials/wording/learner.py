"""A learner's runs in words."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from pgbench.trials.learners import LEVEL, Climbed, Judged

NOTE = (
    "J: exact, a mean over the runs; difference: learner less claimed ascent, at the last θ with"
    " its 95 % interval, and of the mean over all updates; p: Holm-corrected over all of them."
)


def print_learner(found: Judged, console: Console) -> None:
    """Print everything that was found; the last line is the verdict."""
    console.print("\nDoes it climb as it claims?")
    for line in _lines(found):
        console.print(f"  {line}", soft_wrap=True)
    console.print()
    console.print(_table(found))
    console.print(f"  {NOTE}", soft_wrap=True)
    console.print(f"\nVerdict: {conclusion(found)}", soft_wrap=True)


def _lines(found: Judged) -> Iterator[str]:
    runs, updates = len(found.every[0].own), found.ascent.updates
    yield (
        f"{runs} runs of {updates} updates on each of {len(found.every)} problems, beside"
        f" {found.ascent.words} on its own θ, from the same random streams."
    )
    if found.same:
        yield "Every θ is that of the claimed ascent, to rounding."
        return
    yield f"A learner that is the claimed ascent is told from it with a chance of {LEVEL:.0%}."
    for one in found.every:
        if one.same:
            yield f"On '{one.case.name}' every θ is that of the claimed ascent, to rounding."


def conclusion(found: Judged) -> str:
    """The verdict in a sentence."""
    what, claimed = found.own.words, found.ascent.words
    if found.same:
        return f"{what} is {claimed}, update by update."
    if found.passed:
        widest = max(found.every, key=_width)
        return (
            f"{what} cannot be told from {claimed} by the J that it reaches; differences above"
            f" {_width(widest):.2g} of what is gained are excluded on every problem."
        )
    words = ", ".join(f"{one.case.name} ({_way(one)})" for one in found.other)
    return f"{what} does not climb as {claimed} does: {words}."


def _width(one: Climbed) -> float:
    """The largest difference at the end that is not excluded, over what is gained."""
    return max(abs(one.last.low), abs(one.last.high)) / max(abs(one.gained), 1e-300)


def _way(one: Climbed) -> str:
    at_end, on_way = one.last.value / abs(one.gained), one.along.value / abs(one.gained)
    return f"{at_end:+.0%} of the gain at the end, {on_way:+.0%} on the way"


def _table(found: Judged) -> Table:
    table = Table(box=None, header_style="", padding=(0, 2, 0, 0))
    names = ("problem", "J(θ_0)", "J(θ_K)", "claimed", "difference", "on the way", "p")
    for name in names:
        table.add_column(name, justify="left" if name == "problem" else "right", no_wrap=True)
    for one, p in zip(found.every, found.p, strict=True):
        means = one.own[:, 0].mean(), one.own[:, -1].mean(), one.claimed[:, -1].mean()
        last, way = one.last, f"{one.along.value:.2g}"
        differences = f"{last.value:.2g} ({last.low:.2g} to {last.high:.2g})", way, f"{p.min():.2g}"
        told = ("none", "none", "equal") if one.same else differences
        table.add_row(one.case.name, *(f"{J:.4g}" for J in means), *told)
    return table
