"""The program as it is called: ``python -m pgbench``, or ``pg-bench`` where it is installed."""

import sys
from pathlib import Path

SCRIPT = "pg-bench"


def called() -> list[str]:
    """Words that call the program in the way in which this process was called."""
    return [SCRIPT] if Path(sys.argv[0]).name == SCRIPT else ["python", "-m", "pgbench"]


def script() -> None:
    """Be ``python -m pgbench`` from its first line on, which says what an interruption does."""
    import runpy

    runpy.run_module("pgbench", run_name="__main__")
