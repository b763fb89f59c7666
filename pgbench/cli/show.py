"""``show``: a table of results."""

import argparse
import sys
from pathlib import Path

from pgbench.cli.exit_codes import OK
from pgbench.cli.notes import told
from pgbench.cli.options import add_format

HELP = "print a table of results"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    command.add_argument("results", type=Path, help="the run's directory, e.g. results/demo")
    command.add_argument("--problem", help="only problems whose label contains this")
    command.add_argument("--policy", help="only policies whose label contains this")
    command.add_argument("--estimator", help="only estimators whose label contains this")
    command.add_argument("--batch-size", type=int, help="default: the largest")
    command.add_argument("--ascents", action="store_true", help="of ascents, not of estimators")
    add_format(command)
    command.add_argument("--algorithm", help="only ascents whose label contains this")


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from pgbench.cli.results_table import of_ascents, of_results
    from pgbench.cli.tables import show
    from pgbench.results import dataset as results
    from pgbench.results.folding import folded_tree

    tree, notes = results.read_noted(options.results)
    told(notes)
    tree = folded_tree(tree)
    summary = tree.to_dataset()
    chosen = {"problem": options.problem, "policy": options.policy}
    if options.ascents or summary.sizes["estimator"] == 0:
        if "ascent" not in tree.children:
            raise ValueError(f"{options.results} holds no ascents")
        ascent = tree["ascent"].to_dataset()
        table, notes = of_ascents(ascent, algorithm=options.algorithm, **chosen)
    else:
        chosen |= {"estimator": options.estimator, "batch_size": options.batch_size}
        table, notes = of_results(summary, **chosen)
    show(table, options.format)
    for note in notes:
        print(note, file=sys.stderr if options.format else sys.stdout)
    return OK
