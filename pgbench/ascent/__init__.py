"""Ascent: what estimators do when they are followed, θ ← θ + α ĝ."""

from pgbench.ascent.algorithm import Algorithm, StepSize
from pgbench.declared.registry import discover

__all__ = ["Algorithm", "StepSize", "algorithms", "step_sizes"]


def algorithms() -> dict[str, Algorithm]:
    """Every algorithm by name."""
    return discover("pgbench.ascent.methods", Algorithm)


def step_sizes() -> dict[str, StepSize]:
    """Every rule for step sizes by name."""
    return discover("pgbench.ascent", StepSize)
