"""``python -m pgbench``."""

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Where nothing has begun, or all is done, ^C just ends the process. First of all, therefore.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import sys
from collections.abc import Sequence

from pgbench.cli.exit_codes import INTERRUPTED
from pgbench.cli.streams import delivered, take_streams
from pgbench.harness.signals import stoppable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    try:
        with stoppable() as stop:
            try:
                # Here, so that what takes a second to load can be interrupted.
                from pgbench.cli.commands import main as run

                return run(arguments)
            except Exception as error:
                # What is being loaded may make an error of its own of an interruption.
                if stop.asked:
                    raise KeyboardInterrupt from error
                raise
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def process() -> int:
    """Run the command of this process; its exit code when all is printed."""
    take_streams()
    try:
        return delivered(main())
    except SystemExit as end:  # --help, or words that are no command
        return delivered(int(end.code or 0))


if __name__ == "__main__":
    sys.exit(process())
