"""Samplers: what draws the actions of the data in place of the policy that learns from them."""

from typing import Any

from pgbench.declared.registry import discover, find
from pgbench.exact.truth import Truth
from pgbench.samplers.sampler import ON_POLICY, Drawn, Sampler

__all__ = ["ON_POLICY", "Drawn", "Sampler", "sampled", "samplers"]


def samplers() -> dict[str, Sampler]:
    """Every sampler by name."""
    return discover(__name__, Sampler)


def sampled(truth: Truth, name: str, **parameters: Any) -> Any:
    """A truth with data from a sampler by name, e.g. ``sampled(truth, "temperature", value=2)``.

    Estimators are then worked out and simulated on these data, and still held to ∇J of the policy.
    Raises ValueError for an unknown name or wrong parameters, NotApplicable for another class of
    problems.
    """
    return find("sampler", samplers(), name).sampled(truth, **parameters)
