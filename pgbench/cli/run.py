"""``run``: run a grid; the same command again resumes it."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pgbench.cli.exit_codes import INTERRUPTED, OK, SOME_FAILED
from pgbench.cli.options import add_folders, add_plugin, add_workers, plug_ins, workers_of
from pgbench.cli.program import called
from pgbench.rollout.device import KINDS

if TYPE_CHECKING:
    from xarray import DataTree

    from pgbench.harness.crew import Crew
    from pgbench.harness.performing import MakePerformer

HELP = "run a grid; the same command again resumes it"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    command.add_argument("grid", type=Path, help="grid file, e.g. grid.yaml")
    add_folders(command)
    command.add_argument("--no-report", action="store_true", help="measure only")
    command.add_argument(
        "--threads",
        type=int,
        help="default: all cores; with --workers those of each, default: its share of the cores;"
        " no result depends on it",
    )
    command.add_argument(
        "--device",
        choices=KINDS,
        help="where rollouts run, default: as the grid says, else cpu; results differ by rounding",
    )
    add_workers(command)
    command.add_argument(
        "--shard",
        default="1/1",
        metavar="I/N",
        help="only every N-th task, from the I-th on; `merge` brings shards together",
    )
    add_plugin(command)
    command.add_argument(
        "--yes", action="store_true", help="run what may take very long, or too much memory"
    )
    command.add_argument("--quiet", action="store_true", help="no progress")


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    try:
        return _run(options)
    except KeyboardInterrupt as stop:
        again = shlex.join([*called(), *options.words])
        told = "; ".join(filter(None, ["interrupted", str(stop)]))
        print(f"{told}. To resume: {again}", file=sys.stderr)
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    from pgbench.grid.reader import read_grid
    from pgbench.harness.crew import Crew
    from pgbench.harness.progress import showing
    from pgbench.harness.runner import execute
    from pgbench.harness.tasks import Shard

    if options.threads is not None and options.threads < 1:
        raise ValueError(f"--threads is {options.threads}, must be at least 1")
    grid = read_grid(options.grid)
    set_up = plug_ins(options)
    with showing(not options.quiet) as progress, Crew(prepare=set_up) as crew:
        outcome = execute(
            grid,
            options.output,
            threads=options.threads,
            device=options.device,
            shard=Shard.of_text(options.shard),
            performer=_performer(options, crew),
            set_up=set_up,
            confirmed=options.yes,
            progress=progress,
        )
        print(outcome.sentence, flush=True)
        if options.quiet and (reason := outcome.first_failure):
            print(f"failed: {reason}", file=sys.stderr)
        if not options.no_report:
            from pgbench.report import write_report

            progress.phase("drawing figures")
            page = write_report(outcome.tree, options.reports / grid.name, crew)
            print(f"report: {page}")
    violated = _violations(outcome.tree)
    for sentence in violated:
        print(f"failed check: {sentence}", file=sys.stderr)
    return SOME_FAILED if outcome.failed or violated else OK


def load_figures() -> None:
    """Load what figures are drawn with: in a process that has nothing else to do."""
    import pgbench.report  # noqa: F401


def _performer(options: argparse.Namespace, crew: "Crew") -> "MakePerformer":
    """What performs tasks: workers that options name, or this machine."""
    if workers := workers_of(options):
        from pgbench.harness.cluster.performer import by_workers

        return by_workers(workers)
    from pgbench.harness.beside import on_this_machine

    return on_this_machine(crew, None if options.no_report else load_figures)


def _violations(tree: "DataTree") -> list[str]:
    """What is proven of ascents and does not hold in a run."""
    if "ascent" not in tree.children:
        return []
    from pgbench.results.ascents import violations

    return violations(tree["ascent"].to_dataset())
