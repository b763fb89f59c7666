"""``example``: print a shipped grid, which is where one's own begins."""

import argparse
from pathlib import Path

from pgbench.cli.exit_codes import OK
from pgbench.declared.parameters import did_you_mean

HELP = "print a shipped grid: example > grid.yaml"

DEFAULT = "demo"
"""The grid that is printed where none is named."""

PACKAGE = Path(__file__).parents[1]

SHIPPED = INSTALLED if (INSTALLED := PACKAGE / "examples").is_dir() else PACKAGE.parent
"""Where ``grid.yaml`` and ``grids/`` lie: in an installed package, else in the tree around it."""


def examples() -> dict[str, Path]:
    """Files of the shipped grids by the grids' names, the default first."""
    studies = sorted((SHIPPED / "grids").glob("*.yaml"))
    return {DEFAULT: SHIPPED / "grid.yaml", **{file.stem: file for file in studies}}


def title(text: str) -> str:
    """The first line of a grid's text, a comment that says what the grid shows."""
    return text.partition("\n")[0].removeprefix("# ")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    which = command.add_mutually_exclusive_group()
    which.add_argument("name", nargs="?", help=f"default: {DEFAULT}")
    which.add_argument("--list", action="store_true", help="names of all, and what each shows")


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    known = examples()
    if options.list:
        for name, file in known.items():
            print(f"{name:<12} {title(file.read_text(encoding='utf-8'))}")
        return OK
    name = options.name or DEFAULT
    if name not in known:
        names = ", ".join(known)
        raise ValueError(f"unknown example {name!r}{did_you_mean(name, known)} (known: {names})")
    print(known[name].read_text(encoding="utf-8"), end="")
    return OK
