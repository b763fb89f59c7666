"""JAX: one jitted function, a scan over the steps of a batch of trajectories and one back."""

import numpy as np

from benchmarks.peers.contender import Contender

BATCH = 16384


def batch(workload, n):
    """A function of a key: the sum (S·A,) over n trajectories, still where JAX computed it.

    Inverse cumulative tables and a scatter, in JAX's defaults: float32 and threefry keys.
    """
    import jax
    import jax.numpy as jnp

    n_states, n_actions = workload.pi.shape
    n_slots = workload.mdp.branching
    # All thresholds but the last, which is always 1.
    action_cdf = jnp.asarray(workload.action_cdf[:, :-1], jnp.float32)
    slot_cdf = jnp.asarray(workload.slot_cdf[:, :-1], jnp.float32)
    successor = jnp.asarray(workload.successor)
    reward = jnp.asarray(workload.reward, jnp.float32)
    discounts = jnp.asarray(workload.discounts, jnp.float32)

    def draw(cdf, u):
        return (u[:, None] >= cdf).sum(axis=1, dtype=jnp.int32)

    def step(state, key):
        u = jax.random.uniform(key, (2, n))
        pair = state * n_actions + draw(action_cdf[state], u[0])
        slot = pair * n_slots + draw(slot_cdf[pair], u[1])
        return successor[slot], (pair, reward[slot])

    def back(carry, visit):
        weights, to_go = carry
        pair, discounted = visit
        to_go += discounted
        return (weights.at[pair].add(to_go), to_go), None

    @jax.jit
    def run(key):
        first, rest = jax.random.split(key)
        state = jax.random.randint(first, (n,), 0, n_states)
        _, (pair, rewards) = jax.lax.scan(step, state, jax.random.split(rest, workload.horizon))
        start = jnp.zeros(n_states * n_actions), jnp.zeros(n)
        visits = pair, rewards * discounts[:, None]
        (weights, _), _ = jax.lax.scan(back, start, visits, reverse=True)
        return weights

    return run


def make(workload):
    """Sums over batches of 16 384 trajectories."""
    import jax

    one = batch(workload, BATCH)

    def run(n, seed):
        keys = jax.random.split(jax.random.key(seed), n // BATCH)
        return np.asarray(sum(map(one, keys)), np.float64).reshape(workload.pi.shape)

    return run


contender = Contender(
    "jax", "JAX, jit and scan", make, batch=BATCH, threads=(1, 2), packages=("jax",)
)
