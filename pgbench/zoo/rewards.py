"""Rewards summed wrongly."""

from pgbench.estimators import TableEstimator, Tables
from pgbench.exact.values import Truth
from pgbench.zoo.bug import Bug


def _off_by_one(truth: Truth) -> Tables:
    """Reward-to-go that begins with the reward after the next."""
    mdp, gamma = truth.mdp, truth.mdp.gamma
    # x_t - r_t has no table of its own; the mean of r_t given (s, a) has, and the same expectation.
    return Tables.build(
        truth.process, sigma=mdp.reward, kappa=gamma, beta=mdp.expected_reward, delta=gamma
    )


reward_to_go_off_by_one = Bug(
    TableEstimator(
        name="reward_to_go_off_by_one",
        tables=_off_by_one,
        bias=lambda: ("truncation",),
        formula=r"\sum_t \gamma^t \psi_t \sum_{m>t} \gamma^{m-t} r_m",
        reference="",
    ),
    claims="reward_to_go",
    mistake="the sum of rewards to go begins after the action's own reward",
    source="a classic off-by-one of cumulative sums",
)
