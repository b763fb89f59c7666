"""``report``: draw the report of a run again."""

import argparse
from pathlib import Path

from pgbench.cli.exit_codes import OK
from pgbench.cli.notes import told
from pgbench.cli.options import add_plugin, plug_ins

HELP = "draw the report of a run again"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    command.add_argument("results", type=Path, help="the run's directory, e.g. results/demo")
    command.add_argument("--reports", type=Path, default=Path("reports"), help="default: reports")
    add_plugin(command)


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from pgbench.harness.crew import Crew
    from pgbench.report import write_report
    from pgbench.report.declared import read_back
    from pgbench.results import dataset as results

    tree, notes = results.read_noted(options.results)
    if read_back(tree.to_dataset()) is None:
        notes = [
            *notes,
            "the grid of these results cannot be read, so the report does not say what estimators"
            " declare; if it names some of your own, give their file with --plugin",
        ]
    told(notes)
    directory = options.reports / options.results.resolve().name
    with Crew(prepare=plug_ins(options)) as crew:
        print(f"report: {write_report(tree, directory, crew)}")
    return OK
