"""pgbench's own kernel, called as the library calls it: one estimator, a replicate per thread."""

import numpy as np

from benchmarks.peers.contender import Contender


def make(workload):
    """``kernels.rollout.weight_tables`` for reward-to-go, on all cores of this process."""
    from pgbench import exact
    from pgbench.estimators import find_estimator
    from pgbench.kernels.alias import make_sampler
    from pgbench.kernels.rollout import EstimatorTables, Streams, use_threads, weight_tables

    mdp, pi = workload.mdp, workload.pi
    # The tables of reward-to-go hold rewards and γ only, so one step of exact values will do.
    truth = exact.evaluate(mdp, workload.policy, workload.theta, horizon=1)
    made = find_estimator("reward_to_go").make(truth)
    sampler = make_sampler(mdp.mu0, pi, mdp.successor, mdp.probability, mdp.terminal)
    tables = EstimatorTables(
        *(getattr(made, name).reshape(1, -1) for name in ("sigma", "kappa", "beta", "delta")),
        np.array([made.total]),
    )
    replicates = use_threads(None)

    def run(n, seed):
        streams = Streams(np.uint64(seed), np.uint64(0), n // replicates)
        weights = np.zeros((replicates, 1, pi.size))
        steps = np.zeros(replicates, np.int64)
        weight_tables(sampler, tables, streams, 0, workload.horizon, weights, steps)
        return weights.sum(axis=0).reshape(pi.shape)

    return run


contender = Contender("pgbench", "pgbench", make, batch=1024, threads=(1, 2))
