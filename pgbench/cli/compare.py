"""``compare``: two runs paired by cell; what differs beyond its errors, and what got slower."""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pgbench.cli.exit_codes import OK, SOME_FAILED
from pgbench.cli.notes import told
from pgbench.cli.options import add_format

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgbench.cli.tables import Table
    from pgbench.results.comparing import Comparison, Difference

MOST = 40
"""Rows that anybody reads on a terminal."""

HELP = "compare two runs cell by cell: which numbers differ beyond their errors, what got slower"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    command.add_argument("a", type=Path, help="a run's directory, e.g. results/before")
    command.add_argument("b", type=Path, help="another's, e.g. results/after")
    add_format(command)


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from pgbench.cli.tables import show
    from pgbench.results import dataset as results
    from pgbench.results.comparing import compare

    trees = []
    for path in (options.a, options.b):
        tree, notes = results.read_noted(path)
        told(notes)
        if not tree.sizes["estimator"]:
            raise ValueError(f"{path} holds ascents alone, and estimators are compared")
        trees.append(tree.to_dataset())
    found = compare(*trees)
    words = sys.stderr if options.format else sys.stdout
    for sentence in sentences(found):
        print(sentence, file=words)
    every = [*found.exact, *found.measured]
    shown = every if options.format else every[:MOST]
    if shown:
        print(file=words)
        show(_table(shown), options.format)
    if len(shown) < len(every):
        print(f"\nand {len(every) - len(shown)} more; --format csv has all")
    return SOME_FAILED if found.differs else OK


def sentences(found: "Comparison") -> "Iterator[str]":
    """What a comparison says, in words."""
    yield (
        f"{found.paired} cells were measured in both runs, {found.only_a} only in the first,"
        f" {found.only_b} only in the second."
    )
    if found.seeds:
        yield (
            f"The runs have seeds {found.seeds[0]} and {found.seeds[1]}: what they draw of problems"
            " and θ is not the same."
        )
    if found.exact:
        kinds = Counter(own.quantity for own in found.exact)
        counts = ", ".join(f"{n} of {quantity}" for quantity, n in kinds.most_common(4))
        more = f", and some of {len(kinds) - 4} other quantities" if len(kinds) > 4 else ""
        yield f"{len(found.exact)} exact numbers differ by more than rounding: {counts}{more}."
    else:
        yield "No exact number differs by more than rounding."
    if found.identical:
        yield "Every measured number is the same to the last bit."
    elif not found.tests:
        yield "No measured number has an error to compare it by."
    elif found.measured:
        yield (
            f"Of {found.tests} measured numbers {len(found.measured)} differ beyond their errors,"
            " with Holm's correction at 5 %."
        )
    else:
        yield (
            f"No measured number differs beyond its errors: of {found.tests} the smallest p-value,"
            f" with Holm's correction, is {found.smallest_p:.2g}."
        )
    yield from _speeds(found)


def _speeds(found: "Comparison") -> "Iterator[str]":
    """What became of the time of an estimate."""
    if found.machines:
        yield f"Times are of two machines: {found.machines[0]}, and {found.machines[1]}."
    elif found.speeds:
        slower = [own for own in found.speeds if own.differs and own.ratio > 1]
        faster = [own for own in found.speeds if own.differs and own.ratio < 1]
        for word, those in (("Slower", slower), ("Faster", faster)):
            for own in sorted(those, key=lambda own: -abs(own.ratio - 1)):
                yield (
                    f"{word}: {own.estimator} takes {own.ratio:.2f} times as long"
                    f" (geometric mean of {own.cells} cells, Holm p {own.p:.2g})."
                )
        if not slower and not faster:
            yield "No estimator got slower or faster by more than a tenth."


def _table(differences: "Sequence[Difference]") -> "Table":
    """The numbers that differ, a row each."""
    from pgbench.cli.tables import Column, Table, p_value, rounded

    axes = list(dict.fromkeys(axis for own in differences for axis in own.cell))
    labels = [axis for axis in ("estimator", "batch_size") if axis in axes]
    columns = (
        Column("first", ("a",), 0, rounded("a", 4)),
        Column("second", ("b",), 1, rounded("b", 4)),
        Column("z", ("z",), 3, rounded("z")),
        Column("p (Holm)", ("p",), 2, p_value("p")),
    )
    return Table(
        "numbers that differ; z and p of those that are measured",
        tuple(axis for axis in axes if axis not in labels),
        (*labels, "quantity"),
        columns,
        [dict.fromkeys(axes, "") | own.row for own in differences],
    )
