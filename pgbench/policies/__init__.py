"""Policies: differentiable families π_θ over finite states and actions, or over vectors."""

from typing import Any

from pgbench.declared.registry import discover, find
from pgbench.policies.direct import Direct
from pgbench.policies.gaussian import Gaussian
from pgbench.policies.jax_network import jax_policy
from pgbench.policies.loglinear import LogLinear
from pgbench.policies.network import Network
from pgbench.policies.neural import Neural
from pgbench.policies.policy import Parameterised, Policy, PolicyKind
from pgbench.policies.softmax import Softmax
from pgbench.policies.torch_network import torch_policy
from pgbench.problems import NotApplicable, Problem

__all__ = [
    "Direct",
    "Gaussian",
    "LogLinear",
    "Network",
    "Neural",
    "NotApplicable",
    "Parameterised",
    "Policy",
    "PolicyKind",
    "Softmax",
    "jax_policy",
    "kinds",
    "make_policy",
    "torch_policy",
]


def kinds() -> dict[str, PolicyKind]:
    """Every kind of policy by name."""
    return discover(__name__, PolicyKind)


def make_policy(name: str, mdp: Problem, **parameters: Any) -> Any:
    """A policy for a problem by name, e.g. ``make_policy("loglinear", mdp, n_features=8)``.

    Raises ValueError for an unknown name or for parameters the policy does not accept.
    """
    return find("policy", kinds(), name).make(mdp, **parameters)
