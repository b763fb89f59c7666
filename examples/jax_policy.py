"""A policy of your own in JAX: what makes parameters, and what makes logits of them and features.

In a grid, beside this file:

    policies: [{policy: jax, module: jax_policy.py:net}]
    theta: {init: own}              # what init makes; or {file: theta.npy}

A network of Flax, here called own, with as many outputs as there are actions, is the pair

    net = lambda key, n, actions: own.init(key, jnp.ones((1, n))), own.apply

python examples/jax_policy.py prints what is exact of it, and an ascent.
"""

import jax
import jax.numpy as jnp

WIDTH = 16


def init(key, n_features, n_actions):
    """The parameters, any pytree; they become float64 whatever they are made."""
    first, last = jax.random.split(key)
    return {
        "first": jax.random.normal(first, (n_features, WIDTH)) / n_features**0.5,
        "bias": jnp.zeros(WIDTH),
        "last": jax.random.normal(last, (WIDTH, n_actions)) / WIDTH**0.5,
    }


def apply(parameters, features):
    """Logits (states, n_actions) of features (states, n_features)."""
    return jax.nn.gelu(features @ parameters["first"] + parameters["bias"]) @ parameters["last"]


net = init, apply


if __name__ == "__main__":
    import pgbench as pg
    from pgbench.policies import jax_policy

    mdp = pg.make_problem("gridworld", size=4)
    policy = jax_policy(mdp, net)
    theta = policy.initial(seed=0, init="own")
    truth = pg.exact.evaluate(mdp, policy, theta)
    trace = pg.ascend(mdp, policy, theta, step_size=0.3, steps=100)
    print(f"d = {policy.n_parameters}, J = {truth.objective:.4f}")
    print(f"after 100 steps along the exact gradient {trace.objective[0, -1]:.4f}")
