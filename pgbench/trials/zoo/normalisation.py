"""Advantages divided by what they should not be divided by, and called unbiased."""

from pgbench.arrays import FloatArray
from pgbench.estimators.advantage_normalised import centred, standardised
from pgbench.exact.truth import Truth
from pgbench.process.batch import Batch
from pgbench.trials.zoo.bug import weight_bug


def _of_batch(batch: Batch, truth: Truth) -> FloatArray:
    """Advantages standardised over all steps of the batch."""
    advantages = batch.to_go - batch.value(truth.v)
    return batch.discounts() * standardised(batch, advantages)


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
    return batch.discounts() * standardised(batch, batch.to_go, (2,))


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
    n = batch.shape[1]
    return batch.discounts() * centred(batch, batch.to_go, (2,)) * n / (n - 1)


centred_over_wrong_axis = weight_bug(
    "centred_over_wrong_axis",
    _wrong_axis,
    fewest=2,
    claims="reward_to_go",
    mean_only=True,
    mistake="returns to go, (N, T), are centred over time instead of over trajectories",
    source="axis=1 for axis=0",
)
