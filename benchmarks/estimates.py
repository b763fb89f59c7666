"""Estimates: wall time of sampling, by estimator, policy, problem size and threads.

``sampling.gradient_blocks`` to its end: tables for the sampler, rollouts, weights and
pull-back. A trajectory has at most 128 steps. Compiling and exact values are not timed.
"""

from functools import lru_cache

from benchmarks.revisions import find
from benchmarks.settings import ESTIMATORS, garnet, use_threads

HORIZON, REPLICATES = 128, 64


class Estimates:
    """64 estimates; compiled once per revision, later processes load the code from disk."""

    timeout = 60
    repeat = (1, 5, 1.5)

    def setup_cache(self):
        sampling(10)()

    setup_cache.timeout = 600


class Estimators(Estimates):
    """100 states, tabular softmax, 16 trajectories per estimate, one thread."""

    params = tuple(ESTIMATORS)
    param_names = ("estimator",)

    def setup(self, estimator):
        use_threads(1)
        self.sample = sampling(100, estimator)

    def time_estimates(self, estimator):
        """Seconds for 64 estimates."""
        self.sample()


class Batches(Estimates):
    """Functions of batches: 100 states, tabular softmax, 16 trajectories per estimate, one thread.

    Exact quantities, which they do not need, are worked out once before.
    """

    params = ("rloo", "group_mean")
    param_names = ("estimator",)

    def setup(self, estimator):
        from pgbench import exact
        from pgbench.estimators import find_estimator

        Draws = find("rollout.simulator.Draws", "simulator.Draws")
        estimates = find("measure.gradients.estimates", "sampling.estimates")

        use_threads(1)
        truth = exact.evaluate(*garnet(100, "softmax"))
        draws = Draws(HORIZON, 16, REPLICATES, seed=0, stream=0)
        self.sample = lambda: estimates(truth, find_estimator(estimator), {}, draws)
        self.sample()

    def time_estimates(self, estimator):
        """Seconds for 64 estimates."""
        self.sample()


class Policies(Estimates):
    """100 states, reward-to-go, 16 trajectories per estimate, one thread.

    The difference between policies is the pull-back.
    """

    params = ("softmax", "direct", "loglinear", "neural")
    param_names = ("policy",)

    def setup(self, policy):
        use_threads(1)
        self.sample = sampling(100, policy=policy)

    def time_estimates(self, policy):
        """Seconds for 64 estimates."""
        self.sample()


class Sizes(Estimates):
    """Tabular softmax, reward-to-go, one thread."""

    params = ((10, 1000, 100_000), (1, 16))
    param_names = ("n_states", "batch_size")
    rounds = 1

    def setup(self, n_states, batch_size):
        use_threads(1)
        self.sample = sampling(n_states, batch_size=batch_size)

    def time_estimates(self, n_states, batch_size):
        """Seconds for 64 estimates."""
        self.sample()


class Threads(Estimates):
    """1000 states, tabular softmax, reward-to-go, 256 trajectories per estimate."""

    params = (1, 2)
    param_names = ("threads",)

    def setup(self, threads):
        use_threads(threads)
        self.sample = sampling(1000, batch_size=256)

    def time_estimates(self, threads):
        """Seconds for 64 estimates."""
        self.sample()


@lru_cache(maxsize=1)
def sampling(
    n_states, estimator="reward_to_go", policy="softmax", batch_size=16, replicates=REPLICATES
):
    """A function of no arguments that samples the estimates."""
    from pgbench import exact
    from pgbench.estimators import find_estimator

    Draws = find("rollout.simulator.Draws", "simulator.Draws")
    gradient_blocks = find("measure.gradients.gradient_blocks", "sampling.gradient_blocks")

    features = {"n_features": 8} if policy == "loglinear" else {}
    # Reward-to-go needs rewards and γ only, so one step of exact values will do.
    truth_horizon = 1 if estimator == "reward_to_go" else None
    truth = exact.evaluate(*garnet(n_states, policy, **features), horizon=truth_horizon)
    tables = find_estimator(estimator).make(truth, **ESTIMATORS[estimator])
    draws = Draws(HORIZON, batch_size, replicates, seed=0, stream=0)

    def sample():
        n = sum(len(block.gradients[0]) for block in gradient_blocks(truth, [tables], draws))
        if n != replicates:
            raise RuntimeError(f"{n} estimates were made, must be {replicates}")

    return sample
