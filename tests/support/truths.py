"""Small policies of every kind, and what is exact of them on tiny problems."""

from functools import cache
from typing import Any

import pytest

from pgbench.exact import Truth
from pgbench.objectives import Objective, make_objective
from pgbench.policies import Policy, kinds, make_policy
from pgbench.problems import FiniteMDP

from .problems import TINY

KINDS = [
    name
    for name, kind in kinds().items()
    if kind.on is FiniteMDP and not any(p.required for p in kind.parameters.values())
]
"""Kinds of policy for finite problems, but for those that are files of users."""

TWO_KINDS = ["softmax", "loglinear"]
"""One kind that is a table, and one that shares parameters."""

WEIGHTS_OF = pytest.mark.parametrize("kind", TWO_KINDS)
"""Weights know of a policy only π, so that two kinds are enough."""

SMALL: dict[str, dict[str, Any]] = {"neural": {"hidden": 3}}
"""Parameters that keep a kind of policy small."""


def make_kind(kind: str, mdp: FiniteMDP) -> Policy:
    """A small policy of a kind."""
    return make_policy(kind, mdp, **SMALL.get(kind, {}))


PENALISED: dict[str, dict[str, Any]] = {"kl": {"beta": 0.5}, "entropy": {"alpha": 0.3}}
"""Objectives with a penalty that counts."""


@cache
def tiny_objective(problem: str, kind: str, name: str = "J") -> Objective:
    """An objective of small policies on a tiny problem."""
    mdp = TINY[problem][0]()
    return make_objective(name, mdp, make_kind(kind, mdp), **PENALISED.get(name, {}))


@cache
def tiny_truth(problem: str, kind: str, objective: str = "J") -> Truth:
    """Exact quantities of a tiny problem at a random θ."""
    made = tiny_objective(problem, kind, objective)
    return made.truth(made.policy.initial(seed=3, scale=0.5))
