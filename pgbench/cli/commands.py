"""The command line, ``python -m pgbench``; nothing heavy is imported before it is needed."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from pgbench import __version__
from pgbench.cli import check, horizons, merge, report, run, schema, show, test, zoo
from pgbench.cli import list as listing
from pgbench.cli.exit_codes import BAD_INPUT, EXPLAINED, INTERRUPTED, OK

COMMANDS = {
    "run": run,
    "merge": merge,
    "check": check,
    "horizons": horizons,
    "report": report,
    "zoo": zoo,
    "list": listing,
    "show": show,
    "test": test,
    "schema": schema,
}
"""Modules of the commands by name, in the order in which they are listed."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pgbench",
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
        from pgbench.trials.user_file import plug_in

        for file in files:
            plug_in(file)
