"""Eleven right estimators as users write them, and what one wrong line makes of each.

They say on which problems of their battery a mistake shows: see ``pgbench.trials.slips``.
"""

from pgbench.declared.registry import discover
from pgbench.trials.zoo.slips.slip import Slip, Written

__all__ = ["Slip", "Written", "written"]


def written() -> dict[str, Written]:
    """Every right estimator with its slips, by name."""
    return discover(__name__, Written)
