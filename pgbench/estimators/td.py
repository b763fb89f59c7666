"""The one-step temporal-difference error as an estimate of the advantage."""

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
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables


def tables(
    truth: Truth, *, critic_noise: CriticNoise = 0.0, discounted: Discounted = True
) -> Tables:
    """TD error r + γv(s') - v(s) times each score; v is exact unless critic_noise > 0."""
    sigma = td_error(truth, noisy_critic(truth, critic_noise))
    return Tables.build(truth.process, sigma=sigma, delta=step_discount(truth, discounted))


def bias(critic_noise: float, discounted: bool) -> tuple[str, ...]:
    """Causes of bias."""
    return ("critic",) * (critic_noise > 0) + ("discount",) * (not discounted) + ("tail",)


estimator = TableEstimator(
    name="td",
    tables=tables,
    bias=bias,
    formula=lambda discounted, **_: (
        rf"\sum_t {step_power(discounted)}" + r"(r_t + \gamma v(s_{t+1}) - v(s_t))\,\psi_t"
    ),
    reference="Sutton & Barto 2018, Section 13.5; Bhatnagar et al. 2009",
    cures={"critic": {"critic_noise": 0.0}, "discount": {"discounted": True}},
    on=EVERYWHERE,
    alone="",
)
