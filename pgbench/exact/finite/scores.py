"""Norms, sums and columns of scores, without the table of all scores."""

from collections.abc import Iterator

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.policies import Policy

NUMBERS_AT_A_TIME = 2**22
"""As many states are taken at a time as make about this many numbers, 32 MiB."""

STATES_AT_A_TIME = 64
"""Most states taken at a time: their weights grow with the square of the number."""


def squared_norms(policy: Policy, theta: FloatArray) -> FloatArray:
    """‖ψ(s, a)‖² (S, A), for any policy and any number of states."""
    local = policy.local_scores(theta)
    if local is not None:
        return np.asarray((local**2).sum(axis=2), np.float64)
    S, A = policy.shape
    units = np.broadcast_to(np.eye(A), (S, A, A))
    parts = [(psi**2).sum(axis=2) for psi in _pulled(policy, theta, units)]
    return np.concatenate(parts)


def state_gradients(policy: Policy, theta: FloatArray, weights: FloatArray) -> FloatArray:
    """Σ_a W(s,a) ψ(s,a) of every state, (S, d), from W (S, A)."""
    return np.concatenate([rows[:, 0] for rows in _pulled(policy, theta, weights[:, None])])


def score_columns(policy: Policy, theta: FloatArray, width: int) -> Iterator[FloatArray]:
    """Scores of all pairs (S·A, c) by coordinates of θ, ``width`` of them at a time."""
    d = policy.n_parameters
    for begin in range(0, d, width):
        units = np.eye(min(width, d - begin), d, begin)
        yield policy.push_forwards(theta, units).reshape(len(units), -1).T


def _pulled(policy: Policy, theta: FloatArray, rows: FloatArray) -> Iterator[FloatArray]:
    """Pull-backs (c, r, d) of the rows of weights (S, r, A) of each state, c states at a time."""
    S, r, _ = rows.shape
    c = min(max(1, NUMBERS_AT_A_TIME // (r * policy.n_parameters)), S, STATES_AT_A_TIME)
    for begin in range(0, S, c):
        own = rows[begin : begin + c]
        states = np.arange(begin, begin + len(own))
        weights = own[:, :, None] * np.eye(len(own))[:, None, :, None]
        yield policy.pull_back(theta, weights, states)
