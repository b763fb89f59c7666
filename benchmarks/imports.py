"""Start-up: time of imports in a fresh interpreter, and of the command line's help."""

import subprocess
import sys


class Imports:
    """Seconds in a fresh interpreter; what asv itself has imported does not count."""

    def timeraw_pgbench(self):
        """``import pgbench``, which loads nothing heavy."""
        return "import pgbench"

    def timeraw_sampling(self):
        """``import pgbench.sampling``, with numpy and scipy but without numba."""
        return "import pgbench.sampling"

    def timeraw_kernels(self):
        """``import pgbench.kernels.rollout``, with numba; nothing is compiled yet."""
        return "import pgbench.kernels.rollout"


class CommandLine:
    """Wall time of a command as a user sees it, start of the interpreter included."""

    number = 1

    def time_help(self):
        """Seconds for ``python -m pgbench --help``."""
        # -P: the installed package, whatever the working directory holds.
        subprocess.run(
            [sys.executable, "-P", "-m", "pgbench", "--help"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
