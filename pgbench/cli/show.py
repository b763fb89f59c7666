"""``show``: a table of results."""

import argparse
import sys
from pathlib import Path

from pgbench.cli.exit_codes import OK

HELP = "print a table of results"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    command.add_argument("results", type=Path, help="the run's directory, e.g. results/demo")
    command.add_argument("--problem", help="only problems whose label contains this")
    command.add_argument("--policy", help="only policies whose label contains this")
    command.add_argument("--estimator", help="only estimators whose label contains this")
    command.add_argument("--batch-size", type=int, help="default: the largest")
    command.add_argument("--ascents", action="store_true", help="of ascents, not of estimators")
    command.add_argument("--algorithm", help="only ascents whose label contains this")


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from pgbench.cli.results_table import print_ascents, print_results
    from pgbench.results import dataset as results
    from pgbench.results.folding import folded_tree

    tree, notes = results.read_noted(options.results)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    tree = folded_tree(tree)
    summary = tree.to_dataset()
    if options.ascents or summary.sizes["estimator"] == 0:
        if "ascent" not in tree.children:
            raise ValueError(f"{options.results} holds no ascents")
        print_ascents(
            tree["ascent"].to_dataset(),
            problem=options.problem,
            policy=options.policy,
            algorithm=options.algorithm,
        )
        return OK
    print_results(
        summary,
        problem=options.problem,
        policy=options.policy,
        estimator=options.estimator,
        batch_size=options.batch_size,
    )
    return OK
