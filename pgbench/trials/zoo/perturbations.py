"""Differences of returns divided by the wrong thing, and a Fisher matrix that is a sum."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators import natural, spsa
from pgbench.estimators.evolution_strategies import perturbed, weighed
from pgbench.rollout.simulator import Simulator
from pgbench.trials.zoo.bug import batch_bug

_STEP, _SIGMA = 0.1, 0.1


def _without_sigma(simulator: Simulator) -> FloatArray:
    """Mean of return times perturbation, not divided by σ."""
    noise, returns = perturbed(simulator, _SIGMA, antithetic=True)
    return weighed(noise, returns, 1.0)


evolution_without_sigma = batch_bug(
    "evolution_without_sigma",
    _without_sigma,
    fewest=2,
    claims="evolution_strategies",
    given={"sigma": _SIGMA},
    mistake="the mean of return times perturbation is not divided by σ",
    source="openai/evolution-strategies-starter, issue 24",
)


def _without_two(simulator: Simulator) -> FloatArray:
    """Differences over the step, not over twice the step."""
    return 2 * spsa.estimate(simulator, step=_STEP)


spsa_without_two = batch_bug(
    "spsa_without_two",
    _without_two,
    claims="spsa",
    given={"step": _STEP},
    mistake="a central difference is divided by the step, not by twice the step",
    source="a factor lost from Spall 1992, eq. 2.2",
)


def _fresh_signs(simulator: Simulator) -> FloatArray:
    """Differences times signs that are drawn anew."""
    signs, slopes = spsa.differences(simulator, _STEP)
    # The numbers that follow those which the signs were made of.
    others = simulator.generator("signs").choice([-1.0, 1.0], size=(2, *signs.shape))[1]
    return np.asarray((slopes * others).mean(axis=1), np.float64)


spsa_fresh_signs = batch_bug(
    "spsa_fresh_signs",
    _fresh_signs,
    claims="spsa",
    given={"step": _STEP},
    mistake="the signs that divide the difference are not those that moved θ",
    source="a generator called twice where its first answer should be kept",
)


def _summed(simulator: Simulator) -> FloatArray:
    """The natural gradient with the Fisher matrices of all trajectories added up."""
    return natural.estimate(simulator) / simulator.n


fisher_summed = batch_bug(
    "fisher_summed",
    _summed,
    fewest=2,
    claims="natural",
    mistake="Fisher matrices of the batch's trajectories are added up, not averaged",
    source="sum where the definition has a mean; hidden by step sizes that are tuned",
)
