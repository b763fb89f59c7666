"""Slots, successors with probabilities and rewards, from arrays, sparse matrices or lists."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from pgbench.arrays import BoolArray, FloatArray
from pgbench.problems.absent import blanked, existing_actions
from pgbench.problems.checks import floats
from pgbench.problems.distribution import normalise
from pgbench.problems.problem import ProblemError, require_size

Slots = tuple[NDArray[np.int32], FloatArray, FloatArray]
"""Successor, probability and reward, (S, A, B) each."""

FORBIDDEN = "; if that action does not exist there, say so with allowed (S, A)"


def slots_from(
    P: ArrayLike | Sequence[Any],
    r: ArrayLike | Sequence[Any],
    terminal: ArrayLike | None,
    allowed: ArrayLike | None,
    named: Callable[[tuple[int, ...]], str] | None = None,
) -> tuple[Slots, BoolArray | None]:
    """Slots from dense arrays or a sparse matrix per action, and which actions exist (S, A).

    ``named`` says what messages call the row of a place (s, a), by default ``P[s, a]``.
    """
    if _is_sparse(P):
        exists = existing_actions("P", _row_sums(P), terminal, allowed)
        return _sparse_slots(P, r, terminal, exists, named), exists
    exists = existing_actions("P", P, terminal, allowed)
    return _dense_slots(P, r, terminal, exists, named), exists


def merge_slots(
    n_states: int,
    n_actions: int,
    outcomes: Mapping[tuple[int, int], list[tuple[float, int, float]]],
) -> Slots:
    """Slot arrays from lists of (probability, successor, reward) per (s, a).

    Outcomes with the same successor and reward are added up, those with probability 0 dropped.
    """
    merged: dict[tuple[int, int], dict[tuple[int, float], float]] = {}
    for pair, entries in outcomes.items():
        slots = merged.setdefault(pair, {})
        for p, successor, reward in entries:
            if p != 0:
                slots[successor, reward] = slots.get((successor, reward), 0.0) + p
    B = max((len(slots) for slots in merged.values()), default=1)
    successor_table = np.zeros((n_states, n_actions, B), np.int32)
    probability = np.zeros((n_states, n_actions, B))
    reward_table = np.zeros((n_states, n_actions, B))
    for (s, a), slots in merged.items():
        for k, ((successor, reward), p) in enumerate(slots.items()):
            successor_table[s, a, k], probability[s, a, k], reward_table[s, a, k] = (
                successor,
                p,
                reward,
            )
    return successor_table, probability, reward_table


def _is_sparse(P: Any) -> TypeGuard[Sequence[Any]]:
    """Whether it is a list of sparse matrices."""
    return isinstance(P, list | tuple) and len(P) > 0 and all(map(sparse.issparse, P))


def _dense_slots(
    P: Any,
    r: Any,
    terminal: ArrayLike | None,
    exists: BoolArray | None,
    named: Callable[[tuple[int, ...]], str] | None,
) -> Slots:
    """Slots from P (S, A, S), and from rewards likewise or (S, A)."""
    dense = floats("P", blanked(P, exists), 3)
    S, A, S2 = dense.shape
    if S != S2 or 0 in dense.shape:
        raise ProblemError(f"P has shape {dense.shape}, must be (S, A, S){_turned(dense)}")
    if terminal is not None and np.shape(terminal) == (S,):
        # Rows of terminal states are replaced, so they may hold anything, zeros too.
        ends = np.asarray(terminal, bool)
        dense[ends] = np.eye(S)[ends][:, None, :]
    if exists is not None:
        dense[~exists] = np.eye(S)[np.nonzero(~exists)[0]]
    normalise("P", dense, blanked(P, exists), named)
    rewards = floats("r", blanked(r, exists), None, hint=FORBIDDEN)
    if rewards.shape not in {(S, A), (S, A, S)}:
        raise ProblemError(f"r has shape {rewards.shape}, must be ({S}, {A}) or ({S}, {A}, {S})")
    B = max(1, int(np.count_nonzero(dense, axis=2).max()))
    order = np.argsort(dense == 0, axis=2, kind="stable")[:, :, :B]
    probability = np.take_along_axis(dense, order, axis=2)
    require_size("r", rewards)
    reward = (
        np.repeat(rewards[:, :, None], B, axis=2)
        if rewards.ndim == 2
        else np.take_along_axis(rewards, order, axis=2)
    )
    reward = np.where(probability > 0, reward, 0.0)
    successor = order.astype(np.int32)
    return successor, probability, reward


def _turned(P: FloatArray) -> str:
    """What to do with arrays whose actions come first."""
    if P.shape[1] == P.shape[2] != P.shape[0]:
        return "; if this is (A, S, S), with actions first, give np.transpose(P, (1, 0, 2))"
    return ""


def _sparse_slots(
    P: Sequence[Any],
    r: Any,
    terminal: ArrayLike | None,
    exists: BoolArray | None,
    named: Callable[[tuple[int, ...]], str] | None,
) -> Slots:
    """Slots (S, A, B) from A sparse matrices (S, S), and from rewards likewise or (S, A)."""
    rows, S, A = _matrices("P", P), P[0].shape[0], len(P)
    paid = _matrices("r", r, S, A) if _is_sparse(r) else None
    table = floats("r", blanked(r, exists), 2, (S, A), FORBIDDEN) if paid is None else None
    B = max(1, *(int(np.diff(matrix.indptr).max(initial=0)) for matrix in rows))
    successor = np.zeros((S, A, B), np.int32)
    probability, reward = np.zeros((2, S, A, B))
    for a, matrix in enumerate(rows):
        s = np.repeat(np.arange(S), np.diff(matrix.indptr))
        slot = np.arange(s.size) - matrix.indptr[s]
        successor[s, a, slot], probability[s, a, slot] = matrix.indices, matrix.data
        reward[s, a, slot] = paid[a][s, matrix.indices] if paid else table[s, a]  # type: ignore[index]
    if terminal is not None and np.shape(terminal) == (S,):
        # Rows of terminal states are replaced, so they may hold anything, nothing too.
        probability[np.asarray(terminal, bool)] = np.eye(B)[0]
    if exists is not None:
        probability[~exists], reward[~exists] = np.eye(B)[0], 0.0
        successor[~exists] = np.nonzero(~exists)[0][:, None]
    normalise("P", probability, np.concatenate([matrix.data for matrix in P]), named)
    return successor, probability, reward


def _row_sums(P: Sequence[Any]) -> FloatArray:
    """Σ_s' |P(s'|s,a)| (S, A, 1) of sparse matrices of one square shape."""
    rows = _matrices("P", P)
    return np.stack([abs(matrix).sum(axis=1) for matrix in rows], axis=1)[:, :, None]


def _matrices(name: str, given: Sequence[Any], S: int = 0, A: int = 0) -> list[sparse.csr_array]:
    """Sparse matrices of one square shape, one per action; ProblemError names one that is not."""
    S, A = S or given[0].shape[0], A or len(given)
    if len(given) != A:
        raise ProblemError(f"{name} holds {len(given)} matrices, must hold {A}, one per action")
    found = []
    for a, matrix in enumerate(given):
        if matrix.shape != (S, S):
            raise ProblemError(f"{name}[{a}] has shape {matrix.shape}, must be ({S}, {S})")
        own = sparse.csr_array(matrix, dtype=np.float64)
        if not np.isfinite(own.data).all():
            raise ProblemError(f"{name}[{a}] holds a number that is not finite")
        own.sum_duplicates()
        found.append(own)
    return found
