"""What estimators share that differentiate the penalty of an objective in ways of their own."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Choice
from pgbench.estimators.parts.behaviour import ratios
from pgbench.exact.finite.values import state_values
from pgbench.exact.penalty import Penalty
from pgbench.exact.remember import remembered
from pgbench.exact.truth import Truth
from pgbench.policies import NotApplicable
from pgbench.process.batch import Batch

Form = Annotated[
    str,
    Choice(("k1", "k2", "k3")),
    "what is differentiated, of the log ratio l: k1 is l, k2 is l²/2, k3 is exp(-l) - 1 + l",
]
Later = Annotated[bool, "whether an action answers for the penalties of later steps too"]
Ratio = Annotated[
    str,
    Choice(("none", "token", "prefix")),
    "what data of another policy are weighed by: nothing, the ratio of the action that is scored"
    " and those of what follows, or those of what led there as well",
]
Baseline = Annotated[bool, "whether the exact value is taken off what follows an action"]

OWN = {"k1": ("own_penalty",), "k2": (), "k3": ("divergence",)}
"""Causes of bias of each form."""

ELSEWHERE = {"none": ("sampler",), "token": ("states",), "prefix": ()}
"""Causes of bias on data of another policy, by what they are weighed by."""

SLOPES = {"k1": "c", "k2": r"c\,l", "k3": r"c\,(1 - e^{-l})"}
"""What multiplies scores in each form, as LaTeX mathematics; c is the penalty's coefficient."""

FACTORS = {"none": "", "token": r"w_t\,", "prefix": r"\prod_{i\leq t} w_i\,"}
"""What a score is weighed by, as LaTeX mathematics; w is the ratio of the policy to the sampler."""


def q_hat(ratio: str) -> str:
    """What follows an action, as LaTeX mathematics."""
    return r"\hat Q_t" if ratio == "none" else r"\hat Q^w_t"


def where(ratio: str) -> str:
    """What ratios are, and what follows an action with them, as LaTeX mathematics."""
    recursion = r",\,\hat Q^w_t = r_t + \gamma w_{t+1}\hat Q^w_{t+1},\,w = \pi/\mu"
    return "" if ratio == "none" else recursion


def penalty_of(truth: Truth) -> Penalty:
    """The penalty of the objective; NotApplicable where it has none."""
    if truth.penalty is None:
        raise NotApplicable("the objective has no penalty, as kl and entropy have")
    return truth.penalty


def weighing(truth: Truth, ratio: str) -> tuple[FloatArray, FloatArray]:
    """Factors of a step and of what led to it, (S, A) each, or (m, S, A): w or 1, and w or 1."""
    own = ratios(truth, truth.process.pi)
    nothing = np.ones_like(own)
    return nothing if ratio == "none" else own, own if ratio == "prefix" else nothing


def factors(
    batch: Batch, truth: Truth, ratio: str
) -> tuple[FloatArray | float, FloatArray | float]:
    """Factors of every step and of what led to it, as ``weighing`` has them: (m, n, T), or 1."""
    if ratio == "none":
        return 1.0, 1.0
    own = batch.at(ratios(truth, truth.process.pi), otherwise=1.0)
    return own, own if ratio == "prefix" else 1.0


def value(truth: Truth, later: bool) -> FloatArray:
    """V (S,) of what follows an action: with the penalties of later steps, or of rewards alone."""
    if later:
        return truth.v
    return truth.each(plain_value, truth.mdp.n_states)


@remembered
def plain_value(truth: Truth) -> FloatArray:
    """V (S,) without the penalty."""
    return state_values(penalty_of(truth).plain, truth.pi)[0]


def plain_rewards(truth: Truth, batch: Batch) -> FloatArray:
    """r_t without the penalty, (m, n, T)."""
    return batch.rewards + batch.at(penalty_of(truth).table)
