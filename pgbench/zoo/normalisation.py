"""Advantages divided by what they should not be divided by, and called unbiased."""

import numpy as np

from pgbench.batch import Batch
from pgbench.estimators.estimator import FloatArray
from pgbench.exact.values import Truth
from pgbench.zoo.bug import weight_bug

_SMALL = 1e-8


def _centred(x: FloatArray, mask: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """Values less their mean over some axes, zero where the mask is."""
    number = np.maximum(mask.sum(axis=axes, keepdims=True), 1.0)
    mean = (mask * x).sum(axis=axes, keepdims=True) / number
    return np.asarray(mask * (x - mean), np.float64)


def _standardised(x: FloatArray, mask: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """Values less their mean, over their standard deviation."""
    centred = _centred(x, mask, axes)
    number = np.maximum(mask.sum(axis=axes, keepdims=True), 1.0)
    spread = np.sqrt((centred**2).sum(axis=axes, keepdims=True) / number)
    return np.asarray(centred / (spread + _SMALL), np.float64)


def _of_batch(batch: Batch, truth: Truth) -> FloatArray:
    """Advantages standardised over all steps of the batch."""
    advantages = batch.to_go - batch.value(truth.v)
    mask = batch.mask.astype(np.float64)
    return batch.discounts() * _standardised(advantages, mask, (1, 2))


standardised_called_unbiased = weight_bug(
    "standardised_called_unbiased",
    _of_batch,
    claims="baseline_value",
    mean_only=True,
    mistake="advantages are standardised over the batch and the estimator called unbiased",
    source="common in PPO code; studied by Andrychowicz et al. 2021",
)


def _of_episode(batch: Batch, truth: Truth) -> FloatArray:
    """Returns to go standardised over the steps of their own episode."""
    return batch.discounts() * _standardised(batch.to_go, batch.mask.astype(np.float64), (2,))


standardised_per_episode = weight_bug(
    "standardised_per_episode",
    _of_episode,
    claims="reward_to_go",
    mean_only=True,
    mistake="returns to go are standardised within each episode: what was good in it, not how good",
    source="pytorch/examples, reinforcement_learning/reinforce.py",
)


def _wrong_axis(batch: Batch, truth: Truth) -> FloatArray:
    """Returns to go less their mean over steps, where that over trajectories was meant."""
    mask = batch.mask.astype(np.float64)
    return (
        batch.discounts()
        * _centred(batch.to_go, mask, (2,))
        * batch.shape[1]
        / (batch.shape[1] - 1)
    )


centred_over_wrong_axis = weight_bug(
    "centred_over_wrong_axis",
    _wrong_axis,
    fewest=2,
    claims="reward_to_go",
    mean_only=True,
    mistake="returns to go, (N, T), are centred over time instead of over trajectories",
    source="axis=1 for axis=0",
)
