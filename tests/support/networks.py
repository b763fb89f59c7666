"""Networks: in NumPy for what needs no library, and twins in PyTorch and JAX as files of users."""

import numpy as np

from pgbench.policies.network import Network, Outputs


class Perceptron(Outputs):
    """tanh(x W) V, θ holding W (f, h) and V (h, o) row by row, with derivatives by hand."""

    name = "perceptron"

    def __init__(self, n_features, n_outputs, width=3):
        self.sizes = n_features, width, n_outputs

    @property
    def n_parameters(self):
        f, h, o = self.sizes
        return f * h + h * o

    def _matrices(self, theta):
        f, h, o = self.sizes
        return theta[: f * h].reshape(f, h), theta[f * h :].reshape(h, o)

    def at(self, thetas, rows):
        pairs = (self._matrices(theta) for theta in thetas)
        return np.stack([np.tanh(rows @ W) @ V for W, V in pairs])

    def jacobian(self, theta, rows):
        W, V = self._matrices(theta)
        h, (n, o) = np.tanh(rows @ W), (len(rows), V.shape[1])
        by_W = np.einsum("nf,nh,ho->nofh", rows, 1 - h**2, V).reshape(n, o, -1)
        by_V = np.einsum("nh,op->nohp", h, np.eye(o)).reshape(n, o, -1)
        return np.concatenate([by_W, by_V], axis=2)

    def pull_back(self, theta, rows, weights):
        return np.tensordot(weights, self.jacobian(theta, rows), axes=2)

    def each_pull_back(self, thetas, rows, weights):
        pairs = zip(thetas, weights, strict=True)
        return np.stack([self.pull_back(theta, rows, W[None])[0] for theta, W in pairs])

    def each_push_forward(self, thetas, rows, directions):
        pairs = zip(thetas, directions, strict=True)
        return np.stack([self.jacobian(theta, rows) @ v for theta, v in pairs])

    def initial(self, seed):
        return np.random.default_rng(seed).standard_normal(self.n_parameters)


def perceptron(inputs, n_actions, allowed=None, kind=Perceptron, width=3):
    """A policy of features of states (S, n), or of pairs (S, A, n)."""
    n_outputs = 1 if inputs.ndim == 3 else n_actions
    return Network(kind(inputs.shape[-1], n_outputs, width), inputs, n_actions, allowed)


TORCH = '''
"""A perceptron whose parameters are in the order of the policy ``neural``."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, n_features, n_actions, widths=(32, 32)):
        super().__init__()
        sizes = (n_features, *widths, n_actions)
        self.depth = len(sizes) - 1
        for i, (n, m) in enumerate(zip(sizes, sizes[1:])):
            self.register_parameter(f"W{i}", nn.Parameter(torch.randn(n, m) / n**0.5))
            self.register_parameter(f"b{i}", nn.Parameter(torch.zeros(m)))

    def forward(self, x):
        for i in range(self.depth):
            x = (torch.tanh(x) if i else x) @ getattr(self, f"W{i}") + getattr(self, f"b{i}")
        return x
'''

JAX = '''
"""The same in JAX."""

import jax
import jax.numpy as jnp


def init(key, n_features, n_actions, widths=(32, 32)):
    sizes = (n_features, *widths, n_actions)
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        (jax.random.normal(k, (n, m)) / n**0.5, jnp.zeros(m))
        for k, n, m in zip(keys, sizes, sizes[1:])
    ]


def apply(layers, x):
    for i, (W, b) in enumerate(layers):
        x = (jnp.tanh(x) if i else x) @ W + b
    return x


def net(widths=(32, 32)):
    return lambda *about: init(*about, widths=widths), apply
'''
