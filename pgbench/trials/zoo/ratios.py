"""Probability ratios: importance sampling from another policy, and clipped surrogates."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.estimators import Tables, importance_sampling
from pgbench.estimators.parts.behaviour import behaved, behaviour_policy
from pgbench.estimators.trust_region_surrogate import surrogate
from pgbench.exact.truth import Truth
from pgbench.process.process import Process
from pgbench.rollout.simulator import Simulator
from pgbench.trials.zoo.bug import Bug, batch_bug, table_bug

_EXPLORATION, _DRIFT, CLIP = 0.5, 0.7, 0.2
_GIVEN = {"exploration": _EXPLORATION}


def _inverted(truth: Truth) -> Tables:
    """Per-decision importance sampling with μ/π."""
    mdp, behaviour = truth.mdp, behaviour_policy(truth, _EXPLORATION)
    ratio = behaviour / truth.pi
    return Tables.build(
        Process(mdp, behaviour),
        sigma=ratio[:, :, None] * mdp.reward,
        kappa=mdp.gamma * ratio,
        delta=mdp.gamma * ratio,
    )


ratio_inverted = table_bug(
    "ratio_inverted",
    _inverted,
    claims="importance_sampling",
    given=_GIVEN,
    mistake="the ratio is μ/π instead of π/μ",
    source="suspected in openai/baselines, issue 1218, and hill-a/stable-baselines, issue 447",
)


def _own_ratio_missing(truth: Truth) -> Tables:
    """Importance sampling whose products stop before the action that earned the reward."""
    right = importance_sampling.tables(truth, exploration=_EXPLORATION)
    return replace(right, sigma=truth.mdp.reward)


own_ratio_missing = table_bug(
    "own_ratio_missing",
    _own_ratio_missing,
    claims="importance_sampling",
    given=_GIVEN,
    mistake="a reward is weighed by the ratios before its own action only",
    source="an off-by-one in the products of Precup, Sutton & Singh 2000, Section 4",
)


def _one_ratio(simulator: Simulator) -> FloatArray:
    """Reward-to-go weighed by the ratio of the scored action alone."""
    batch, ratio = behaved(simulator, _EXPLORATION)
    return simulator.pull_back(batch.tables(batch.discounts() * ratio * batch.to_go))


only_own_ratio = batch_bug(
    "only_own_ratio",
    _one_ratio,
    claims="importance_sampling",
    given=_GIVEN,
    mistake="only the scored action's ratio is used; states and later rewards are not corrected",
    source="Degris, White & Sutton 2012 drop the others on purpose and say so",
)


def _weighted(simulator: Simulator) -> FloatArray:
    """Returns weighed by trajectory ratios that are divided by their sum."""
    batch, ratios = behaved(simulator, _EXPLORATION)
    ratio = ratios.prod(axis=2)
    share = ratio / ratio.mean(axis=1, keepdims=True)
    return simulator.pull_back(batch.tables((share * batch.returns)[:, :, None]))


weighted_called_unbiased = batch_bug(
    "weighted_called_unbiased",
    _weighted,
    claims="importance_sampling",
    given=_GIVEN,
    mean_only=True,
    mistake="ratios are divided by their sum over the batch and the estimator called unbiased",
    source="Precup, Sutton & Singh 2000: weighted importance sampling is consistent, but biased",
)

Kept = Callable[[FloatArray, FloatArray], BoolArray]
"""Whether pairs (S, A) of some ratio and advantage have a gradient."""


def ppo_bug(name: str, kept: Kept, mistake: str, source: str, **claim: Any) -> Bug:
    """A bug in what PPO's clipped surrogate lets through."""

    def tables(truth: Truth) -> Tables:
        return surrogate(truth, _DRIFT, lambda w, A: kept(w, A).astype(np.float64))

    tables.__doc__ = f"Clipped surrogate: {mistake}."
    claim |= {"given": {"clip": CLIP, "drift": _DRIFT}, "mistake": mistake, "source": source}
    return table_bug(name, tables, claims="ppo", **claim)


ppo_max_for_min = ppo_bug(
    "ppo_max_for_min",
    lambda w, A: np.where(A >= 0, w >= 1 - CLIP, w <= 1 + CLIP),
    "the larger of clipped and unclipped objective in place of the smaller",
    "suspected in openai/baselines, issue 1156, and leggedrobotics/rsl_rl, issue 46",
)
ppo_without_min = ppo_bug(
    "ppo_without_min",
    lambda w, A: (w >= 1 - CLIP) & (w <= 1 + CLIP),
    "the clipped objective alone: no gradient back from a ratio that has gone astray",
    "tensorforce/tensorforce, issue 106",
)
ppo_min_of_ratios = ppo_bug(
    "ppo_min_of_ratios",
    lambda w, A: w <= 1 + CLIP,
    "the smaller of the ratios, and only then times the advantage: its sign has no say",
    "takuseno/ppo, issue 3",
)
