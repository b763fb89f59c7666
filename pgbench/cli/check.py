"""``check``: validate a grid and print the plan."""

import argparse
from pathlib import Path

from pgbench.cli.exit_codes import BAD_INPUT, OK
from pgbench.cli.options import add_plugin

HELP = "validate a grid and print the plan: cells, steps, memory, time"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    command.add_argument("grid", type=Path)
    add_plugin(command)


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from pgbench.cli.plan_table import print_plan
    from pgbench.grid.reader import read_grid

    return OK if print_plan(read_grid(options.grid)) else BAD_INPUT
