"""The command line, also ``pg-bench``; nothing heavy is imported before it is needed."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pgbench import __version__
from pgbench.cli import (
    audit,
    check,
    compare,
    example,
    horizons,
    merge,
    report,
    run,
    schema,
    show,
    test,
    zoo,
)
from pgbench.cli import list as listing
from pgbench.cli.exit_codes import BAD_INPUT, EXPLAINED
from pgbench.cli.notes import notes
from pgbench.cli.program import called
from pgbench.declared.messages import bounded

COMMANDS = {
    "example": example,
    "run": run,
    "merge": merge,
    "check": check,
    "horizons": horizons,
    "report": report,
    "zoo": zoo,
    "list": listing,
    "show": show,
    "compare": compare,
    "test": test,
    "audit": audit,
    "schema": schema,
}
"""Modules of the commands by name, in the order in which they are listed."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=" ".join(called()),
        description="Measure the bias, variance and cost of policy-gradient estimators"
        " against exact truth.",
        epilog=EXPLAINED,
    )
    parser.add_argument("--version", action="version", version=f"pgbench {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, module in COMMANDS.items():
        text = module.HELP
        command = commands.add_parser(name, help=text, description=text, epilog=EXPLAINED)
        command.set_defaults(action=module.act)
        module.add_arguments(command)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(words, argparse.Namespace(words=words))
    try:
        with notes():
            _plug_in(getattr(options, "plugin", []))
            code: int = options.action(options)
    except ValueError as error:
        print(bounded(str(error).split("\n")), file=sys.stderr)
        return BAD_INPUT
    except MemoryError as error:
        print(f"not enough memory: {error}", file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        print(f"{error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        return BAD_INPUT
    return code


def _plug_in(files: Sequence[Path]) -> None:
    """Add users' estimators; nothing is imported where there are none.

    A child tries first, for what ends, fills or blocks the process that imports it.
    """
    if not files:
        return
    from pgbench.harness.child import Child, ChildError
    from pgbench.trials.user_file import plug_in, probe

    try:
        with Child() as child:
            for file in files:
                child.perform(probe, file)
    except ChildError as error:
        raise ValueError(f"{error}") from None
    for file in files:
        plug_in(file)
