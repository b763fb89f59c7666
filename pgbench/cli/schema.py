"""``schema``: the JSON schema of a grid file."""

import argparse

from pgbench.cli.exit_codes import OK
from pgbench.cli.options import add_plugin

HELP = "print the JSON schema of a grid file, for editors"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    add_plugin(command)
    command.add_argument("--markdown", action="store_true", help="every key as a Markdown page")


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    import json

    if options.markdown:
        from pgbench.grid.reference import markdown

        print(markdown())
        return OK
    from pgbench.grid.json_schema import schema

    print(json.dumps(schema(), indent=2, ensure_ascii=False))
    return OK
