"""``merge``: the journals of several runs as one run."""

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pgbench.cli.exit_codes import OK, SOME_FAILED
from pgbench.cli.options import add_plugin
from pgbench.cli.program import called

if TYPE_CHECKING:
    from pgbench.grid.grid import Grid
    from pgbench.grid.plan import AscentCell, Cell, Setting
    from pgbench.results.journal import Journal
    from pgbench.results.merging import Joined

TOGETHER = 1000
"""Records that are written at a time."""

HELP = "join runs, such as parts of a grid run on several machines, to one that can be resumed"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    command.add_argument("runs", type=Path, nargs="+", help="directories of runs, e.g. a/demo")
    command.add_argument(
        "--output", type=Path, required=True, help="the run is joined in OUTPUT/<name of the grid>"
    )
    command.add_argument("--grid", type=Path, help="default: the grid of the first run")
    add_plugin(command)


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from pgbench.grid.plan import settings
    from pgbench.harness.directory import claimed, open_journal
    from pgbench.results import dataset
    from pgbench.results.build import build
    from pgbench.results.journal import Journal
    from pgbench.results.portions import Portions

    journals = [Journal.read(directory) for directory in options.runs]
    grid, notes = _grid(options, journals)
    plan = settings(grid)
    directory = options.output / grid.name
    with claimed(directory):
        joined = _joined(journals, directory, _names(plan))
        portions = Portions(directory)
        for run in options.runs:
            portions.take(Portions(run))
        journal = open_journal(grid, directory)
        _add(joined, journal)
        path = dataset.write(build(grid, journal), directory)
    for note in (*notes, *(note for each in (*journals, journal) for note in each.notes)):
        print(f"note: {note}", file=sys.stderr)
    cells = [cell.key for setting in plan for cell in _cells(setting)]
    words = Counter(journal.records.get(key, {}).get("status", "missing") for key in cells)
    counts = ", ".join(f"{words[word]} {word}" for word in ("done", "missing", "failed", "skipped"))
    print(f"{path}: of {len(cells)} cells {counts}")
    if words["missing"]:
        command = shlex.join([*called(), "run", "GRID", "--output", str(options.output)])
        print(f"{command} measures what is missing")
    return SOME_FAILED if words["failed"] else OK


def _grid(options: argparse.Namespace, journals: Sequence["Journal"]) -> tuple["Grid", list[str]]:
    """The grid that is given, or the last one of the first run, and a note where there are more."""
    from pgbench.grid.reader import read_grid
    from pgbench.results.dataset import last_grid

    if options.grid is not None:
        return read_grid(options.grid), []
    first = journals[0].grids[-1:]
    if all(journal.grids[-1:] in (first, []) for journal in journals):
        return last_grid(journals[0]), []
    note = (
        f"the grids of these runs differ: {options.runs[0]}/grid.yaml is taken, another one can be"
        " given with --grid; no cell of any is lost"
    )
    return last_grid(journals[0]), [note]


def _cells(setting: "Setting") -> "list[Cell | AscentCell]":
    return [*setting.cells, *setting.ascents]


def _names(plan: Sequence["Setting"]) -> dict[str, str]:
    """What settings and cells are called, by key."""
    names = {setting.key: setting.label for setting in plan}
    for setting in plan:
        for cell in _cells(setting):
            words = ", ".join(f"{name} {value}" for name, value in cell.named.items())
            names[cell.key] = f"{setting.label}, {words.replace('_', ' ')}"
    return names


def _joined(journals: Sequence["Journal"], directory: Path, names: Mapping[str, str]) -> "Joined":
    """What the runs say together with what the directory holds; OutputError if that is another."""
    from pgbench.results.files import OutputError
    from pgbench.results.journal import NAME, Journal
    from pgbench.results.merging import join

    there = [Journal.read(directory)] if (directory / NAME).exists() else []
    known = {key for journal in journals for key in journal.records}
    for journal in there:
        if strange := journal.records.keys() - known:
            raise OutputError(
                f"{directory} holds a run with {len(strange)} records that none of those to be"
                " joined has; name it among them, or choose another --output"
            )
    return join([*journals, *there], names)


def _add(joined: "Joined", journal: "Journal") -> None:
    """Write what a journal lacks, so that the same again, or after a kill, adds the rest."""
    here = journal.records
    lacking = [
        record
        for key, record in joined.records.items()
        if key not in here or here[key].get("status") != record.get("status")
    ]
    for begin in range(0, len(lacking), TOGETHER):
        journal.append(lacking[begin : begin + TOGETHER])
    journal.append([made for made in joined.executions if made not in journal.executions])
