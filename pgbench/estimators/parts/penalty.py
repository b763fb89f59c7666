"""What estimators share that differentiate the penalty of an objective in ways of their own."""

from typing import Annotated

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Choice
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
Baseline = Annotated[bool, "whether the exact value is taken off what follows an action"]

OWN = {"k1": ("own_penalty",), "k2": (), "k3": ("divergence",)}
"""Causes of bias of each form."""

SLOPES = {"k1": "c", "k2": r"c\,l", "k3": r"c\,(1 - e^{-l})"}
"""What multiplies scores in each form, as LaTeX mathematics; c is the penalty's coefficient."""


def penalty_of(truth: Truth) -> Penalty:
    """The penalty of the objective; NotApplicable where it has none."""
    if truth.penalty is None:
        raise NotApplicable("the objective has no penalty, as kl and entropy have")
    return truth.penalty


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
