"""The command: run the study and write its tables."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pgbench.trials.validity
from pgbench.harness.cluster.mapping import mapping
from pgbench.harness.cluster.on_worker import ClusterError
from pgbench.harness.cluster.workers import Workers
from pgbench.results.files import OutputError, write_file
from pgbench.trials.validity.cells import RATES, StudyCell
from pgbench.trials.validity.page import GROUPS
from pgbench.trials.validity.run import tables


def main(
    arguments: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[StudyCell]] = GROUPS,
    fits: Sequence[StudyCell] = RATES,
) -> int:
    """Run the study, print its tables and write them to a file."""
    parser = argparse.ArgumentParser(
        prog="python -m pgbench.trials.validity", description=pgbench.trials.validity.__doc__
    )
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--replicates", type=int, nargs="+", default=[1000, 200])
    parser.add_argument("--output", type=Path, help="a Markdown file for the tables")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="processes that share the work")
    where.add_argument("--scheduler", metavar="ADDRESS", help="Dask scheduler of such workers")
    options = parser.parse_args(arguments)
    try:
        with mapping(_workers(options), say=partial(print, file=sys.stderr)) as mapped:
            text = tables(groups, fits, options.replicates, options.repetitions, mapped)
        print(text)
        if options.output:
            write_file(options.output, f"{text}\n".encode())
    except (ClusterError, OutputError) as error:
        parser.error(str(error))
    return 0


def _workers(options: argparse.Namespace) -> Workers | None:
    if options.workers is None and options.scheduler is None:
        return None
    return Workers(options.workers, options.scheduler)


if __name__ == "__main__":
    sys.exit(main())
