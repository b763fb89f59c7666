"""Rules for step sizes."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.ascent.algorithm import Context, StepSize
from pgbench.ascent.crowd import Crowd
from pgbench.ascent.smoothness import smoothness_constant
from pgbench.declared.parameters import Range
from pgbench.policies import NotApplicable

Step = Annotated[float, Range(0), "α"]


def constant_step(
    context: Context, crowd: Crowd, direction: FloatArray, k: int, *, step: Step
) -> FloatArray:
    """The same step size at every iteration."""
    return np.full(crowd.m, step)


def decaying_step(
    context: Context,
    crowd: Crowd,
    direction: FloatArray,
    k: int,
    *,
    step: Step,
    power: Annotated[float, Range(0), "p"] = 0.5,
    offset: Annotated[float, Range(1), "k_0"] = 1.0,
) -> FloatArray:
    """A step size that falls as a power of the iteration."""
    return np.full(crowd.m, step * (1 + k / offset) ** -power)


def normalised_step(
    context: Context, crowd: Crowd, direction: FloatArray, k: int, *, step: Step
) -> FloatArray:
    """Steps of a given Euclidean length, whatever the length of the direction."""
    return _over(step, np.sqrt(np.sum(direction**2, axis=1)))


def kl_step(
    context: Context,
    crowd: Crowd,
    direction: FloatArray,
    k: int,
    *,
    radius: Annotated[float, Range(0), "ε, in nats"],
) -> FloatArray:
    """Steps δ with ½ δᵀF δ = ε: of a given divergence, to second order, by the exact F."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _over(np.sqrt(2 * radius), np.sqrt(crowd.squared_lengths(direction)))


def smoothness_step(context: Context, crowd: Crowd, direction: FloatArray, k: int) -> FloatArray:
    """1/L of a bound L on the curvature of J, with which exact ascent never descends.

    L is 8R/(1-γ)³ for tabular softmax and 2γAR/(1-γ)³ for direct policies, with rewards in an
    interval of length R that holds 0. Other policies have none and are refused, and so are
    objectives with a penalty.
    """
    if context.penalised:
        raise NotApplicable("L bounds the curvature of J, not that of an objective with a penalty")
    return np.full(crowd.m, 1 / smoothness_constant(context.mdp, context.policy))


def _over(length: float, lengths: FloatArray) -> FloatArray:
    """length/lengths, 0 where there is no direction."""
    return np.divide(length, lengths, out=np.zeros_like(lengths), where=lengths != 0)


constant = StepSize("constant", constant_step, r"\alpha", "Robbins & Monro 1951", alone=True)
decaying = StepSize(
    "decaying", decaying_step, r"\alpha\,(1 + k/k_0)^{-p}", "Robbins & Monro 1951", alone=True
)
normalised = StepSize(
    "normalised", normalised_step, r"\alpha\,/\,\|\delta\|", "Mei, Gao, Dai, Szepesvári 2021"
)
kl = StepSize(
    "kl",
    kl_step,
    r"\sqrt{2\epsilon\,/\,\delta^T F \delta}",
    "Peters & Schaal 2008; Schulman, Levine, Moritz, Jordan & Abbeel 2015, Appendix C",
)
smoothness = StepSize(
    "smoothness",
    smoothness_step,
    r"1/L",
    "Mei, Xiao, Szepesvári & Schuurmans 2020, Lemma 7; Agarwal, Kakade, Lee & Mahajan 2021,"
    " Appendix D",
)
