"""What rollouts of a finite problem draw from: alias tables of its start and of its steps.

A step under a policy is *one* draw: the outcomes of state s are its A·B slots (a, k), with
probabilities π(s, a) P(k | s, a). An entry of the table also holds its successor, so that the row
of s is all that a step reads:

    bits 63..32  threshold        below them  alias, outcome of the same state
                                  below it    whether the successor is terminal
                                  lowest      successor
"""

from typing import NamedTuple

import numpy as np
from numba import uint64

from pgbench.kernels.finite.alias import alias_tables, fill_row
from pgbench.kernels.jit import kernel, parallel_kernel, part
from pgbench.kernels.partition import spans


class Sampler(NamedTuple):
    """Everything a rollout draws from.

    start (K,) uint64, alias table of the start distribution, the alias in the low half;
    start_state (K,) int32; step (S, A·B) uint64, packed as above, with ``bits`` for the successor;
    terminal (S,) bool, of which ``any_terminal`` says whether any is set; numbers of actions and
    slots A and B. Where every replicate has tables of its own, ``stride`` is the number of states
    S between theirs, else 0.
    """

    start: np.ndarray
    start_state: np.ndarray
    step: np.ndarray
    bits: np.uint64
    terminal: np.ndarray
    any_terminal: bool
    n_actions: int
    n_slots: int
    stride: int = 0


_HALF = uint64(32)
_LOW = uint64(0xFFFFFFFF)
_ONE = uint64(1)


@part
def pick_start(start, word):
    """Which of the K start states a word draws from ``Sampler.start``."""
    k = (word >> _HALF) * uint64(start.size) >> _HALF
    entry = start[k]
    return k if word & _LOW < entry >> _HALF else entry & _LOW


@part
def pick_step(table, n, bits, state, word):
    """Slot drawn by a word in a state, its successor, and whether that is terminal; all uint64.

    table (S·n,) is ``Sampler.step`` end to end, with n entries per state.
    """
    n, state, shift = uint64(n), uint64(state), uint64(bits) + _ONE
    slot = state * n + ((word >> _HALF) * n >> _HALF)
    entry = table[slot]
    if word & _LOW >= entry >> _HALF:
        slot = state * n + ((entry & _LOW) >> shift)
        entry = table[slot]
    return slot, entry & ((_ONE << uint64(bits)) - _ONE), (entry >> uint64(bits)) & _ONE


def make_sampler(mdp, pi) -> Sampler:
    """Tables of a ``FiniteMDP`` under the action probabilities π (S, A).

    Raises
    ------
    ValueError
        If the problem has 2³¹ slots or more, or too many for its states to pack an entry.
    """
    S, A, B = mdp.probability.shape
    bits = _state_bits(S, A, B)
    step = alias_tables(mdp.probability, pi, bits + 1)
    _add_successors(mdp.successor.reshape(S, A * B), mdp.terminal, bits, step)
    return _sampler(mdp, step, bits)


def make_samplers(mdp, pi) -> Sampler:
    """Tables of a ``FiniteMDP`` under m policies π (m, S, A), one per replicate.

    Replicate r walks over states r·S..(r+1)·S-1. ValueError as of ``make_sampler``.
    """
    m, (S, A, B) = len(pi), mdp.probability.shape
    bits = _state_bits(m * S, A, B)
    step = np.empty((m * S, A * B), np.uint64)
    successor, probability = mdp.successor.reshape(S, A * B), np.ascontiguousarray(mdp.probability)
    packed = step.reshape(m, S, A * B)
    own = probability, np.ascontiguousarray(pi), successor, mdp.terminal, bits, packed
    _fill_many(spans(m), *own)
    return _sampler(mdp, step, bits, stride=S)


def _sampler(mdp, step, bits, stride=0):
    """A sampler with these tables, and the start distribution of the problem."""
    start_state = np.flatnonzero(mdp.mu0).astype(np.int32)
    # Of one type, which a problem that was copied or sent has not.
    terminal = mdp.terminal.view()
    terminal.setflags(write=False)
    return Sampler(
        start=alias_tables(mdp.mu0[None, None, start_state], np.ones((1, 1)), 0)[0],
        start_state=start_state,
        step=step,
        bits=np.uint64(bits),
        terminal=terminal,
        any_terminal=bool(mdp.terminal.any()),
        n_actions=mdp.n_actions,
        n_slots=mdp.branching,
        stride=stride,
    )


def _state_bits(n_states, n_actions, n_slots):
    """Bits of a state's number; ValueError where there are too many."""
    slots = n_states * n_actions * n_slots
    if slots >= 2**31:
        raise ValueError(f"the problem has {slots} slots, at most {2**31 - 1} can be sampled")
    bits = int(n_states - 1).bit_length()
    if bits + 1 + (n_actions * n_slots - 1).bit_length() > 32:
        raise ValueError(
            f"the problem has {n_states} states with {n_actions * n_slots} slots each, too many to"
            " sample: an index of either and one bit must fit in 32 bits together"
        )
    return bits


@parallel_kernel
def _fill_many(probability, pi, successor, terminal, bits, packed, begin, end):
    """Tables (m, S, A·B) with successors, of replicate r from r·S on, under π (m, S, A)."""
    S, A, B = probability.shape
    n = A * B
    for r in range(begin, end):
        p, small, large = np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64)
        for s in range(S):
            fill_row(probability[s], pi[r, s], bits + 1, packed[r, s], p, small, large)
            for k in range(n):
                after = successor[s, k]
                flag = uint64(terminal[after]) << uint64(bits)
                packed[r, s, k] |= flag | uint64(r * S + after)


@kernel
def _add_successors(successor, terminal, bits, packed):
    """Add successor (S, n) and its terminal flag to every packed entry (S, n)."""
    for s in range(successor.shape[0]):
        for k in range(successor.shape[1]):
            after = successor[s, k]
            packed[s, k] |= uint64(terminal[after]) << uint64(bits) | uint64(after)
