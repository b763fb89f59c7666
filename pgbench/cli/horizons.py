"""``horizons``: bias and variance against the horizon, with no sampling."""

import argparse
import sys
from functools import partial
from pathlib import Path

from pgbench.cli.exit_codes import OK, SOME_FAILED
from pgbench.cli.options import add_folders, add_plugin, add_workers, plug_ins, workers_of

HELP = "work out bias and variance against the horizon, with no sampling, and draw them"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    command.add_argument("grid", type=Path, help="grid file, e.g. grids/horizon.yaml")
    add_plugin(command)
    add_folders(command)
    add_workers(command)


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from pgbench.declared.outcomes import Status
    from pgbench.grid.reader import read_grid
    from pgbench.harness.cluster.mapping import mapping
    from pgbench.harness.horizon_study import study, write
    from pgbench.report.horizon_study import messages, write_study
    from pgbench.results.folding import folded

    grid = read_grid(options.grid)
    set_up = plug_ins(options)
    say = partial(print, file=sys.stderr)
    with mapping(workers_of(options), set_up, say) as mapped:
        found = study(grid, say, mapped, set_up)
    for message in messages(folded(found)):
        print(f"note: {message}", file=sys.stderr)
    status = [Status(code) for code in found["status"].values.ravel()]
    known = (Status.DONE, Status.FAILED, Status.SKIPPED)
    counts = ", ".join(f"{status.count(code)} {code.word}" for code in known)
    print(f"{write(found, options.output / grid.name)}: curves of {counts}")
    print(f"report: {write_study(found, options.reports / grid.name)}")
    return SOME_FAILED if Status.FAILED in status else OK
