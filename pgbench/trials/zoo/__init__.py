"""The bug zoo: estimators that are wrong on purpose, to see whether our tests find them.

Nothing here is an estimator to use. Each record says what is wrong, where that was seen, and which
correct estimator it takes itself for.
"""

from pgbench.declared.registry import discover, find
from pgbench.trials.zoo.bug import Bug

__all__ = ["Bug", "bugs", "find_bug"]


def bugs() -> dict[str, Bug]:
    """Every bug by name."""
    return discover(__name__, Bug)


def find_bug(name: str) -> Bug:
    """The bug of that name; ValueError for an unknown one."""
    return find("bug", bugs(), name)
