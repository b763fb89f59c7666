"""``audit``: functions of other libraries, each judged by what it claims."""

import argparse
import os
import sys
from pathlib import Path

from pgbench.cli.exit_codes import OK

HELP = "judge functions of installed libraries: what their losses are the gradient of"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    command.add_argument("libraries", nargs="*", metavar="LIBRARY", help="default: all installed")
    command.add_argument(
        "--list", action="store_true", help="print one line per function, and run none"
    )
    command.add_argument("--output", type=Path, help="write what is found as JSON too")
    command.add_argument("--page", type=Path, help="write what is found as a Markdown page too")
    command.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes; default: one per core"
    )
    command.add_argument(
        "--replicates", type=int, help="per problem; default: what the time allows"
    )


def act(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from pgbench.declared.parameters import check_counts
    from pgbench.trials.audit.adapters import adapters, chosen
    from pgbench.trials.audit.page import line, listing

    check_counts(**{"--workers": options.workers})
    every = chosen(adapters(), options.libraries)
    if options.list:
        print(listing(every))
        return OK
    from datetime import date

    from pgbench.results.files import write_file
    from pgbench.trials.audit.auditing import audit
    from pgbench.trials.audit.page import machine_readable, page

    for one in every:
        if one.version is None:
            advice = f"python -m pip install {one.distribution}"
            print(f"{one.library} is not installed: {advice}", file=sys.stderr)
    found = audit(every, options.workers, options.replicates, lambda e: print(line(e), flush=True))
    right = sum(entry.as_claimed for entry in found)
    print(f"{len(found)} functions, {right} are what they claim")
    today = date.today()
    if options.output:
        write_file(options.output, machine_readable(found, today).encode())
    if options.page:
        write_file(options.page, page(found, every, today).encode())
    return OK
