"""``list``: what there is."""

import argparse

from pgbench.cli.exit_codes import OK
from pgbench.cli.options import add_plugin

HELP = "list problems, policies, objectives, samplers, estimators and algorithms of ascent"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    kinds = (
        "problems",
        "policies",
        "objectives",
        "samplers",
        "estimators",
        "algorithms",
        "step_sizes",
        "zoo",
    )
    command.add_argument("what", nargs="?", choices=kinds, help="default: all but the zoo")
    add_plugin(command)
    command.add_argument("--markdown", action="store_true", help="estimators as a Markdown page")


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    if options.markdown:
        from pgbench.cli.catalogue import markdown

        print(markdown())
        return OK
    from pgbench.cli.records_table import print_list

    print_list(options.what)
    return OK
