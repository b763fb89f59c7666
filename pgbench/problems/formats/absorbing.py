"""States that nothing leaves and that pay nothing: episodes end there, though no format says so."""

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import BoolArray, FloatArray


def absorbing(
    successor: NDArray[np.int32], probability: FloatArray, reward: FloatArray, mu0: FloatArray
) -> BoolArray:
    """States (S,) that every action leaves as they are and pays 0, where no episode begins.

    Parameters
    ----------
    successor, probability, reward
        (S, A, B) slots; of an action that a state lacks with probability 0.
    mu0
        (S,) start distribution.
    """
    taken = probability > 0
    leaves = taken & (successor != np.arange(len(mu0))[:, None, None])
    pays = taken & (reward != 0)
    found: BoolArray = ~(leaves | pays).any(axis=(1, 2)) & (mu0 == 0)
    return found
