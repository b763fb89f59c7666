"""Kernels compiled by one process while another begins to need them."""

import numpy as np

from pgbench import exact
from pgbench.estimators import TableEstimator, find_estimator
from pgbench.measure.sums import Sums
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.engines import Rollouts, WeightBlock
from pgbench.rollout.simulator import Draws
from pgbench.statistics import fixed_directions


def compile_ahead() -> None:
    """Compile what measuring cells of finite problems needs: sums first, which they need last.

    What another process compiles meanwhile is left to it.
    """
    mdp = make_problem("corridor", length=2)
    policy = make_policy("softmax", mdp)
    theta = policy.initial()
    truth = exact.evaluate(mdp, policy, theta, horizon=1)
    estimator = find_estimator("reward_to_go")
    assert isinstance(estimator, TableEstimator)
    tables = estimator.make(truth)
    process, draws = tables.process, Draws(horizon=1, batch_size=1, replicates=1, seed=0, stream=0)
    sums = Sums(truth.gradient, [truth.gradient], 1, fixed_directions(theta.size))
    shape = 1, 1, process.visited_rows(1, 1), process.columns
    nothing = np.zeros(shape[:1] + shape[2:3], np.int32), np.zeros(1, np.int64)
    sums.add(truth, process, WeightBlock(0, *nothing, np.zeros(shape), np.zeros(1, np.int64)))
    for _ in Rollouts([tables]).weights(draws):
        pass
