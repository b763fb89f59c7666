"""Values and transitions on the nodes of a grid, for every number of steps to go and for no end."""

from dataclasses import dataclass

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.trials.continuous.quadrature import Grid


@dataclass(frozen=True, eq=False)
class Tables:
    """What follows from a state, or a state and an action, on the nodes.

    Attributes
    ----------
    P, earned
        (n, n) float64, probabilities of the next state, not terminal, and E_u[r 1{x'}] alike.
    v
        (H+1, n) float64, V with 0, ..., H steps to go.
    q
        (H, n, m) float64, Q with 1, ..., H steps to go.
    v_endless, q_endless
        (n,) and (n, m) float64, the same over an endless horizon.
    """

    P: FloatArray
    earned: FloatArray
    v: FloatArray
    q: FloatArray
    v_endless: FloatArray
    q_endless: FloatArray


def solved(grid: Grid, horizon: int) -> Tables:
    """Tables of a system under a policy, by recursion and, V = E_u r + γPV, by elimination."""
    system, x = grid.system, grid.x[:, None]
    landing, reward = grid.landing(system.drift(x, grid.e)), system.reward(x, grid.e)
    P, earned = np.moveaxis(np.stack([grid.chances, grid.chances * reward], 1) @ landing, 1, 0)
    v, q = [np.zeros(len(P))], []
    for _ in range(horizon):
        q.append(reward + system.gamma * (landing @ v[-1]))
        v.append((grid.chances * q[-1]).sum(axis=1))
    endless = np.linalg.solve(np.eye(len(P)) - system.gamma * P, v[1])
    return Tables(
        P=P,
        earned=earned,
        v=np.stack(v),
        q=np.stack(q),
        v_endless=np.asarray(endless, np.float64),
        q_endless=reward + system.gamma * (landing @ endless),
    )
