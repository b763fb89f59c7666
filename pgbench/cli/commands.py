"""The command line, ``python -m pgbench``; nothing heavy is imported before it is needed."""

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pgbench import __version__
from pgbench.rollout.device import KINDS

if TYPE_CHECKING:
    from xarray import DataTree

OK, SOME_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
NOT_RIGHT = 1

_EPILOG = (
    """exit codes: 0 fine, 1 some cells or checks failed (of test: biased, or could not be"""
    """ judged), 2 bad input, 130 interrupted"""
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pgbench",
        description="Measure the bias, variance and cost of policy-gradient estimators"
        " against exact truth.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"pgbench {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)

    def add(
        name: str, text: str, action: Callable[[argparse.Namespace], int]
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, epilog=_EPILOG)
        command.set_defaults(action=action)
        return command

    def plugin(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--plugin",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help="Python file with records of estimators of your own; may be given several times",
        )

    run = add("run", "run a grid; the same command again resumes it", _run)
    run.add_argument("grid", type=Path, help="grid file, e.g. grid.yaml")
    run.add_argument("--output", type=Path, default=Path("results"), help="default: results")
    run.add_argument("--reports", type=Path, default=Path("reports"), help="default: reports")
    run.add_argument("--no-report", action="store_true", help="measure only")
    run.add_argument("--threads", type=int, help="default: all cores; no result depends on it")
    run.add_argument(
        "--device",
        choices=KINDS,
        help="where rollouts run, default: as the grid says, else cpu; results differ by rounding",
    )
    plugin(run)
    run.add_argument("--quiet", action="store_true", help="no progress")

    check = add("check", "validate a grid and print the plan: cells, steps, memory, time", _check)
    check.add_argument("grid", type=Path)
    plugin(check)

    horizons = add(
        "horizons",
        "work out bias and variance against the horizon, with no sampling, and draw them",
        _horizons,
    )
    horizons.add_argument("grid", type=Path, help="grid file, e.g. grids/horizon.yaml")
    plugin(horizons)
    horizons.add_argument("--output", type=Path, default=Path("results"), help="default: results")
    horizons.add_argument("--reports", type=Path, default=Path("reports"), help="default: reports")

    report = add("report", "draw the report of a run again", _report)
    report.add_argument("results", type=Path, help="the run's directory, e.g. results/demo")
    report.add_argument("--reports", type=Path, default=Path("reports"), help="default: reports")
    plugin(report)

    zoo = add(
        "zoo",
        "how surely our tests find estimators that are wrong on purpose, and how often they"
        " accuse correct ones",
        _zoo,
    )
    zoo.add_argument("--replicates", type=int, nargs="+", help="default: 250 1000 2000")
    zoo.add_argument("--repeats", type=int, default=5, help="runs of each, default: 5")
    zoo.add_argument("--seed", type=int, default=0, help="default: 0")
    zoo.add_argument("--output", type=Path, help="write a Markdown page too")

    listing = add("list", "list problems, policies, estimators and algorithms of ascent", _list)
    kinds = ("problems", "policies", "estimators", "algorithms", "step_sizes", "zoo")
    listing.add_argument("what", nargs="?", choices=kinds, help="default: all but the zoo")
    plugin(listing)
    listing.add_argument("--markdown", action="store_true", help="estimators as a Markdown page")

    show = add("show", "print a table of results", _show)
    show.add_argument("results", type=Path, help="the run's directory, e.g. results/demo")
    show.add_argument("--problem", help="only problems whose label contains this")
    show.add_argument("--policy", help="only policies whose label contains this")
    show.add_argument("--estimator", help="only estimators whose label contains this")
    show.add_argument("--batch-size", type=int, help="default: the largest")
    show.add_argument("--ascents", action="store_true", help="of ascents, not of estimators")
    show.add_argument("--algorithm", help="only ascents whose label contains this")

    test = add("test", "examine an estimator of your own: bias, variance, what it resembles", _test)
    test.add_argument("file", type=Path, help="Python file with `def estimate(batch)` or a record")
    test.add_argument("--function", help="name in the file; default: estimate, or its only record")
    test.add_argument("--replicates", type=int, help="per problem; default: what the time allows")
    test.add_argument("--seed", type=int, default=0, help="default: 0")
    test.add_argument(
        "--skip-nan", action="store_true", help="leave out estimates that are not finite numbers"
    )

    plugin(add("schema", "print the JSON schema of a grid file, for editors", _schema))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _note
            _plug_in(getattr(options, "plugin", []))
            code: int = options.action(options)
    except ValueError as error:
        print(f"{error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except MemoryError as error:
        print(f"not enough memory: {error}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        sys.stderr.close()
        return OK
    except OSError as error:
        print(f"{error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        return BAD_INPUT
    return code


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning meant for users as one line, any other with its place in the code."""
    if issubclass(category, UserWarning):
        text = f"note: {message}\n"
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
    (file or sys.stderr).write(text)


def _plug_in(files: Sequence[Path]) -> None:
    """Add users' estimators; nothing is imported where there are none."""
    if files:
        from pgbench.trials.own import plug_in

        for file in files:
            plug_in(file)


def _run(options: argparse.Namespace) -> int:
    from pgbench.grid.reader import read_grid
    from pgbench.harness.progress import Bars, Lines, Silent, duration
    from pgbench.harness.runner import Interrupted, execute

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
    words += ["--no-report"] * options.no_report + ["--quiet"] * options.quiet
    return words


def _check(options: argparse.Namespace) -> int:
    from pgbench.cli.listing import print_plan
    from pgbench.grid.reader import read_grid

    return OK if print_plan(read_grid(options.grid)) else BAD_INPUT


def _report(options: argparse.Namespace) -> int:
    from pgbench.report import write_report
    from pgbench.report.declared import read_back
    from pgbench.results import dataset as results

    tree, notes = results.read(options.results)
    if read_back(tree.to_dataset()) is None:
        notes = [
            *notes,
            "the grid of these results cannot be read, so the report does not say what estimators"
            " declare; if it names some of your own, give their file with --plugin",
        ]
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"report: {write_report(tree, options.reports / options.results.resolve().name)}")
    return OK


def _horizons(options: argparse.Namespace) -> int:
    from pgbench.declared.outcomes import Status
    from pgbench.grid.reader import read_grid
    from pgbench.harness.horizon_study import study, write
    from pgbench.report.horizons import messages, write_study

    grid = read_grid(options.grid)
    found = study(grid, lambda line: print(line, file=sys.stderr))
    for message in messages(found):
        print(f"note: {message}", file=sys.stderr)
    status = [Status(code) for code in found["status"].values.ravel()]
    known = (Status.DONE, Status.FAILED, Status.SKIPPED)
    counts = ", ".join(f"{status.count(code)} {code.word}" for code in known)
    print(f"{write(found, options.output / grid.name)}: curves of {counts}")
    print(f"report: {write_study(found, options.reports / grid.name)}")
    return SOME_FAILED if Status.FAILED in status else OK


def _list(options: argparse.Namespace) -> int:
    if options.markdown:
        from pgbench.cli.catalogue import markdown

        print(markdown())
        return OK
    from pgbench.cli.listing import print_list

    print_list(options.what)
    return OK


def _zoo(options: argparse.Namespace) -> int:
    from pgbench.declared.parameters import check_counts
    from pgbench.kernels.blas import single_threaded_blas
    from pgbench.results.journal import write_file
    from pgbench.trials.battery import cases
    from pgbench.trials.biases import of_zoo, slips
    from pgbench.trials.biases_table import part
    from pgbench.trials.power import SIZES, study
    from pgbench.trials.power_table import page, print_study

    sizes = options.replicates or list(SIZES)
    check_counts(**{"--repeats": options.repeats}, **{f"--replicates {n}": n for n in sizes})
    with single_threaded_blas():
        found = study(
            sorted(set(sizes)), options.repeats, options.seed, lambda x: print(x, file=sys.stderr)
        )
    print_study(found)
    if options.output:
        words = f" --replicates {' '.join(map(str, sizes))}" if options.replicates else ""
        words += f" --repeats {options.repeats}" if options.repeats != 5 else ""
        words += f" --seed {options.seed}" if options.seed else ""
        text = page(found, words, len(cases())) + part(of_zoo(), slips(), cases())
        write_file(options.output, text.encode())
    return OK


def _show(options: argparse.Namespace) -> int:
    from pgbench.cli.listing import print_ascents, print_results
    from pgbench.results import dataset as results

    tree, notes = results.read(options.results)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    summary = tree.to_dataset()
    if options.ascents or summary.sizes["estimator"] == 0:
        if "ascent" not in tree.children:
            raise ValueError(f"{options.results} holds no ascents")
        print_ascents(
            tree["ascent"].to_dataset(),
            problem=options.problem,
            policy=options.policy,
            algorithm=options.algorithm,
        )
        return OK
    print_results(
        summary,
        problem=options.problem,
        policy=options.policy,
        estimator=options.estimator,
        batch_size=options.batch_size,
    )
    return OK


def _test(options: argparse.Namespace) -> int:
    from pgbench.trials.examination import examine
    from pgbench.trials.wording import print_examination

    found = examine(
        options.file, options.function, options.replicates, options.seed, options.skip_nan
    )
    print_examination(found)
    return OK if found.passed else NOT_RIGHT


def _schema(options: argparse.Namespace) -> int:
    import json

    from pgbench.grid.json_schema import schema

    print(json.dumps(schema(), indent=2, ensure_ascii=False))
    return OK


if __name__ == "__main__":
    sys.exit(main())
