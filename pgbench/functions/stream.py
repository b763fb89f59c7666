"""The steps of a batch as one stream, as libraries keep them that know no trajectories."""

from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, IntArray


class Stream:
    """The M steps that were taken, one trajectory after another, with no padding.

    Attributes
    ----------
    starts
        (M,) bool, whether a trajectory begins with the step: the environment was reset.
    trajectory, times
        (M,) int64, number of the trajectory, and t.
    states, actions, rewards, next_states, terminated, truncated, values, next_values, log_probs,
    behaviour_log_probs, reference_log_probs, probabilities, scores and so on
        (M, ...), every field of the batch that belongs to steps.
    """

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self._mask: BoolArray = batch.mask

    def __len__(self) -> int:
        return int(self._mask.sum())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._batch, name)
        if not isinstance(value, np.ndarray) or value.shape[: self._mask.ndim] != self._mask.shape:
            raise AttributeError(f"batch.{name} belongs to no step, so batch.flat has none")
        return value[self._mask]

    @property
    def times(self) -> IntArray:
        """t of every step, (M,)."""
        return np.broadcast_to(np.arange(self._mask.shape[-1]), self._mask.shape)[self._mask]

    @property
    def trajectory(self) -> IntArray:
        """Number of the trajectory of every step, (M,)."""
        return np.nonzero(self._mask)[-2]

    @property
    def starts(self) -> BoolArray:
        """Whether a trajectory begins with the step, (M,)."""
        return np.asarray(self.times == 0)

    def log_prob(self, theta: Any) -> Any:
        """log π_θ(a|s) of every step, (M,), to differentiate; see the batch's."""
        return self._batch.log_prob(theta)[self._mask]

    def entropy(self, theta: Any) -> Any:
        """Entropy of π_θ(·|s) at every step, (M,), to differentiate."""
        return self._batch.entropy(theta)[self._mask]

    def log_policy(self, theta: Any) -> Any:
        """log π_θ(·|s) of every step, (M, A), to differentiate."""
        return self._batch.log_policy(theta)[self._mask]

    def mean(self, theta: Any) -> Any:
        """Mean of the law of actions at every step, (M, 1), to differentiate, if continuous."""
        return self._batch.mean(theta)[self._mask]
