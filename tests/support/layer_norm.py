"""A residual block with layer norm: in both libraries, and written out once more."""

import numpy as np

WIDTH = 4

TORCH = f"""
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, n_features, n_actions):
        super().__init__()
        self.first = nn.Linear(n_features, {WIDTH})
        self.norm = nn.LayerNorm({WIDTH})
        self.second = nn.Linear({WIDTH}, {WIDTH})
        self.last = nn.Linear({WIDTH}, n_actions)

    def forward(self, x):
        h = self.first(x)
        return self.last(h + torch.tanh(self.second(self.norm(h))))
"""

JAX = f'''
import jax
import jax.numpy as jnp


class Block:
    """Leaves in the order of the module in PyTorch, whose weights are (outputs, inputs)."""

    @staticmethod
    def init(key, n_features, n_actions):
        keys = jax.random.split(key, 3)
        first, second, last = (
            (jax.random.normal(k, (m, n)) / n**0.5, jnp.zeros(m))
            for k, (n, m) in zip(
                keys, [(n_features, {WIDTH}), ({WIDTH}, {WIDTH}), ({WIDTH}, n_actions)]
            )
        )
        return [first, (jnp.ones({WIDTH}), jnp.zeros({WIDTH})), second, last]

    @staticmethod
    def apply(layers, x):
        (A, a), (g, c), (B, b), (C, d) = layers
        h = x @ A.T + a
        centred = h - h.mean(axis=-1, keepdims=True)
        normal = centred / jnp.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
        return (h + jnp.tanh((normal * g + c) @ B.T + b)) @ C.T + d
'''


def logits(theta, x, n_actions):
    """What the block makes of rows of features, in the precision of θ."""
    x, begin = x.astype(theta.dtype), 0

    def taken(*shape):
        nonlocal begin
        begin += int(np.prod(shape))
        return theta[begin - int(np.prod(shape)) : begin].reshape(shape)

    h = x @ taken(WIDTH, x.shape[1]).T + taken(WIDTH)
    centred = h - h.mean(axis=-1, keepdims=True)
    spread = (centred**2).mean(axis=-1, keepdims=True) + theta.dtype.type("1e-5")
    normal = centred / np.sqrt(spread) * taken(WIDTH) + taken(WIDTH)
    h = h + np.tanh(normal @ taken(WIDTH, WIDTH).T + taken(WIDTH))
    return h @ taken(n_actions, WIDTH).T + taken(n_actions)


def log_probabilities(theta, x, n_actions):
    """log π (S, A), in the precision of θ."""
    z = logits(theta, x, n_actions)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
