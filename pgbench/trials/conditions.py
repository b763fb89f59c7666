"""Where a bias shows: the condition on a problem that tells where it was seen from where not."""

from collections.abc import Sequence

import numpy as np

from pgbench.trials.case import Case
from pgbench.trials.findings import Finding, decided

TRAITS: dict[str, str] = {
    "applied": "where the environment does not see actions as they are drawn",
    "ends": "where episodes end in a terminal state",
    "goes on": "where episodes never end",
    "cut": "where rollouts are cut before the discount has worn off",
    "shared": "where states share parameters",
    "tabular": "where no parameters are shared",
    "undiscounted": "where γ = 1",
    "discounted": "where γ < 1",
    "steps": "where there is more than one step",
    "discounted steps": "where there is more than one step and γ < 1",
    "one step": "where there is only one step",
}
"""Conditions by name, in words."""


def traits(case: Case) -> set[str]:
    """The conditions that a case is an example of."""
    gamma, steps = case.gamma, case.horizon > 1
    gap = np.linalg.norm(case.finite - case.endless)
    found = {
        "ends": case.ends and steps,
        "goes on": not case.ends,
        "cut": float(gap) > 0.02 * float(np.linalg.norm(case.endless)),
        "shared": case.shared,
        "undiscounted": gamma == 1 and steps,
        "discounted": gamma < 1,
        "steps": steps,
        "discounted steps": gamma < 1 and steps,
        "one step": not steps,
    }
    found["tabular"] = not found["shared"]
    return {name for name, holds in found.items() if holds} | case.traits


def where(found: Sequence[Finding]) -> str:
    """Where a bias shows, in words.

    A condition is named only from problems where the bias was seen and problems where one of that
    size is excluded, and only if every condition that fits these says the same of the others.
    """
    seen, free, left = decided(found)
    listed = ", ".join(case.name for case in seen)
    if not free and not left:
        return "on every problem"
    rest = _elsewhere(found, free)
    exact = {frozenset(_named(left, t)): t for t in reversed(TRAITS) if _fits(t, seen, free)}
    if free and len(exact) == 1:
        (words,) = (TRAITS[trait] for trait in exact.values())
        if left:
            return f"{words}, as far as can be told: on {listed}{rest}"
        return f"exactly {words}: on {listed}{rest}"
    for trait, words in TRAITS.items():
        missing = _named(free, trait)
        if not left and len(seen) > 1 and _covers(trait, seen) and len(missing) == 1 < len(free):
            return f"only {words}: on {listed}, not on {', '.join(missing)}{rest}"
    return f"on {listed}"


def _elsewhere(found: Sequence[Finding], free: Sequence[Case]) -> str:
    """The size above which a bias is excluded where none was seen, if that is not 0."""
    names = {case.name for case in free}
    size = max((finding.size for finding in found if finding.case.name in names), default=0.0)
    return f" (elsewhere at most {100 * size:.2g} %)" if size > 1e-6 else ""


def _named(some: Sequence[Case], trait: str) -> list[str]:
    return [case.name for case in some if trait in traits(case)]


def _covers(trait: str, seen: Sequence[Case]) -> bool:
    return all(trait in traits(case) for case in seen)


def _fits(trait: str, seen: Sequence[Case], free: Sequence[Case]) -> bool:
    return _covers(trait, seen) and not _named(free, trait)
