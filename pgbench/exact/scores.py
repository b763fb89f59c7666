"""Norms of scores, without the table of all of them."""

import numpy as np
from numpy.typing import NDArray

from pgbench.policies import Policy

FloatArray = NDArray[np.float64]

HELD = 2**22
"""Scores are made of so many states at a time that they are about this many numbers, 32 MiB."""


def squared_norms(policy: Policy, theta: FloatArray) -> FloatArray:
    """‖ψ(s, a)‖² (S, A), for any policy and any number of states."""
    local = policy.local_scores(theta)
    if local is not None:
        return np.asarray((local**2).sum(axis=2), np.float64)
    S, A = policy.shape
    # The pull-back of c states at a time is that of c·A unit tables, c·A rows of d numbers each.
    c = min(max(1, HELD // (A * max(policy.n_parameters, A * A))), S, 64)
    norms = np.empty((S, A))
    for begin in range(0, S, c):
        states = np.arange(begin, min(begin + c, S))
        units = np.eye(states.size * A).reshape(-1, states.size, A)
        psi = policy.pull_back(theta, units, states)
        norms[states] = (psi**2).sum(axis=1).reshape(-1, A)
    return norms
