"""``python -m pgbench``."""

import sys

from pgbench.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
