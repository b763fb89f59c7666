"""The probability of a trajectory, P(τ) = μ0(s_0) Π_t π(s_t, a_t) P(s_{t+1} | s_t, a_t)."""

import numpy as np
from numpy.typing import ArrayLike

from pgbench.arrays import FloatArray, IndexArray
from pgbench.exact.truth import Truth


def log_probability(truth: Truth, states: ArrayLike, actions: ArrayLike) -> FloatArray:
    """log P(τ) under the truth's policy, -inf for a trajectory that cannot happen.

    Parameters
    ----------
    truth
        Problem, policy and θ; its horizon plays no part.
    states
        (..., T + 1) int, states s_0, ..., s_T. No step is taken from a terminal state.
    actions
        (..., T) int, actions a_0, ..., a_{T-1}.

    Returns
    -------
    array
        (...) float64.

    Raises
    ------
    ValueError
        If the shapes do not fit, or an entry is not a state or an action of the problem.
    """
    mdp = truth.mdp
    s, a = _indices("states", states, mdp.n_states), _indices("actions", actions, mdp.n_actions)
    if s.ndim == 0 or a.ndim == 0 or s.shape != (*a.shape[:-1], a.shape[-1] + 1):
        raise ValueError(
            f"states has shape {s.shape} and actions {a.shape},"
            " must be (..., T + 1) and (..., T) with the same leading sizes"
        )
    before, after = s[..., :-1], s[..., 1:]
    arrives = mdp.successor[before, a] == after[..., None]
    moves = (mdp.probability[before, a] * arrives).sum(axis=-1)
    moves = np.where(mdp.terminal[before], 0.0, moves)
    with np.errstate(divide="ignore"):
        steps = np.log(truth.pi[before, a]) + np.log(moves)
        return np.asarray(np.log(mdp.mu0[s[..., 0]]) + steps.sum(axis=-1))


def _indices(name: str, values: ArrayLike, size: int) -> IndexArray:
    array = np.asarray(values)
    if array.size == 0:
        return array.astype(np.intp)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} holds {array.dtype}, must hold integers")
    bad = np.argwhere((array < 0) | (array >= size))
    if bad.size:
        place = tuple(int(i) for i in bad[0])
        raise ValueError(f"{name}{list(place)} is {array[place]}, must be in [0, {size - 1}]")
    return array.astype(np.intp)
