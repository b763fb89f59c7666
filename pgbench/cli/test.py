"""``test``: examine an estimator of one's own."""

import argparse
from pathlib import Path

from pgbench.cli.exit_codes import NOT_RIGHT, OK

HELP = "examine an estimator of your own: bias, variance, what it resembles"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    command.add_argument(
        "file", type=Path, help="Python file with `def estimate(batch)` or a record"
    )
    command.add_argument(
        "--function", help="name in the file; default: estimate, or its only record"
    )
    command.add_argument(
        "--replicates", type=int, help="per problem; default: what the time allows"
    )
    command.add_argument("--seed", type=int, default=0, help="default: 0")
    command.add_argument(
        "--skip-nan", action="store_true", help="leave out estimates that are not finite numbers"
    )


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from pgbench.trials.examination import examine
    from pgbench.trials.wording import print_examination

    found = examine(
        options.file, options.function, options.replicates, options.seed, options.skip_nan
    )
    print_examination(found)
    return OK if found.passed else NOT_RIGHT
