"""NumPy, vectorised over trajectories."""

import numpy as np

from benchmarks.peers.contender import Contender

BATCH = 1024


def make(workload):
    """Cumulative tables compared with uniforms, a batch of trajectories per step."""
    n_states, n_actions = workload.pi.shape
    n_slots = workload.mdp.branching
    action_cdf, slot_cdf = (
        # One contiguous column per threshold; the last is always 1.
        np.ascontiguousarray(table[:, :-1].T)
        for table in (workload.action_cdf, workload.slot_cdf)
    )
    pair = np.empty((workload.horizon, BATCH), np.int64)
    reward = np.empty((workload.horizon, BATCH))

    def batch(rng):
        state = rng.choice(n_states, size=BATCH)
        for t in range(workload.horizon):
            u = rng.random((2, BATCH))
            pair[t] = state * n_actions + _draw(action_cdf, state, u[0])
            slot = pair[t] * n_slots + _draw(slot_cdf, pair[t], u[1])
            reward[t] = workload.reward[slot]
            state = workload.successor[slot].astype(np.int64)
        discounted = reward * workload.discounts[:, None]
        to_go = np.cumsum(discounted[::-1], axis=0)[::-1]
        return np.bincount(pair.ravel(), to_go.ravel(), workload.pi.size)

    def run(n, seed):
        rng = np.random.default_rng(seed)
        return sum(batch(rng) for _ in range(n // BATCH)).reshape(workload.pi.shape)

    return run


def _draw(cdf, row, u):
    """Number of thresholds of each row that u has passed."""
    return sum((u >= column[row]).view(np.int8) for column in cdf)


contender = Contender("numpy", "NumPy, vectorised", make, batch=BATCH, largest=10**5)
