"""The penalty of an objective differentiated step by step, as a term of the loss."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.estimator import TableEstimator
from pgbench.estimators.parts.penalty import (
    OWN,
    SLOPES,
    Baseline,
    Form,
    Later,
    penalty_of,
    value,
)
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


def tables(
    truth: Truth, *, form: Form = "k3", later: Later = False, baseline: Baseline = False
) -> Tables:
    """Reward-to-go without the penalty, less the penalty's derivative, times each score.

    The term of a step is differentiated as if it were reached all the same. With ``later`` its
    action answers for the penalties of later steps too, which with k2 is the penalty in the reward.
    """
    penalty, gamma = penalty_of(truth), truth.mdp.gamma
    own = penalty.coefficient * slope(penalty.log_ratio, form)
    if later:  # rewards-to-go then hold the step's own penalty as well
        own = own - penalty.table
    if baseline:
        own = own + value(truth, later)[..., None]
    rewards = truth.mdp.reward if later else penalty.plain.reward
    return Tables.build(truth.process, sigma=rewards, kappa=gamma, beta=own, delta=gamma)


def slope(log_ratio: FloatArray, form: str) -> FloatArray:
    """The derivative of a form by the log ratio: what multiplies the score."""
    if form == "k1":
        return np.ones_like(log_ratio)
    return log_ratio if form == "k2" else -np.expm1(-log_ratio)


def bias(form: str, later: bool, baseline: bool) -> tuple[str, ...]:
    """Causes of bias."""
    lacking = () if later else ("later_penalty",)
    return (*OWN[form], *lacking, "truncation")


def formula(form: str, later: bool, baseline: bool) -> str:
    """ĝ of one trajectory."""
    after = r" - c\sum_{m>t}\gamma^{m-t}l_m" if later else ""
    less = " - V(s_t)" if baseline else ""
    own = SLOPES[form].replace(r"l", r"l_t")
    return (
        rf"\sum_t \gamma^t (\hat Q_t{less}{after} - {own})\,\psi_t,"
        r"\,l = \log(\pi/\pi_{ref})"
    )


estimator = TableEstimator(
    name="penalty_in_loss",
    tables=tables,
    bias=bias,
    formula=formula,
    reference="Schulman 2020 (k1, k2, k3); Shao et al. 2024, eq. 4 (k3 in the loss); Tang & Munos"
    " 2025 (what they lack)",
    cures={
        "own_penalty": {"form": "k2"},
        "divergence": {"form": "k2"},
        "later_penalty": {"later": True},
    },
    penalised=True,
    alone="",
)
