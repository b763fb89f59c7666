"""Small linear-quadratic settings, and all of their trajectories by quadrature.

Estimates over few steps are polynomials of the noise, so Gauss-Hermite nodes with their weights are
as good as a list of all trajectories: moments over them are exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pgbench.exact import evaluate
from pgbench.exact.linear_quadratic.polynomials import nodes
from pgbench.policies import make_policy
from pgbench.problems import LinearQuadratic, make_problem
from pgbench.process.batch import QuadraticBatch
from pgbench.process.tables import Forms


def scalar(**given: Any) -> LinearQuadratic:
    """A scalar problem none of whose numbers is special."""
    return LinearQuadratic(
        **{
            "A": 0.9, "B": 1.3, "Q": 0.7, "R": 0.4, "noise": 0.6, "start_mean": [0.5],
            "start_covariance": 0.8, "gamma": 0.9, **given,
        }
    )  # fmt: skip


def plane() -> LinearQuadratic:
    """Two states, one action, one noise; costs with cross terms."""
    return LinearQuadratic(
        A=[[1.0, 0.3], [-0.2, 0.8]],
        B=[[0.1], [0.5]],
        Q=[[1.0, 0.2], [0.2, 0.5]],
        R=0.3,
        noise=[[0.0, 0.0], [0.0, 0.4]],
        start_mean=[0.3, -0.2],
        start_covariance=[[0.5, 0.1], [0.1, 0.3]],
        gamma=0.85,
    )


SETTINGS: dict[str, tuple[Callable[[], LinearQuadratic], dict[str, Any], list[float], int]] = {
    "scalar": (scalar, {}, [-0.4, 0.5], 2),
    "affine": (scalar, {"mean": "affine", "scale": "log_std"}, [-0.4, 0.3, -0.2], 2),
    "plane": (plane, {"mean": "affine"}, [-0.3, -0.6, 0.2, 0.7], 1),
}
"""Problem, policy, θ, and a number of steps whose nodes can all be listed."""


@dataclass(frozen=True)
class Listed:
    """Every trajectory of a setting as a replicate of its own, with its weight."""

    batch: QuadraticBatch
    weights: np.ndarray

    def moments(self, estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (d,) of estimates (N, d)."""
        mean = self.weights @ estimates
        return mean, self.weights @ (estimates - mean) ** 2


def every_path(truth: Any, steps: int, process: Any = None, every: int | None = None) -> Listed:
    """All trajectories of so many steps; ``every`` nodes per noise in place of the usual ones."""
    process = process or truth.process
    mdp, law, target = process.mdp, process.pi, process.target
    F, F0 = mdp.noise_factor, mdp.start_factor
    sizes = [F0.shape[1]] + [mdp.m, F.shape[1]] * steps
    if every is None:
        points, weights = nodes(sum(sizes))
    else:
        x, w = np.polynomial.hermite_e.hermegauss(every)
        grid = np.meshgrid(*[x] * sum(sizes), indexing="ij")
        points = np.stack(grid, axis=-1).reshape(-1, sum(sizes))
        parts = np.meshgrid(*[w / w.sum()] * sum(sizes), indexing="ij")
        weights = np.prod(np.stack(parts, axis=-1), axis=-1).ravel()
    drawn = np.split(points, np.cumsum(sizes)[:-1], axis=1)
    N, n, m = len(points), mdp.n, mdp.m
    z, e = np.zeros((N, 1, steps + 1, n + 1 + m)), np.empty((N, 1, steps, m))
    ratios = np.ones((N, 1, steps))
    z[..., n] = 1.0
    z[:, 0, 0, :n] = mdp.start_mean + drawn[0] @ F0.T
    for t in range(steps):
        own = drawn[1 + 2 * t] @ law.factor.T
        e[:, 0, t] = own
        z[:, 0, t, n + 1 :] = z[:, 0, t, : n + 1] @ law.gain.T + own
        noise = drawn[2 + 2 * t] @ F.T
        x, u = z[:, 0, t, :n], z[:, 0, t, n + 1 :]
        z[:, 0, t + 1, :n] = x @ mdp.A.T + u @ mdp.B.T + noise
        ratios[:, 0, t] = density(own, target) / density(own, law)
    return Listed(QuadraticBatch(process, z, e, ratios), weights)


def density(e: np.ndarray, law: Any) -> np.ndarray:
    """Of e (N, m) under N(0, Σ)."""
    S = law.covariance
    square = np.einsum("ni,ij,nj->n", e, np.linalg.inv(S), e)
    return np.exp(-square / 2) / np.sqrt(np.linalg.det(2 * np.pi * S))


def by_definition(forms: Forms, batch: QuadraticBatch, truth: Any) -> np.ndarray:
    """Estimates (m, n, d) of single trajectories, from the definition of an estimator by forms."""
    T = batch.shape[2]
    sigma = batch.at(forms.sigma) + batch.next_value(forms.after)
    ratio = batch.ratios if forms.process.weighed else np.ones(batch.shape)
    y, later = np.zeros(batch.shape), 0.0
    for t in reversed(range(T)):
        later = y[:, :, t] = ratio[:, :, t] * (sigma[:, :, t] + forms.kappa * later)
    psi = truth.policy.scores(truth.theta, batch.lifted, batch.noise)
    beta = batch.at(forms.beta)
    if forms.total:
        weight = np.repeat((y - beta)[:, :, :1], T, axis=2)
    else:
        carry = np.ones(batch.shape)
        for t in range(1, T):
            carry[:, :, t] = carry[:, :, t - 1] * forms.delta * ratio[:, :, t - 1]
        weight = carry * (y - beta)
    return (weight[..., None] * psi).sum(axis=2)


@dataclass(frozen=True)
class Setting:
    """Exact quantities, and the steps whose nodes are listed."""

    truth: Any
    steps: int


def make_setting(name: str) -> Setting:
    """A setting by name."""
    make, given, theta, steps = SETTINGS[name]
    mdp = make()
    policy = make_policy("gaussian", mdp, **given)
    return Setting(evaluate(mdp, policy, theta), steps)


VECTORS = {
    "plane": plane,
    "random": lambda: make_problem("lqg_random", n=4, m=2, seed=1),
    "large": lambda: make_problem("lqg_random", n=12, m=3, seed=2),
    "chain": lambda: make_problem("lqg_chain", masses=3, step=0.2),
    "scalar": scalar,
}
"""Problems of several sizes."""

PARAMETERS = [
    {"mean": mean, "covariance": covariance, "scale": scale}
    for mean in ("linear", "affine")
    for covariance in ("diagonal", "full")
    for scale in ("variance", "log_std")
]
"""Every parameterisation of the Gaussian policy."""


def unlike_zero(policy: Any) -> np.ndarray:
    """θ with no special values: gains drawn, and a covariance that is not diagonal."""
    theta = policy.initial(seed=3, scale=0.3)
    rng = np.random.default_rng(4)
    theta[policy.n_means :] += 0.2 * rng.random(policy.n_parameters - policy.n_means)
    return theta
