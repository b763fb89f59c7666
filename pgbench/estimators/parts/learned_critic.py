"""Critics learned from sampled trajectories by temporal differences, least squares or averages."""

from typing import Annotated, Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Choice, Range
from pgbench.exact.truth import Truth
from pgbench.policies import NotApplicable
from pgbench.process.batch import Batch, QuadraticBatch
from pgbench.rollout.simulator import Simulator

Data = Annotated[
    str,
    Choice(("independent", "same")),
    "what the critic learns from: trajectories of its own, charged, or those it is applied to",
]
Episodes = Annotated[int, Range(1), "trajectories that an independent critic learns from"]
Step = Annotated[float, Range(0), "step size of temporal-difference learning, constant"]

LARGEST = 200
"""Number of features up to which least squares are solved."""

RIDGE = 1e-3
"""Added to the diagonal of least-squares systems, for few steps do not determine w."""


def training_data(simulator: Simulator, data: str, episodes: int) -> Any:
    """What a critic learns from; steps of its own trajectories are charged."""
    return simulator.batch() if data == "same" else simulator.batch("critic", n=episodes)


def following_pairs(batch: Batch) -> np.ndarray:
    """What SARSA bootstraps from, (m, n, T): pair s_{t+1}, a_{t+1}; marks where there is none."""
    from pgbench.kernels.critics import LEFT_OUT, NOTHING

    after = np.full(batch.shape, LEFT_OUT)
    after[:, :, :-1] = np.where(batch.mask[:, :, 1:], batch.pairs[:, :, 1:], LEFT_OUT)
    return np.where(batch.process.mdp.terminal[batch.successors], NOTHING, after)


def sarsa(batch: Batch, phi: FloatArray | None, step: float) -> FloatArray:
    """Q_w (m, S, A) after SARSA(0) along all trajectories, begun at zero.

    phi (S, A, k) are the features of a linear critic, or None for a table. The last step of a
    rollout that was cut off has no next action and is left out.
    """
    from pgbench.kernels import critics

    process = batch.process
    steps = batch.pairs, following_pairs(batch), batch.rewards, batch.lengths
    m, gamma = batch.shape[0], process.mdp.gamma
    if phi is None:
        shape = process.mdp.n_states, process.mdp.n_actions
        q = np.zeros((m, shape[0] * shape[1]))
        critics.tabular(*steps, gamma, step, q)
        return q.reshape(m, *shape)
    w = np.zeros((m, phi.shape[2]))
    critics.linear(*steps, phi.reshape(-1, phi.shape[2]), gamma, step, w)
    return np.asarray(np.einsum("sak,mk->msa", phi, w), np.float64)


def lstd(batch: Batch, truth: Truth, phi: FloatArray) -> FloatArray:
    """Q_w (m, S, A) with Σ φ (r + γ φ'·w - φ·w) = 0 over all steps, LSTD-Q with SARSA's pairs."""
    from pgbench.kernels.critics import LEFT_OUT

    k, gamma = phi.shape[2], truth.mdp.gamma
    if k > LARGEST:
        raise NotApplicable(f"least squares take at most {LARGEST} features, not {k}")
    flat, after = phi.reshape(-1, k), following_pairs(batch)
    m = batch.shape[0]
    A, b = np.tile(RIDGE * np.eye(k), (m, 1, 1)), np.zeros((m, k))
    for t in range(batch.shape[2]):
        used = (batch.mask[:, :, t] & (after[:, :, t] != LEFT_OUT))[:, :, None]
        own = np.where(used, flat[batch.pairs[:, :, t]], 0.0)
        later = np.where(after[:, :, t, None] >= 0, flat[after[:, :, t]], 0.0)
        A += own.swapaxes(1, 2) @ (own - gamma * later)
        b += np.einsum("mnk,mn->mk", own, batch.rewards[:, :, t])
    w = np.linalg.solve(A, b[:, :, None])[:, :, 0]
    return np.asarray(np.einsum("sak,mk->msa", phi, w), np.float64)


def quadratic_lstd(batch: QuadraticBatch) -> FloatArray:
    """Symmetric M (m, p, p) of Q_w(z) = zᵀMz, by LSTD-Q with all monomials of z as features.

    The last step of a rollout has no next action and is left out.
    """
    m, _, _ = batch.shape
    p = batch.z.shape[3]
    rows, columns = np.triu_indices(p)
    k = rows.size
    if k > LARGEST:
        raise NotApplicable(
            f"least squares take at most {LARGEST} features; there are {k} monomials of state and"
            " action"
        )
    pairs = batch.z[:, :, :-1, rows] * batch.z[:, :, :-1, columns]
    own = pairs[:, :, :-1].reshape(m, -1, k)
    later = pairs[:, :, 1:].reshape(m, -1, k)
    rewards = batch.rewards[:, :, :-1].reshape(m, -1, 1)
    A = RIDGE * np.eye(k) + own.swapaxes(1, 2) @ (own - batch.process.mdp.gamma * later)
    w = np.linalg.solve(A, own.swapaxes(1, 2) @ rewards)[:, :, 0]
    M = np.zeros((m, p, p))
    M[:, rows, columns] += w / 2
    M[:, columns, rows] += w / 2
    return M


def temporal_difference(batch: Batch, step: float) -> FloatArray:
    """V (m, S) after TD(0) along all trajectories, begun at zero."""
    from pgbench.kernels import critics

    mdp = batch.process.mdp
    after = np.where(mdp.terminal[batch.successors], critics.NOTHING, batch.successors)
    v = np.zeros((batch.shape[0], mdp.n_states))
    critics.tabular(batch.states, after, batch.rewards, batch.lengths, mdp.gamma, step, v)
    return v


def average_returns(batch: Batch) -> FloatArray:
    """V (m, S), the mean reward-to-go over all visits; 0 where there was none."""
    visits = batch.state_tables(1.0)
    total = batch.state_tables(batch.to_go)
    return np.divide(total, visits, out=np.zeros_like(total), where=visits > 0)
