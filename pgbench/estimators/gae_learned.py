"""Generalised advantages with a value table learned from sampled trajectories."""

from typing import Annotated

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Choice, Range
from pgbench.estimators.parts.estimator import BatchEstimator
from pgbench.estimators.parts.learned_critic import (
    Data,
    Episodes,
    Step,
    average_returns,
    temporal_difference,
    training_data,
)
from pgbench.rollout.simulator import Simulator


def estimate(
    simulator: Simulator,
    *,
    lam: Annotated[float, Range(0, 1), "λ: 0 is the TD error, 1 the return less v"] = 0.95,
    method: Annotated[
        str, Choice(("td", "monte_carlo")), "TD(0), or mean reward-to-go of a state's visits"
    ] = "td",
    step: Step = 0.1,
    data: Data = "independent",
    episodes: Episodes = 16,
) -> FloatArray:
    """GAE(λ) with a tabular critic that begins at zero for every estimate.

    The critic's own trajectories are charged.
    """
    learned_from = training_data(simulator, data, episodes)
    if method == "monte_carlo":
        v = average_returns(learned_from)
    else:
        v = temporal_difference(learned_from, step)
    batch = learned_from if data == "same" else simulator.batch()
    advantage = batch.backward(batch.td_errors(v), simulator.truth.mdp.gamma * lam)
    return simulator.pull_back(batch.tables(batch.discounts() * advantage))


estimator = BatchEstimator(
    name="gae_learned",
    estimate=estimate,
    bias=lambda lam, method, step, data, episodes: (
        ("critic",) + ("batch",) * (data == "same") + ("tail",)
    ),
    formula=r"\sum_t \gamma^t \psi_t \sum_l (\gamma\lambda)^l"
    r" (r_{t+l} + \gamma \hat V_{t+l+1} - \hat V_{t+l})",
    reference="Schulman, Moritz, Levine, Jordan & Abbeel 2016, eq. 16; Sutton 1988 (TD)",
    alone="",
)
