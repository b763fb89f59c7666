"""The GPU back end: time per environment step, and of whole measurements; skipped without a GPU.

Reward-to-go on a garnet with A = 4 actions and 4 successors, γ = 0.99, H = 128, and on a
linear-quadratic problem; 2²⁴ steps per call, results left in the GPU's memory. Compiling and making
tables are not timed.
"""

from functools import lru_cache
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.settings import garnet

HORIZON, BATCH_SIZE, REPLICATES = 128, 16, 8192
ROWS = 3
"""Of a table of weights of two actions."""


def require_gpu():
    """Let asv skip what needs a GPU, with the reason."""
    from pgbench.kernels.cuda import why_not

    if reason := why_not():
        raise NotImplementedError(reason)


class Rollouts:
    """``kernels.cuda``: trajectories, and weights of one estimator."""

    params = (10, 1000, 100_000, 1_000_000)
    param_names = ("n_states",)
    timeout = 300

    def setup(self, n_states):
        require_gpu()
        self.rollouts, self.rows = make(n_states)
        self.track_weights(n_states)

    def track_trajectories(self, n_states):
        """Nanoseconds per environment step of trajectories alone."""
        return per_step(lambda m: self.rollouts.simulate(streams(), 0, m, HORIZON))

    track_trajectories.unit = "ns"

    def track_weights(self, n_states):
        """Nanoseconds per environment step of trajectories and weights."""
        return per_step(lambda m: self.rollouts.weigh(streams(), 0, m, HORIZON, self.rows))

    track_weights.unit = "ns"


class Sums:
    """Rollouts, gradients and their moments, as a run needs them."""

    params = (10, 1000, 100_000)
    param_names = ("n_states",)
    timeout = 300

    def setup(self, n_states):
        require_gpu()
        self.step = summing(n_states)
        self.track_step(n_states)

    def track_step(self, n_states):
        """Nanoseconds per environment step."""
        return per_step(self.step)

    track_step.unit = "ns"


class QuadraticRollouts:
    """``kernels.cuda.linear_quadratic``: weights of one estimator, n = 4 states and 2 actions."""

    timeout = 300

    def setup(self):
        require_gpu()
        self.rollouts = make_quadratic()
        self.track_weights()

    def track_weights(self):
        """Nanoseconds per environment step."""
        return per_step(lambda m: self.rollouts.weigh(streams(), 0, m, HORIZON, ROWS))

    track_weights.unit = "ns"


def streams(seed=0):
    """Streams of batches of 16."""
    from pgbench.kernels.streams import Streams

    return Streams(np.uint64(seed), np.uint64(0), BATCH_SIZE)


def per_step(call, laps=7):
    """Nanoseconds per environment step, the median of some laps of all replicates."""
    from pgbench.kernels.cuda.launch import wait

    seconds = []
    for _ in range(laps):
        wait()
        begin = perf_counter()
        call(REPLICATES)
        wait()
        seconds.append(perf_counter() - begin)
    return round(1e9 * median(seconds) / (REPLICATES * BATCH_SIZE * HORIZON), 4)


@lru_cache(maxsize=1)
def reward_to_go(n_states):
    """Exact quantities of one step, and tables; more the estimator does not need."""
    from pgbench import exact
    from pgbench.estimators import find_estimator

    truth = exact.evaluate(*garnet(n_states), horizon=1)
    return truth, find_estimator("reward_to_go").make(truth)


def make(n_states):
    """Rollouts with their tables on the GPU, and rows of weights per replicate."""
    from pgbench.kernels.cuda.finite import DeviceRollouts
    from pgbench.kernels.finite import compact

    _, tables = reward_to_go(n_states)
    process = tables.process
    rollouts = DeviceRollouts(process.sampler, compact([tables]))
    return rollouts, process.visited_rows(HORIZON, BATCH_SIZE)


def summing(n_states):
    """A function of a number of replicates that adds them up."""
    from pgbench.kernels.cuda.running import DeviceSums
    from pgbench.measure.sums import Sums
    from pgbench.statistics import fixed_directions

    truth, _ = reward_to_go(n_states)
    rollouts, rows = make(n_states)
    directions = fixed_directions(truth.gradient.size)
    host = Sums(truth.gradient, [truth.gradient], REPLICATES, directions, blocks=1)
    local = truth.policy.local_pull_back(truth.theta)
    sums = DeviceSums(host.running, host.target, *local, 0, magnitude=1.0)
    return lambda m: sums.add(rollouts.weigh(streams(), 0, m, HORIZON, rows), 0)


def make_quadratic():
    """Rollouts of a random linear-quadratic problem."""
    from pgbench import exact, make_policy, make_problem
    from pgbench.estimators import find_estimator
    from pgbench.kernels.cuda.linear_quadratic import DeviceRollouts
    from pgbench.kernels.linear_quadratic import compact

    mdp = make_problem("lqg_random", n=4, m=2, seed=0)
    policy = make_policy("gaussian", mdp)
    truth = exact.evaluate(mdp, policy, policy.initial(init="zeros"))
    tables = [find_estimator("reward_to_go").make(truth)]
    return DeviceRollouts(truth.process.sampler, compact(tables))
