"""The same in JAX: compiled once for every shape, in single precision as JAX has it by default.

python -m pgbench test examples/jax_grad.py
"""

import jax
import jax.numpy as jnp


def surrogate(theta, features, states, actions, rewards, mask, gamma):
    """(1/N) Σ_n Σ_t γ^t Q̂_t log π_θ(a_t|s_t), a number; Q̂_t is a constant."""
    N, T = rewards.shape

    def backward(later, reward):
        to_go = reward + gamma * later
        return to_go, to_go

    _, to_go = jax.lax.scan(backward, jnp.zeros(N), rewards.T, reverse=True)
    log_pi = jax.nn.log_softmax(features @ theta, axis=1)
    discounts = gamma ** jnp.arange(T)
    return jnp.sum(discounts * to_go.T * log_pi[states, actions] * mask) / N


gradient = jax.jit(jax.grad(surrogate))


def estimate(batch):
    """The gradient of the surrogate in θ; shape (d,)."""
    return gradient(
        batch.theta, batch.features, batch.states, batch.actions, batch.rewards, batch.mask,
        batch.gamma,
    )  # fmt: skip
