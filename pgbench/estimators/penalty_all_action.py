"""The penalty of an objective differentiated over all actions of every visited state."""

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.estimator import BatchEstimator, Exact
from pgbench.estimators.parts.penalty import (
    Baseline,
    Later,
    penalty_of,
    plain_rewards,
    value,
)
from pgbench.estimators.penalty_in_loss import tables as step_by_step
from pgbench.exact.expectation import expectation
from pgbench.exact.finite.stepwise import stepwise_variance
from pgbench.exact.remember import remembered
from pgbench.exact.table_moments import TooLarge
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables
from pgbench.rollout.simulator import Simulator


def estimate(
    simulator: Simulator, *, later: Later = False, baseline: Baseline = False
) -> FloatArray:
    """Reward-to-go times each score, less the gradient of the divergence of every visited state.

    The divergence Σ_a π log(π/π_ref) is worked out, not sampled, and differentiated as if its state
    were reached all the same. With ``later`` an action answers for those of later states too.
    """
    truth, batch = simulator.truth, simulator.batch()
    penalty, gamma = penalty_of(truth), truth.mdp.gamma
    weights = simulator.once("weights", lambda: own_gradient(truth))
    rewards = plain_rewards(truth, batch)
    to_go = batch.backward(rewards, gamma)
    if later:
        here = penalty.coefficient * batch.value(penalty.divergence(truth.pi))
        to_go = batch.backward(rewards - here, gamma) + here
    if baseline:
        to_go = to_go - batch.value(baseline_of(truth, later))
    scored = batch.tables(batch.discounts() * to_go)
    return simulator.pull_back(scored - batch.state_tables(batch.discounts())[:, :, None] * weights)


def own_gradient(truth: Truth) -> FloatArray:
    """c π(log(π/π_ref) - KL) (S, A), whose pull-back is the gradient of c KL in every state."""
    penalty = penalty_of(truth)
    away = penalty.log_ratio - penalty.divergence(truth.pi)[..., None]
    return penalty.coefficient * truth.pi * away


def baseline_of(truth: Truth, later: bool) -> FloatArray:
    """The mean of what follows an action of a state, (S,)."""
    if not later:
        return value(truth, later)
    penalty = penalty_of(truth)
    return truth.v + penalty.coefficient * penalty.divergence(truth.pi)


@remembered
def one_trajectory(truth: Truth, horizon: int, later: bool, baseline: bool) -> Exact:
    """Exact mean and variance (d,) of one trajectory's estimate; no variance where too large.

    The mean is that of k2 step by step.
    """
    mean = expectation(truth, step_by_step(truth, form="k2", later=later), horizon)
    scored = scored_tables(truth, later, baseline)
    try:
        return Exact(mean, stepwise_variance(truth, scored, -own_gradient(truth), horizon))
    except TooLarge:
        return Exact(mean)


def scored_tables(truth: Truth, later: bool, baseline: bool) -> Tables:
    """What multiplies the score of the action taken, as tables."""
    penalty, gamma = penalty_of(truth), truth.mdp.gamma
    here = later * penalty.coefficient * penalty.divergence(truth.pi)
    beta = baseline_of(truth, later) - here if baseline else -here
    rewards = penalty.plain.reward - here[:, None, None]
    return Tables.build(truth.process, sigma=rewards, kappa=gamma, beta=beta[:, None], delta=gamma)


def moments(truth: Truth, horizon: int, batch_size: float, *, later: bool, baseline: bool) -> Exact:
    """Mean, and 1/n of the variance of one trajectory."""
    mean, variance = one_trajectory(truth, horizon, later, baseline)
    return Exact(mean, None if variance is None else variance / batch_size)


def formula(later: bool, baseline: bool) -> str:
    """ĝ of a batch."""
    after = r" - c\sum_{m>t}\gamma^{m-t} D(s_m)" if later else ""
    less = " - V(s_t)" if baseline else ""
    inner = r"\hat Q_t" if not after + less else rf"(\hat Q_t{less}{after})"
    return (
        rf"\frac{{1}}{{n}}\sum_i\sum_t \gamma^t [{inner}\,\psi_t - c\,\nabla D(s_t)],"
        r"\,D(s) = \sum_a \pi\log(\pi/\pi_{ref})(s,a)"
    )


estimator = BatchEstimator(
    name="penalty_all_action",
    estimate=estimate,
    moments=moments,
    bias=lambda later, baseline: (*(() if later else ("later_penalty",)), "truncation"),
    formula=formula,
    reference="Mnih et al. 2016, Section 4 (entropy at visited states); Amini, Vieira & Cotterell"
    " 2025 (later steps)",
    cures={"later_penalty": {"later": True}},
    penalised=True,
    alone="",
)
