"""The rollout kernel: wall time per environment step, by problem size and threads.

Reward-to-go weights on a garnet with A = 4 actions and 4 successors, γ = 0.99, H = 128; a call
takes 2²⁰ steps, 32 replicates of 256 trajectories. Compiling and making tables are not timed.
"""

from functools import lru_cache
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.revisions import find
from benchmarks.settings import garnet, use_threads

HORIZON, BATCH_SIZE, REPLICATES = 128, 256, 32
STEPS = HORIZON * BATCH_SIZE * REPLICATES


class Rollouts:
    """``kernels.finite.weigh`` for one estimator."""

    params = ((10, 1000, 100_000), (1, 2))
    param_names = ("n_states", "threads")
    timeout = 120

    def setup_cache(self):
        """Compile once per revision; later processes load the code from disk."""
        _call(10)()

    setup_cache.timeout = 600

    def setup(self, n_states, threads):
        use_threads(threads)
        self.call = _call(n_states)
        self.call()

    def time_weigh(self, n_states, threads):
        """Seconds per 2²⁰ environment steps."""
        self.call()

    def track_step(self, n_states, threads):
        """Nanoseconds of wall time per environment step, median of 15 calls."""
        return round(1e9 * median(_seconds(self.call) for _ in range(15)) / STEPS, 2)

    track_step.unit = "ns"


@lru_cache(maxsize=1)
def _call(n_states):
    """A function of no arguments that takes the steps; made once, for asv repeats ``setup``."""
    from pgbench import exact
    from pgbench.estimators import find_estimator

    compact = find("kernels.finite.compact", "kernels.rollout.compact")
    make_sampler = find("kernels.finite.make_sampler", "kernels.alias.make_sampler")
    weigh = find("kernels.finite.weigh", "kernels.rollout.weight_rows")
    Streams = find("kernels.streams.Streams", "kernels.rollout.Streams")

    mdp, policy, theta = garnet(n_states)
    # The tables of reward-to-go hold rewards and γ only, so one step of exact values will do.
    truth = exact.evaluate(mdp, policy, theta, horizon=1)
    sampler = make_sampler(mdp, truth.pi)
    tables = compact([find_estimator("reward_to_go").make(truth)])
    streams = Streams(np.uint64(0), np.uint64(0), BATCH_SIZE)
    rows = min(n_states, HORIZON * BATCH_SIZE)
    visited, n_visited = np.zeros((REPLICATES, rows), np.int32), np.zeros(REPLICATES, np.int64)
    weights = np.zeros((REPLICATES, 1, rows, 4))
    steps = np.zeros(REPLICATES, np.int64)

    def call():
        weigh(sampler, tables, streams, 0, HORIZON, visited, n_visited, weights, steps)
        if steps.sum() != STEPS:
            raise RuntimeError(f"{steps.sum()} steps were taken, must be {STEPS}")

    return call


def _seconds(call):
    begin = perf_counter()
    call()
    return perf_counter() - begin
