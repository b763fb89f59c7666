"""Doubly robust off-policy gradient: importance sampling of what an approximate Q leaves over."""

from pgbench.arrays import FloatArray
from pgbench.estimators import reward_to_go
from pgbench.estimators.parts.behaviour import EXPLORATION, Exploration, behaved
from pgbench.estimators.parts.control_variate import QNoise, approximate_q, expected_scores
from pgbench.estimators.parts.estimator import BatchEstimator
from pgbench.rollout.simulator import Simulator


def estimate(
    simulator: Simulator, *, exploration: Exploration = EXPLORATION, q_noise: QNoise = 0.2
) -> FloatArray:
    """Per-decision importance sampling with q̃ as control variate of actions and of later values.

    With V̂_t = ṽ(s_t) + w_t (r_t + γV̂_{t+1} - q̃_t) (Jiang & Li 2016) and W_t = Π_{i<t} w_i. It is
    unbiased for any q̃. The source also takes off an estimate of ∇q̃; here q̃ is a constant in θ.
    """
    truth, gamma = simulator.truth, simulator.truth.mdp.gamma
    batch, ratio = behaved(simulator, exploration)
    q = approximate_q(truth, q_noise)
    value, decay = batch.value((truth.pi * q).sum(axis=-1)), gamma * ratio
    robust = batch.backward(value + ratio * (batch.rewards - batch.at(q)), decay)
    carried = batch.forward(decay)
    # V̂_t less ṽ(s_t) is w_t (r_t + γV̂_{t+1} - q̃_t).
    tables = batch.tables(carried * (robust - value))
    return simulator.pull_back(tables + expected_scores(batch, truth, q, carried))


estimator = BatchEstimator(
    name="doubly_robust",
    estimate=estimate,
    like=lambda truth, horizon, **values: reward_to_go.tables(truth, horizon),
    bias=lambda exploration, q_noise: ("truncation",),
    formula=r"\sum_t \gamma^t W_t [w_t (r_t + \gamma \hat V_{t+1} - \tilde q_t)\,\psi_t"
    r" + \sum_a \pi \tilde q\,\psi]",
    reference="Huang & Jiang 2020, eq. 4, less its gradient of q; Jiang & Li 2016",
    unbounded=lambda exploration, q_noise: True,
    corrects=True,
    alone="",
)
