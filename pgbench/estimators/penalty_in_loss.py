"""The penalty of an objective differentiated step by step, as a term of the loss."""

from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.estimator import TableEstimator
from pgbench.estimators.parts.penalty import (
    ELSEWHERE,
    FACTORS,
    OWN,
    SLOPES,
    Baseline,
    Form,
    Later,
    Ratio,
    penalty_of,
    q_hat,
    value,
    weighing,
    where,
)
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


def tables(
    truth: Truth,
    *,
    form: Form = "k3",
    later: Later = False,
    ratio: Ratio = "none",
    baseline: Baseline = False,
) -> Tables:
    """Reward-to-go without the penalty, less the penalty's derivative, times each score.

    The term of a step is differentiated as if it were reached all the same. With ``later`` its
    action answers for the penalties of later steps too, which with k2 is the penalty in the reward.
    On data of another policy the ratio of a token corrects for how it was drawn, and its prefix is
    the sampler's unless the ratios of all tokens before it are there as well.
    """
    penalty, gamma = penalty_of(truth), truth.mdp.gamma
    own = penalty.coefficient * slope(penalty.log_ratio, form)
    if later:  # rewards-to-go then hold the step's own penalty as well
        own = own - penalty.table
    if baseline:
        own = own + value(truth, later)[..., None]
    rewards = truth.mdp.reward if later else penalty.plain.reward
    here, led = weighing(truth, ratio)
    return Tables.build(
        truth.process,
        sigma=here[..., None] * rewards,
        kappa=gamma * here,
        beta=here * own,
        delta=gamma * led,
    )


def slope(log_ratio: FloatArray, form: str) -> FloatArray:
    """The derivative of a form by the log ratio: what multiplies the score."""
    if form == "k1":
        return np.ones_like(log_ratio)
    return log_ratio if form == "k2" else -np.expm1(-log_ratio)


def bias(form: str, later: bool, **other: Any) -> tuple[str, ...]:
    """Causes of bias."""
    lacking = () if later else ("later_penalty",)
    return (*OWN[form], *lacking, "truncation")


def formula(form: str, later: bool, ratio: str, baseline: bool) -> str:
    """ĝ of one trajectory."""
    inside = "" if ratio == "none" else r"\prod_{t<i\leq m} w_i\,"
    after = rf" - c\sum_{{m>t}}\gamma^{{m-t}}{inside}l_m" if later else ""
    less = " - V(s_t)" if baseline else ""
    own = SLOPES[form].replace(r"l", r"l_t")
    return (
        rf"\sum_t \gamma^t {FACTORS[ratio]}({q_hat(ratio)}{less}{after} - {own})\,\psi_t,"
        rf"\,l = \log(\pi/\pi_{{ref}}){where(ratio)}"
    )


estimator = TableEstimator(
    name="penalty_in_loss",
    tables=tables,
    bias=bias,
    formula=formula,
    reference="Schulman 2020 (k1, k2, k3); Shao et al. 2024, eq. 4 (k3 in the loss); Tang & Munos"
    " 2025 (what they lack)",
    off_policy=lambda ratio, **other: ELSEWHERE[ratio],
    unbounded=lambda ratio, **other: ratio != "none",
    corrects=True,
    cures={
        "states": {"ratio": "prefix"},
        "own_penalty": {"form": "k2"},
        "divergence": {"form": "k2"},
        "later_penalty": {"later": True},
    },
    penalised=True,
    alone="",
)
