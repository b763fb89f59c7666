"""The command: run the study and write its tables."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pgbench.trials.validity
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
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    options = parser.parse_args(arguments)
    # Not by fork, which the kernels' threads do not survive.
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as executor:
        text = tables(groups, fits, options.replicates, options.repetitions, executor)
    print(text)
    if options.output:
        try:
            write_file(options.output, f"{text}\n".encode())
        except OutputError as error:
            parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
