"""``run``: run a grid; the same command again resumes it."""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgbench.cli.exit_codes import INTERRUPTED, OK, SOME_FAILED
from pgbench.cli.options import add_folders, add_plugin, add_workers
from pgbench.rollout.device import KINDS

if TYPE_CHECKING:
    from xarray import DataTree

    from pgbench.harness.tasks import Shard

HELP = "run a grid; the same command again resumes it"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    command.add_argument("grid", type=Path, help="grid file, e.g. grid.yaml")
    add_folders(command)
    command.add_argument("--no-report", action="store_true", help="measure only")
    command.add_argument("--threads", type=int, help="default: all cores; no result depends on it")
    command.add_argument(
        "--device",
        choices=KINDS,
        help="where rollouts run, default: as the grid says, else cpu; results differ by rounding",
    )
    add_workers(command)
    command.add_argument(
        "--shard", type=_shard, metavar="I/N", help="only every N-th task, from the I-th on"
    )
    add_plugin(command)
    command.add_argument(
        "--yes", action="store_true", help="run what may take very long, or too much memory"
    )
    command.add_argument("--quiet", action="store_true", help="no progress")


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from pgbench.grid.reader import read_grid
    from pgbench.harness.progress import Bars, Lines, Silent, duration
    from pgbench.harness.runner import Interrupted, execute
    from pgbench.harness.tasks import Shard

    if options.threads is not None and options.threads < 1:
        raise ValueError(f"--threads is {options.threads}, must be at least 1")
    grid = read_grid(options.grid)
    with ExitStack() as stack:
        if options.quiet:
            progress = Silent()
        elif sys.stderr.isatty():
            progress = stack.enter_context(Bars())
        else:
            progress = Lines()
        try:
            outcome = execute(
                grid,
                options.output,
                threads=options.threads,
                device=options.device,
                shard=options.shard or Shard(),
                performer=_performer(options),
                confirmed=options.yes,
                progress=progress,
            )
        except Interrupted as stop:
            stack.close()
            again = "python -m pgbench run " + " ".join(map(str, _resuming(options)))
            print(f"interrupted; {stop}. To resume: {again}", file=sys.stderr)
            return INTERRUPTED
    attributes = outcome.tree.attrs
    print(
        f"{outcome.directory / 'results.nc'}: {outcome.measured} cells measured in"
        f" {duration(attributes['wall_time_s'])}, {outcome.reused} reused,"
        f" {outcome.failed} failed, {outcome.skipped} skipped"
    )
    if not options.no_report:
        from pgbench.report import write_report

        print(f"report: {write_report(outcome.tree, options.reports / grid.name)}")
    violated = _violations(outcome.tree)
    for sentence in violated:
        print(f"failed check: {sentence}", file=sys.stderr)
    return SOME_FAILED if outcome.failed or violated else OK


def _shard(text: str) -> "Shard":
    """The shard of a text such as 2/5."""
    from pgbench.harness.tasks import Shard

    number, slash, of = text.partition("/")
    if not (slash and number.isascii() and number.isdigit() and of.isascii() and of.isdigit()):
        raise argparse.ArgumentTypeError(f"is {text!r}, must be I/N, such as 2/5")
    try:
        return Shard(int(number), int(of))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _performer(options: argparse.Namespace) -> Any:
    """Who performs the tasks, if not this process."""
    if options.workers is None and options.scheduler is None:
        return None
    from pgbench.harness.cluster import Workers, by_workers

    return by_workers(Workers(options.workers, options.scheduler, options.threads))


def _violations(tree: "DataTree") -> list[str]:
    """What is proven of ascents and does not hold in a run."""
    if "ascent" not in tree.children:
        return []
    from pgbench.results.ascents import violations

    return violations(tree["ascent"].to_dataset())


def _resuming(options: argparse.Namespace) -> list[str]:
    words = [str(options.grid)]
    if options.output != Path("results"):
        words += ["--output", str(options.output)]
    if options.reports != Path("reports"):
        words += ["--reports", str(options.reports)]
    for file in options.plugin:
        words += ["--plugin", str(file)]
    if options.threads is not None:
        words += ["--threads", str(options.threads)]
    if options.device is not None:
        words += ["--device", options.device]
    flags = {"--no-report": options.no_report, "--yes": options.yes, "--quiet": options.quiet}
    words += [flag for flag, given in flags.items() if given]
    return words
