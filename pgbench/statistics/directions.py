"""Directions along which means of gradients are tested."""

import numpy as np

from pgbench.arrays import FloatArray

N_DIRECTIONS = 8


def directions(d: int, g: FloatArray) -> FloatArray:
    """Directions (m, d), m ≤ 9, along which means are tested: fixed ones, then the exact gradient.

    Where the gradient is zero it is left out.
    """
    fixed = fixed_directions(d)
    return np.vstack([fixed, g / np.linalg.norm(g)]) if g.any() else fixed


def fixed_directions(d: int) -> FloatArray:
    """Directions (m, d), m ≤ 8: rows of a cosine basis with random signs.

    Orthogonal, dense, the same for every estimator, and a complete basis for d ≤ 8. A single
    coordinate of a large problem often hangs on events that R replicates never see, and its z-score
    then has no normal limit; along a dense direction all coordinates add up and it has.
    """
    m = min(d, N_DIRECTIONS)
    signs = np.random.default_rng(19930501).choice([-1.0, 1.0], size=d)
    angles = np.pi / d * np.outer(np.arange(m), np.arange(d) + 0.5)
    basis: FloatArray = signs * np.cos(angles) / np.sqrt(d)
    return basis
