"""A baseline that depends on the action, and its expectation given back."""

from pgbench.arrays import FloatArray
from pgbench.estimators import reward_to_go
from pgbench.estimators.parts.control_variate import QNoise, approximate_q, expected_scores
from pgbench.estimators.parts.estimator import BatchEstimator
from pgbench.rollout.simulator import Simulator


def estimate(simulator: Simulator, *, q_noise: QNoise = 0.2) -> FloatArray:
    """Reward-to-go less q̃(s_t,a_t) times each score, plus Σ_a π q̃ ψ at each state."""
    truth, batch = simulator.truth, simulator.batch()
    q, discounts = approximate_q(truth, q_noise), batch.discounts()
    tables = batch.tables(discounts * (batch.to_go - batch.at(q)))
    return simulator.pull_back(tables + expected_scores(batch, truth, q, discounts))


estimator = BatchEstimator(
    name="action_dependent_baseline",
    estimate=estimate,
    like=lambda truth, horizon, **values: reward_to_go.tables(truth, horizon),
    bias=lambda q_noise: ("truncation",),
    formula=r"\sum_t \gamma^t [(\hat Q_t - \tilde q(s_t,a_t))\,\psi_t"
    r" + \sum_a \pi(s_t,a)\,\tilde q(s_t,a)\,\psi(s_t,a)]",
    reference="Gu, Lillicrap, Ghahramani, Turner & Levine 2017 (Q-Prop); Tucker et al. 2018",
    alone="",
)
