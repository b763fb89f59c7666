"""Generalised advantage estimation: TD errors summed with decay γλ."""

from typing import Annotated

from pgbench.declared.parameters import Range
from pgbench.estimators.parts.estimator import (
    EVERYWHERE,
    CriticNoise,
    Discounted,
    TableEstimator,
    noisy_critic,
    step_discount,
    step_power,
    td_error,
)
from pgbench.estimators.td import bias as td_bias
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


def tables(
    truth: Truth,
    *,
    lam: Annotated[
        float,
        Range(0, 1),
        "λ: 0 is the TD error, 1 the return less v; trades bias for variance where v is not exact,"
        " with critic_noise or in gae_learned",
    ],
    critic_noise: CriticNoise = 0.0,
    discounted: Discounted = True,
) -> Tables:
    """GAE(λ) of a critic that is exact by default; at critic_noise > 0 λ trades bias for variance.

    TD errors summed with decay γλ, times each score. Those of an exact critic have mean zero after
    the first, so that λ changes the variance alone. For the textbook's trade-off the critic has to
    be wrong: by ``critic_noise``, or learned from data as in ``gae_learned``. Its value of the
    state after the last step is bootstrapped, so a wrong critic leaves a bias even at λ = 1, of
    order γ^H.
    """
    v = noisy_critic(truth, critic_noise)
    return Tables.build(
        truth.process,
        sigma=td_error(truth, v),
        kappa=truth.mdp.gamma * lam,
        delta=step_discount(truth, discounted),
    )


estimator = TableEstimator(
    name="gae",
    tables=tables,
    bias=lambda lam, critic_noise, discounted: td_bias(critic_noise, discounted),
    formula=lambda discounted, **_: (
        rf"\sum_t {step_power(discounted)}\psi_t" + r" \sum_l (\gamma\lambda)^l \delta^v_{t+l}"
    ),
    reference="Schulman, Moritz, Levine, Jordan & Abbeel 2016, eq. 16",
    cures={"critic": {"critic_noise": 0.0}, "discount": {"discounted": True}},
    on=EVERYWHERE,
    alone="",
)
