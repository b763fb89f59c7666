"""The penalty of an objective differentiated over all actions of every visited state."""

from dataclasses import replace
from typing import Any

from pgbench.arrays import FloatArray
from pgbench.estimators.parts.behaviour import ratios
from pgbench.estimators.parts.estimator import BatchEstimator, Exact
from pgbench.estimators.parts.penalty import (
    ELSEWHERE,
    Baseline,
    Later,
    Ratio,
    factors,
    penalty_of,
    plain_rewards,
    q_hat,
    value,
    weighing,
    where,
)
from pgbench.exact.expectation import expectation
from pgbench.exact.finite.stepwise import stepwise_variance
from pgbench.exact.remember import remembered
from pgbench.exact.table_moments import TooLarge
from pgbench.exact.truth import Truth
from pgbench.process.tables import Tables
from pgbench.rollout.simulator import Simulator


def estimate(
    simulator: Simulator,
    *,
    later: Later = False,
    ratio: Ratio = "none",
    baseline: Baseline = False,
) -> FloatArray:
    """Reward-to-go times each score, less the gradient of the divergence of every visited state.

    The divergence Σ_a π log(π/π_ref) is worked out, not sampled, and differentiated as if its state
    were reached all the same. With ``later`` an action answers for those of later states too.
    """
    truth, batch = simulator.truth, simulator.batch()
    penalty, gamma = penalty_of(truth), truth.mdp.gamma
    weights = simulator.once("weights", lambda: own_gradient(truth))
    rewards = plain_rewards(truth, batch)
    w, led = factors(batch, truth, ratio)
    here = penalty.coefficient * batch.value(penalty.divergence(truth.pi)) if later else 0.0
    to_go = batch.backward(w * (rewards - here), gamma * w) + w * here
    if baseline:
        to_go = to_go - w * batch.value(baseline_of(truth, later))
    reached = batch.forward(gamma * led)
    scored = batch.tables(reached * to_go)
    return simulator.pull_back(scored - batch.state_tables(reached)[:, :, None] * weights)


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
def one_trajectory(truth: Truth, horizon: int, later: bool, ratio: str, baseline: bool) -> Exact:
    """Exact mean and variance (d,) of one trajectory's estimate; no variance where too large.

    The mean of what a visited state adds is that of k2 at the action taken, had π taken it.
    """
    scored, penalty = scored_tables(truth, later, ratio, baseline), penalty_of(truth).table
    every = replace(scored, beta=scored.beta + ratios(truth, truth.process.pi) * penalty)
    mean = expectation(truth, every, horizon)
    try:
        return Exact(mean, stepwise_variance(truth, scored, -own_gradient(truth), horizon))
    except TooLarge:
        return Exact(mean)


def scored_tables(truth: Truth, later: bool, ratio: str, baseline: bool) -> Tables:
    """What multiplies the score of the action taken, as tables."""
    penalty, gamma = penalty_of(truth), truth.mdp.gamma
    here = later * penalty.coefficient * penalty.divergence(truth.pi)
    beta = baseline_of(truth, later) - here if baseline else -here
    rewards = penalty.plain.reward - here[:, None, None]
    w, led = weighing(truth, ratio)
    return Tables.build(
        truth.process,
        sigma=w[:, :, None] * rewards,
        kappa=gamma * w,
        beta=w * beta[:, None],
        delta=gamma * led,
    )


def moments(truth: Truth, horizon: int, batch_size: float, **values: Any) -> Exact:
    """Mean, and 1/n of the variance of one trajectory."""
    mean, variance = one_trajectory(truth, horizon, **values)
    return Exact(mean, None if variance is None else variance / batch_size)


def formula(later: bool, ratio: str, baseline: bool) -> str:
    """ĝ of a batch."""
    inside = "" if ratio == "none" else r"\prod_{t<i\leq m} w_i\,"
    after = rf" - c\sum_{{m>t}}\gamma^{{m-t}}{inside}D(s_m)" if later else ""
    less = " - V(s_t)" if baseline else ""
    inner = q_hat(ratio) if not after + less else rf"({q_hat(ratio)}{less}{after})"
    own = "" if ratio == "none" else r"w_t\,"
    led = r"\prod_{i<t} w_i\," if ratio == "prefix" else ""
    return (
        rf"\frac{{1}}{{n}}\sum_i\sum_t \gamma^t {led}[{own}{inner}\,\psi_t - c\,\nabla D(s_t)],"
        rf"\,D(s) = \sum_a \pi\log(\pi/\pi_{{ref}})(s,a){where(ratio)}"
    )


estimator = BatchEstimator(
    name="penalty_all_action",
    estimate=estimate,
    moments=moments,
    bias=lambda later, **other: (*(() if later else ("later_penalty",)), "truncation"),
    formula=formula,
    reference="Mnih et al. 2016, Section 4 (entropy at visited states); Amini, Vieira & Cotterell"
    " 2025 (later steps)",
    off_policy=lambda ratio, **other: ELSEWHERE[ratio],
    unbounded=lambda ratio, **other: ratio != "none",
    corrects=True,
    cures={"states": {"ratio": "prefix"}, "later_penalty": {"later": True}},
    penalised=True,
    alone="",
)
