"""Rollouts of linear-quadratic problems, their normal numbers, and what is exact about them.

``python -m benchmarks.linear_quadratic`` prints nanoseconds per environment step by dimension,
medians of rounds in turns.
"""

from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.revisions import find
from benchmarks.settings import use_threads

HORIZON, BATCH_SIZE = 100, 16
SIZES = ((1, 1), (4, 2), (16, 4), (64, 16))
MANY = ("reinforce", "reward_to_go", "baseline_value", "q_oracle", "advantage_oracle", "td")


class QuadraticRollouts:
    """``kernels.linear_quadratic.weigh`` by dimension of state and action, one estimator."""

    params = SIZES
    param_names = ("n and m",)
    timeout = 120

    def setup(self, size):
        use_threads(1)
        self.call, self.steps = call(*size, ["reward_to_go"])
        self.call()

    def track_step(self, size):
        """Nanoseconds of wall time per environment step on one thread, median of 5 calls."""
        return round(1e9 * median(seconds(self.call) for _ in range(5)) / self.steps, 2)

    track_step.unit = "ns"


class Normals:
    """``kernels.normal.from_words``."""

    def setup(self):
        from pgbench.kernels.normal import from_words

        self.words = np.random.default_rng(0).integers(0, 2**64, 2**20, dtype=np.uint64)
        self.draw = from_words
        self.draw(self.words)

    def time_normals(self):
        """Seconds per 2²⁰ numbers."""
        self.draw(self.words)


class ExactVariance:
    """``table_moments`` of GAE over 100 steps, two states and one action."""

    def setup(self):
        from pgbench import exact
        from pgbench.estimators import make_tables
        from pgbench.policies import make_policy
        from pgbench.problems import make_problem

        mdp = make_problem("lqg_chain", masses=1)
        policy = make_policy("gaussian", mdp)
        self.truth = exact.evaluate(mdp, policy, policy.initial(init="zeros"))
        self.tables = make_tables(self.truth, "gae", HORIZON, lam=0.9)

    def time_moments(self):
        """Seconds of the mean and variance of every coordinate."""
        table_moments = find("exact.table_moments.table_moments", "exact.moments.table_moments")

        table_moments(self.truth, self.tables, HORIZON)


def call(n, m, names):
    """A function of no arguments that simulates and weighs, and its environment steps."""
    from pgbench import exact
    from pgbench.estimators import make_tables
    from pgbench.kernels.linear_quadratic import compact, weigh
    from pgbench.policies import make_policy
    from pgbench.problems import make_problem

    Streams = find("kernels.streams.Streams", "kernels.rollout.Streams")
    mdp = make_problem("lqg_random", n=n, m=m)
    policy = make_policy("gaussian", mdp)
    truth = exact.evaluate(mdp, policy, policy.initial(init="zeros"))
    tables = [make_tables(truth, name, HORIZON) for name in names]
    sampler, compacted = truth.process.sampler, compact(tables)
    replicates = max(16, 512 // n)
    visited, n_visited = np.empty((replicates, m + 1), np.int32), np.empty(replicates, np.int64)
    weights, steps = np.empty((replicates, len(names), m + 1, n + 1 + m)), np.empty_like(n_visited)
    arrays = visited, n_visited, weights, steps
    streams = Streams(np.uint64(0), np.uint64(0), BATCH_SIZE)

    def run():
        weigh(sampler, compacted, streams, 0, HORIZON, *arrays)

    return run, replicates * BATCH_SIZE * HORIZON


def seconds(function):
    """Wall time of a call."""
    begin = perf_counter()
    function()
    return perf_counter() - begin


def main(rounds=7):
    """Print the table."""
    print(f"ns per environment step, H = {HORIZON}, median of {rounds} rounds (least to largest)")
    calls = {
        (n, m, len(names), threads): call(n, m, names)
        for n, m in SIZES
        for names in (["reward_to_go"], MANY)
        for threads in (1, 2)
    }
    laps = {key: [] for key in calls}
    for _ in range(rounds + 1):
        for key, (run, steps) in calls.items():
            use_threads(key[3])
            laps[key].append(1e9 * seconds(run) / steps)
    for (n, m, estimators, threads), own in laps.items():
        own = own[1:]
        print(
            f"n = {n:2}, m = {m:2}, {estimators} estimators, {threads} threads:"
            f" {median(own):8.1f} ({min(own):.1f} to {max(own):.1f})"
        )


if __name__ == "__main__":
    main()
