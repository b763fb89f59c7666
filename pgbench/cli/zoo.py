"""``zoo``: how surely our tests find what is wrong on purpose."""

import argparse
import sys
from functools import partial
from pathlib import Path

from pgbench.cli.exit_codes import OK
from pgbench.cli.options import add_workers, workers_of

HELP = (
    "how surely our tests find estimators that are wrong on purpose, and how often they"
    " accuse correct ones"
)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    command.add_argument("--replicates", type=int, nargs="+", help="default: 250 1000 2000")
    command.add_argument("--repeats", type=int, default=5, help="runs of each, default: 5")
    command.add_argument("--seed", type=int, default=0, help="default: 0")
    command.add_argument("--output", type=Path, help="write a Markdown page too")
    add_workers(command)


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from pgbench.declared.parameters import check_counts
    from pgbench.harness.cluster.mapping import mapping
    from pgbench.kernels.blas import single_threaded_blas
    from pgbench.results.files import write_file
    from pgbench.trials.biases_table import parts
    from pgbench.trials.power import SIZES, study
    from pgbench.trials.power_table import page, print_study

    sizes = options.replicates or list(SIZES)
    check_counts(**{"--repeats": options.repeats}, **{f"--replicates {n}": n for n in sizes})
    say = partial(print, file=sys.stderr)
    with single_threaded_blas(), mapping(workers_of(options), say=say) as mapped:
        found = study(sorted(set(sizes)), options.repeats, options.seed, say, mapped)
    print_study(found)
    if options.output:
        words = f" --replicates {' '.join(map(str, sizes))}" if options.replicates else ""
        words += f" --repeats {options.repeats}" if options.repeats != 5 else ""
        words += f" --seed {options.seed}" if options.seed else ""
        write_file(options.output, (page(found, words) + parts()).encode())
    return OK
