"""A control variate along the trajectory: the noise of later actions is taken off as well."""

from pgbench.arrays import FloatArray
from pgbench.estimators import reward_to_go
from pgbench.estimators.parts.control_variate import QNoise, approximate_q, expected_scores
from pgbench.estimators.parts.estimator import BatchEstimator
from pgbench.rollout.simulator import Simulator


def estimate(simulator: Simulator, *, q_noise: QNoise = 0.2) -> FloatArray:
    """Action-dependent baseline whose reward-to-go also loses q̃ - ṽ of every later step.

    ṽ(s) = Σ_a π(a|s) q̃(s,a), so that what is taken off has mean zero given the past.
    """
    truth, batch = simulator.truth, simulator.batch()
    q, discounts = approximate_q(truth, q_noise), batch.discounts()
    own = batch.at(q)
    surprise = own - batch.value((truth.pi * q).sum(axis=-1))
    later = batch.backward(batch.rewards - surprise, truth.mdp.gamma) + surprise
    tables = batch.tables(discounts * (later - own))
    return simulator.pull_back(tables + expected_scores(batch, truth, q, discounts))


estimator = BatchEstimator(
    name="trajectory_control_variate",
    estimate=estimate,
    like=lambda truth, horizon, **values: reward_to_go.tables(truth, horizon),
    bias=lambda q_noise: ("truncation",),
    formula=r"\sum_t \gamma^t [(\hat Q_t - \tilde q_t - \sum_{k>t} \gamma^{k-t}"
    r"(\tilde q_k - \tilde v_k))\,\psi_t + \sum_a \pi \tilde q\,\psi]",
    reference="Pankov 2018; Cheng, Yan & Boots 2020, eq. 11",
    alone="",
)
