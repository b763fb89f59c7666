"""Options that several commands share."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgbench.harness.cluster.workers import Workers
    from pgbench.trials.user_file import PlugIns


FORMATS = ("csv", "json", "latex", "markdown")
"""What tables can be written as."""


def add_plugin(command: argparse.ArgumentParser) -> None:
    """Let a command take files with estimators of the user's own."""
    command.add_argument(
        "--plugin",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="Python file with records of estimators of your own; may be given several times",
    )


def plug_ins(options: argparse.Namespace) -> "PlugIns | None":
    """What lets another process know the estimators of those files; None where there are none."""
    if not options.plugin:
        return None
    from pgbench.trials.user_file import PlugIns

    return PlugIns.of(options.plugin)


def add_workers(command: argparse.ArgumentParser) -> None:
    """Let a command share its work among processes."""
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="so many processes on this machine share the work; no result depends on it; needs"
        " pgbench[dask]",
    )
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="the workers of this Dask scheduler, such as tcp://10.0.0.1:8786, share the work; they"
        " need the same versions of pgbench, numba, numpy and scipy",
    )


def workers_of(options: argparse.Namespace) -> "Workers | None":
    """The workers that options name; None where the work is done here."""
    if options.workers is None and options.scheduler is None:
        return None
    from pgbench.harness.cluster.workers import Workers

    return Workers(options.workers, options.scheduler, getattr(options, "threads", None))


def add_folders(command: argparse.ArgumentParser) -> None:
    """Let a command be told where results and reports go."""
    command.add_argument("--output", type=Path, default=Path("results"), help="default: results")
    command.add_argument("--reports", type=Path, default=Path("reports"), help="default: reports")


def add_format(command: argparse.ArgumentParser) -> None:
    """Let a command be told what to write its table as."""
    command.add_argument(
        "--format",
        choices=FORMATS,
        help="instead of a table for the terminal; csv and json have all digits",
    )
