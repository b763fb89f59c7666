"""pgbench's own kernel, called as the library calls it: one estimator, a replicate per thread."""

import numpy as np

from benchmarks.peers.contender import Contender


def make(workload):
    """``kernels.rollout.weight_rows`` for reward-to-go, on all cores of this process."""
    from pgbench import exact
    from pgbench.estimators import find_estimator
    from pgbench.kernels.alias import make_sampler
    from pgbench.kernels.rollout import Streams, compact, use_threads, weight_rows

    mdp, (S, A) = workload.mdp, workload.pi.shape
    # The tables of reward-to-go hold rewards and γ only, so one step of exact values will do.
    truth = exact.evaluate(mdp, workload.policy, workload.theta, horizon=1)
    sampler = make_sampler(mdp, workload.pi)
    tables = compact([find_estimator("reward_to_go").make(truth)], mdp)
    replicates = use_threads(None)
    visited = np.zeros((replicates, S), np.int32)
    weights = np.zeros((replicates, 1, S, A))
    n_visited, steps = np.zeros(replicates, np.int64), np.zeros(replicates, np.int64)

    def run(n, seed):
        # With room for all states, rows are the states in order.
        streams = Streams(np.uint64(seed), np.uint64(0), n // replicates)
        arrays = visited, n_visited, weights, steps
        weight_rows(sampler, tables, streams, 0, workload.horizon, *arrays)
        return weights.sum(axis=0)[0] * (n // replicates)

    return run


contender = Contender("pgbench", "pgbench", make, batch=1024, threads=(1, 2))
