"""Tables over actions: softmax and its pull-back, bounds on their errors, and what is missing."""

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.rounding import FUNCTION, UNIT


def sum_actions(table: FloatArray) -> FloatArray:
    """Σ_a of a (..., A) table, shape (..., 1), added up action by action.

    NumPy's own reduction over a short last axis takes several times as long.
    """
    total = table[..., :1].copy()
    for a in range(1, table.shape[-1]):
        total += table[..., a : a + 1]
    return total


def largest_action(table: FloatArray) -> FloatArray:
    """max_a of a (..., A) table, shape (..., 1), likewise."""
    largest = table[..., :1].copy()
    for a in range(1, table.shape[-1]):
        np.maximum(largest, table[..., a : a + 1], out=largest)
    return largest


def check_allowed(allowed: BoolArray | None, shape: tuple[int, int]) -> None:
    """ValueError if a mask of actions does not fit, or leaves a state without any."""
    if allowed is None:
        return
    if np.shape(allowed) != shape or np.asarray(allowed).dtype != bool:
        raise ValueError(f"allowed has shape {np.shape(allowed)}, must be {shape} bool")
    if not allowed.any(axis=1).all():
        raise ValueError(f"allowed leaves state {int(np.argmin(allowed.any(axis=1)))} no action")


def existing(table: FloatArray, allowed: BoolArray | None) -> FloatArray:
    """The table (..., S, A), zero at actions that a state does not have."""
    return table if allowed is None else np.where(allowed, table, 0.0)


def softmax(logits: FloatArray, allowed: BoolArray | None = None) -> FloatArray:
    """exp(x_a) / Σ_b exp(x_b) along the last axis, for any finite input; over what is allowed."""
    if allowed is not None:
        logits = np.where(allowed, logits, -np.inf)
    shifted = logits - largest_action(logits)
    np.exp(shifted, out=shifted)
    shifted /= sum_actions(shifted)
    return shifted


def softmax_error(
    logits: FloatArray,
    error: FloatArray | float = 0.0,
    allowed: BoolArray | None = None,
) -> float:
    """Bound on the relative rounding error of ``softmax`` of logits whose own error is bounded."""
    if allowed is not None:
        # The largest in place of what does not count: the spread is that of the others.
        largest = np.where(allowed, logits, -np.inf).max(axis=-1, keepdims=True)
        logits = np.where(allowed, logits, largest)
    spread = float(np.ptp(logits, axis=-1).max())
    wrong = float(np.max(error)) + spread * UNIT
    return float(np.expm1(2 * wrong)) + 2 * FUNCTION + (logits.shape[-1] + 2) * UNIT


def centre_error(
    pi: FloatArray, weights: FloatArray, error: FloatArray, relative: float
) -> FloatArray:
    """Bound on the error of ``centre`` entry by entry, π being right to ``relative``."""
    relative += (pi.shape[-1] + 8) * UNIT
    own = error + relative * np.abs(weights)
    return own + pi * sum_actions(own + relative * np.abs(weights))


def centre(pi: FloatArray, weights: FloatArray) -> FloatArray:
    """D(s,a) = W(s,a) - π(s,a) Σ_b W(s,b): the pull-back of a softmax to its logits."""
    return weights - pi * sum_actions(weights)
