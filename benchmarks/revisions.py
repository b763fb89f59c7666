"""What benchmarks measure stands elsewhere in older revisions, on which asv runs them too."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pgbench

ROOT = Path(pgbench.__file__).parent


def find(*places: str) -> Any:
    """What stands at the first of these places of the package that the installed revision has.

    Places are dotted, such as ``measure.sums.Sums``, the newest first.
    """
    for place in places:
        module, _, name = place.rpartition(".")
        path = ROOT.joinpath(*module.split("."))
        if path.with_suffix(".py").exists() or (path / "__init__.py").exists():
            home = import_module(f"pgbench.{module}")
            if hasattr(home, name):
                return getattr(home, name)
    raise LookupError(f"this revision has none of {', '.join(places)}")
