"""Ratios of the probabilities of tokens, where another policy wrote the responses."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.behaviour import behaviour_policy
from pgbench.exact.truth import Truth
from pgbench.process.process import Process
from pgbench.rollout.simulator import Simulator
from pgbench.trials.case import SEQUENCES
from pgbench.trials.zoo.bug import Bug, batch_bug
from pgbench.trials.zoo.ratios import CLIP, ppo_bug

_EXPLORATION, _TEMPERATURE = 0.5, 0.6


def _ratio_bug(name: str, ratio: Callable[[Truth, FloatArray], FloatArray], **claim: Any) -> Bug:
    """Reward-to-go weighed by the product of all ``ratio(truth, μ)`` (S, A) of a response."""

    def estimate(simulator: Simulator) -> FloatArray:
        behaviour = behaviour_policy(simulator.truth, _EXPLORATION)
        batch = simulator.batch(process=Process(simulator.truth.mdp, behaviour))
        ratios = batch.at(ratio(simulator.truth, behaviour), otherwise=1.0)
        weights = ratios.prod(axis=2)[:, :, None]
        return simulator.pull_back(batch.tables(weights * batch.to_go))

    estimate.__doc__ = ratio.__doc__
    claim |= {"claims": "trajectory_importance_sampling", "battery": SEQUENCES}
    return batch_bug(name, estimate, given={"exploration": _EXPLORATION}, **claim)


def _cooled(truth: Truth, behaviour: FloatArray) -> FloatArray:
    """Ratio of π at a temperature of 0.6."""
    sharp = truth.pi ** (1 / _TEMPERATURE)
    return np.asarray(sharp / sharp.sum(axis=1, keepdims=True) / behaviour, np.float64)


ratio_at_another_temperature = _ratio_bug(
    "ratio_at_another_temperature",
    _cooled,
    mistake="logits are divided by a temperature in the ratio's numerator and not in what is meant",
    source="huggingface/trl, pull request 3029 and issue 4159; OpenRLHF/OpenRLHF, pull request 853",
)


def _most_likely(truth: Truth, behaviour: FloatArray) -> FloatArray:
    """Ratio where log-probabilities of π are normalised over the two most likely tokens."""
    kept = np.sort(truth.pi, axis=1)[:, -2:].sum(axis=1, keepdims=True)
    return np.asarray(truth.pi / kept / behaviour, np.float64)


ratio_on_another_support = _ratio_bug(
    "ratio_on_another_support",
    _most_likely,
    mistake="one side is normalised over the k most likely tokens: off by their mass at each token",
    source="modelscope/ms-swift, pull request 8442",
)


def _squared(truth: Truth, behaviour: FloatArray) -> FloatArray:
    """The squared ratio."""
    return np.asarray((truth.pi / behaviour) ** 2, np.float64)


ratio_squared = _ratio_bug(
    "ratio_squared",
    _squared,
    mistake="the ratio to what wrote the response is applied twice",
    source="a surrogate with a ratio times a correction by the same ratio",
)


def _forgotten(truth: Truth, behaviour: FloatArray) -> FloatArray:
    """No ratio."""
    return np.ones_like(behaviour)


ratio_always_one = _ratio_bug(
    "ratio_always_one",
    _forgotten,
    mistake="the ratio is that of the policy to itself, whatever wrote the response",
    source="meta-pytorch/torchforge, pull request 571",
)


def _by_token(simulator: Simulator) -> FloatArray:
    """Reward-to-go of a token weighed by the ratio of that token alone."""
    truth = simulator.truth
    behaviour = behaviour_policy(truth, _EXPLORATION)
    batch = simulator.batch(process=Process(truth.mdp, behaviour))
    return simulator.pull_back(batch.tables(batch.at(truth.pi / behaviour) * batch.to_go))


token_ratio_called_unbiased = batch_bug(
    "token_ratio_called_unbiased",
    _by_token,
    claims="trajectory_importance_sampling",
    given={"exploration": _EXPLORATION},
    mistake="each token has its own ratio alone, neither that of its prefix nor of what follows",
    source="OpenRLHF/OpenRLHF, pull request 1098, corrects so, and does not call it unbiased",
    battery=SEQUENCES,
)

tokens_max_for_min = ppo_bug(
    "tokens_max_for_min",
    lambda w, A: np.where(A >= 0, w >= 1 - CLIP, w <= 1 + CLIP),
    "the larger of a token's clipped and unclipped objective in place of the smaller",
    "as ppo_max_for_min",
    battery=SEQUENCES,
)
