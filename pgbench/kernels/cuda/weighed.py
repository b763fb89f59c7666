"""Weights of replicates in a GPU's memory."""

from typing import NamedTuple

import numpy as np


class Weighed(NamedTuple):
    """Weights of m replicates, in arrays on the GPU.

    visited (rows, m) int32 and n_visited (m,) int64, states that count and how many; weights
    (E, rows·columns, m) float64, averaged over the batch; steps (m,) int64. Where ``everywhere`` is
    set row s is state s, and visited is empty.
    """

    everywhere: bool
    visited: np.ndarray
    n_visited: np.ndarray
    weights: np.ndarray
    steps: np.ndarray
