"""Features of states for function approximation, and their crossing with actions.

Every construction returns a table x (S, n) float64 of features of states; ``crossed`` gives each
action its own copy, φ(s,a) = e_a ⊗ x(s).
"""

from itertools import combinations_with_replacement
from math import comb
from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray, IndexArray
from pgbench.declared.parameters import Choice
from pgbench.problems import FiniteMDP, NotApplicable

MAX_ENTRIES = 2**27
"""Largest table of features: 1 GiB."""

Inputs = Annotated[
    str,
    Choice(("auto", "onehot", "coordinates", "own")),
    "auto is the problem's own coordinates if it has any, else onehot; own is its features",
]
"""What enters a network."""


def network_inputs(mdp: FiniteMDP, inputs: str) -> FloatArray | int:
    """Features of states (S, n), or of pairs (S, A, n) if own, or the number S for one-hot states.

    NotApplicable for a problem without features of its own.
    """
    if inputs == "own":
        if mdp.features is None:
            raise NotApplicable(f"{mdp.name} has no features of its own")
        return mdp.features
    if inputs == "coordinates" or (inputs == "auto" and mdp.coordinates is not None):
        return coordinates(mdp)
    return mdp.n_states


def input_table(mdp: FiniteMDP, inputs: str) -> FloatArray:
    """The same with one-hot states as a matrix (S, S)."""
    found = network_inputs(mdp, inputs)
    if not isinstance(found, int):
        return found
    _check_size(found, found)
    return np.eye(found)


def coordinates(mdp: FiniteMDP) -> FloatArray:
    """The problem's own coordinates (S, c) scaled to [-1, 1], or else the state's number (S, 1).

    A coordinate that is the same in all states becomes 0.
    """
    if mdp.coordinates is None:
        raw = np.arange(mdp.n_states, dtype=np.float64)[:, None]
    else:
        raw = mdp.coordinates
    low, high = raw.min(axis=0), raw.max(axis=0)
    # Halves, because the difference of two large numbers may not be a number.
    middle, half = low / 2 + high / 2, high / 2 - low / 2
    return np.clip((raw - middle) / np.where(half > 0, half, 1.0), -1.0, 1.0)


def tiles(x: FloatArray, n_tiles: int, n_tilings: int) -> FloatArray:
    """Tile coding of coordinates x (S, c) in [-1, 1]: shape (S, n), ones and zeros.

    A tiling cuts each coordinate into ``n_tiles`` equal intervals; tiling t is displaced by
    t·(1, 3, 5, ...)/n_tilings of an interval, modulo one interval, which adds an interval at the
    end. A state has one 1 per tiling, so a single tiling aggregates states. Tiles that hold no
    state are left out. (Sutton & Barto 2018, Sections 9.3 and 9.5.4)
    """
    steps = 2 * np.arange(x.shape[1]) + 1
    columns: list[IndexArray] = []
    for t in range(n_tilings):
        shift = (t * steps % n_tilings) / n_tilings
        # The slack keeps states on a border in the upper tile, whatever scaling rounded to.
        place = np.floor((x + 1) / 2 * n_tiles + shift + 1e-9).astype(np.int64)
        place = np.minimum(place, np.where(shift > 0, n_tiles, n_tiles - 1))
        _, tile = np.unique(place, axis=0, return_inverse=True)
        columns.append(tile.ravel() + (columns[-1].max() + 1 if columns else 0))
    n = int(columns[-1].max()) + 1
    _check_size(len(x), n)
    table = np.zeros((len(x), n))
    table[np.arange(len(x))[:, None], np.stack(columns, axis=1)] = 1.0
    return table


def polynomial(x: FloatArray, degree: int) -> FloatArray:
    """All monomials of x (S, c) of total degree at most ``degree``, 1 among them: shape (S, n).

    n = (c + degree)! / (c! degree!).
    """
    c = x.shape[1]
    _check_size(len(x), comb(c + degree, degree))
    powers = [
        x[:, list(factors)].prod(axis=1)
        for total in range(degree + 1)
        for factors in combinations_with_replacement(range(c), total)
    ]
    return np.stack(powers, axis=1)


def crossed(x: FloatArray, n_actions: int) -> FloatArray:
    """φ(s,a) = e_a ⊗ x(s), shape (S, A, A·n), from x (S, n)."""
    S, n = x.shape
    _check_size(S, n * n_actions**2)
    phi = np.zeros((S, n_actions, n_actions, n))
    actions = np.arange(n_actions)
    phi[:, actions, actions] = x[:, None]
    return phi.reshape(S, n_actions, n_actions * n)


def _check_size(n_states: int, per_state: int) -> None:
    if n_states * per_state > MAX_ENTRIES:
        raise ValueError(
            f"{n_states} states with {per_state} feature entries each need"
            f" {n_states * per_state / 2**27:.1f} GiB, more than {MAX_ENTRIES / 2**27:g} GiB;"
            " choose fewer features"
        )
