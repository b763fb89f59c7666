"""pgbench's own kernel, called as the library calls it: one estimator, a replicate per thread."""

import numpy as np

from benchmarks.peers.contender import Contender


def make(workload):
    """``kernels.finite.weigh`` for reward-to-go, on all cores of this process."""
    from pgbench import exact
    from pgbench.estimators import find_estimator
    from pgbench.kernels.finite import compact, make_sampler, weigh
    from pgbench.kernels.partition import use_threads
    from pgbench.kernels.streams import Streams

    mdp, (S, A) = workload.mdp, workload.pi.shape
    # The tables of reward-to-go hold rewards and γ only, so one step of exact values will do.
    truth = exact.evaluate(mdp, workload.policy, workload.theta, horizon=1)
    sampler = make_sampler(mdp, workload.pi)
    tables = compact([find_estimator("reward_to_go").make(truth)])
    replicates = use_threads(None)
    visited = np.zeros((replicates, S), np.int32)
    weights = np.zeros((replicates, 1, S, A))
    n_visited, steps = np.zeros(replicates, np.int64), np.zeros(replicates, np.int64)

    def run(n, seed):
        # With room for all states, rows are the states in order.
        streams = Streams(np.uint64(seed), np.uint64(0), n // replicates)
        arrays = visited, n_visited, weights, steps
        weigh(sampler, tables, streams, 0, workload.horizon, *arrays)
        # In place: new arrays of 10⁶ states would take as long as many steps.
        total = weights[0, 0]
        for other in weights[1:, 0]:
            total += other
        total *= n // replicates
        return total

    return run


contender = Contender("pgbench", "pgbench", make, batch=1024, threads=(1, 2))
