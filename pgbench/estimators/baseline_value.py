"""Reward-to-go less the value of the state, exact or by a critic."""

from pgbench.estimators.parts.estimator import (
    EVERYWHERE,
    CriticNoise,
    Discounted,
    TableEstimator,
    by_state,
    noisy_critic,
    step_discount,
    step_power,
)
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


def tables(
    truth: Truth, *, discounted: Discounted = True, critic_noise: CriticNoise = 0.0
) -> Tables:
    """Discounted reward-to-go less the exact value V(s_t), times each score.

    With ``critic_noise`` less that of a critic that errs, which costs variance and biases nothing.
    """
    mdp = truth.mdp
    return Tables.build(
        truth.process,
        sigma=mdp.reward,
        kappa=mdp.gamma,
        beta=by_state(noisy_critic(truth, critic_noise)),
        delta=step_discount(truth, discounted),
    )


estimator = TableEstimator(
    name="baseline_value",
    tables=tables,
    bias=lambda discounted, critic_noise: ("truncation",) if discounted else ("discount",),
    formula=lambda discounted, **_: rf"\sum_t {step_power(discounted)}(\hat Q_t - V(s_t))\,\psi_t",
    reference="Williams 1992, Section 5; Sutton & Barto 2018, eq. 13.11",
    cures={"discount": {"discounted": True}},
    on=EVERYWHERE,
    alone="",
)
