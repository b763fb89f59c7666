"""Rewards summed wrongly."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators import Tables
from pgbench.exact.truth import Truth
from pgbench.process.batch import Batch
from pgbench.trials.zoo.bug import table_bug, weight_bug


def _off_by_one(batch: Batch, truth: Truth) -> FloatArray:
    """Reward-to-go that begins with the reward after the action's own."""
    return batch.discounts() * (batch.to_go - batch.rewards)


reward_to_go_off_by_one = weight_bug(
    "reward_to_go_off_by_one",
    _off_by_one,
    claims="reward_to_go",
    mistake="the sum of rewards to go begins after the action's own reward",
    source="a classic off-by-one of cumulative sums",
)


def _late(batch: Batch, truth: Truth) -> FloatArray:
    """Reward-to-go of rewards that are stored one step late."""
    late = np.zeros_like(batch.rewards)
    late[:, :, 1:] = batch.rewards[:, :, :-1]
    late[~batch.mask] = 0.0
    return batch.discounts() * batch.backward(late, truth.mdp.gamma)


rewards_stored_late = weight_bug(
    "rewards_stored_late",
    _late,
    claims="reward_to_go",
    mistake="each reward is stored with the step after its action; the last one is lost",
    source="openai/spinningup, issue 50",
)


def _undiscounted(truth: Truth) -> Tables:
    """Rewards to go added up without γ."""
    return Tables.build(truth.process, sigma=truth.mdp.reward, kappa=1.0, delta=truth.mdp.gamma)


returns_undiscounted = table_bug(
    "returns_undiscounted",
    _undiscounted,
    claims="reward_to_go",
    mistake="rewards to go are added up without γ, while the objective is discounted",
    source="the mismatch is discussed by Thomas 2014 and by Nota & Thomas 2020",
)


def _discounted_twice(truth: Truth) -> Tables:
    """Returns discounted from the start of the episode, times γ^t."""
    gamma = truth.mdp.gamma
    return Tables.build(truth.process, sigma=truth.mdp.reward, kappa=gamma, delta=gamma**2)


discounted_twice = table_bug(
    "discounted_twice",
    _discounted_twice,
    claims="reward_to_go",
    mistake="rewards carry γ^m from the start of the episode, and the score γ^t once more",
    source="two conventions of discounted reward-to-go mixed",
)


def _no_last(truth: Truth) -> Tables:
    """Reward-to-go without the reward of the step into a terminal state."""
    mdp = truth.mdp
    paid = np.where(mdp.terminal[mdp.successor], 0.0, mdp.reward)
    return Tables.build(truth.process, sigma=paid, kappa=mdp.gamma, delta=mdp.gamma)


last_reward_dropped = table_bug(
    "last_reward_dropped",
    _no_last,
    claims="reward_to_go",
    mistake="the step into a terminal state pays nothing",
    source="ShangtongZhang/reinforcement-learning-an-introduction, ReinforceShortCorridor.py:"
    " the book's corridor pays -1 on every step",
)


def _clipped(truth: Truth) -> Tables:
    """Reward-to-go of rewards clipped to [-1, 1]."""
    mdp = truth.mdp
    return Tables.build(
        truth.process, sigma=np.clip(mdp.reward, -1, 1), kappa=mdp.gamma, delta=mdp.gamma
    )


rewards_clipped = table_bug(
    "rewards_clipped",
    _clipped,
    claims="reward_to_go",
    mistake="rewards are clipped to [-1, 1] on the way to the estimator",
    source="Mnih et al. 2015 (as a deliberate change of the objective)",
)


def _reversed(batch: Batch, truth: Truth) -> FloatArray:
    """Returns to go in the order in which a backward loop finds them."""
    steps = np.arange(batch.shape[2])
    mirrored = np.maximum(batch.lengths[:, :, None] - 1 - steps, 0)
    return np.asarray(batch.discounts() * np.take_along_axis(batch.to_go, mirrored, axis=2))


returns_reversed = weight_bug(
    "returns_reversed",
    _reversed,
    claims="reward_to_go",
    mistake="returns, found from the last step backward, are not put back in order",
    source="a reversal in the wrong place: PacktPublishing/"
    "Tensorflow-2-Reinforcement-Learning-Cookbook, issue 27",
)


def _mean_over_steps(batch: Batch, truth: Truth) -> FloatArray:
    """Reward-to-go, averaged over the steps of each trajectory."""
    return np.asarray(batch.discounts() * batch.to_go / np.maximum(batch.lengths, 1)[:, :, None])


mean_over_steps = weight_bug(
    "mean_over_steps",
    _mean_over_steps,
    claims="reward_to_go",
    mistake="the mean over a trajectory's steps in place of their sum",
    source="loss.mean(); as length normalisation criticised by Liu et al. 2025 (Dr. GRPO)",
)


def _negative(truth: Truth) -> Tables:
    """Reward-to-go with the wrong sign."""
    mdp = truth.mdp
    return Tables.build(truth.process, sigma=-mdp.reward, kappa=mdp.gamma, delta=mdp.gamma)


wrong_sign = table_bug(
    "wrong_sign",
    _negative,
    claims="reward_to_go",
    mistake="the sign: what descends is not what ascends",
    source="an objective handed to a minimiser without its minus sign",
)
