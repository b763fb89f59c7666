"""Groups: what they add to the rollout kernel, and exact moments of outcome estimators.

Prefixes of up to nine of three tokens after four prompts make 10⁴ states and more. A call weighs
reward-to-go of 2¹⁶ responses, in groups or not; compiling and making tables are not timed.
"""

from functools import lru_cache, partial
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.settings import use_threads

RESPONSES, BATCH_SIZE = 2**16, 64
GROUP = 8
EXACT = (
    "rloo", "group_mean", "grpo", "dr_grpo", "dapo", "luspo", "opo", "pass_at_k",
    "max_likelihood", "overlong_filtering", "reinforce_plus_plus",
)  # fmt: skip
"""Estimators that look at classes of responses; those that look at the batch are of one group."""


class Groups:
    """``kernels.finite.weigh`` with group_size over the same without, calls in turns."""

    params = ((1, 8, 64), ("sequences", "garnet"))
    param_names = ("group_size", "problem")
    timeout = 300

    def setup(self, group_size, problem):
        """Compile and make tables."""
        use_threads(1)
        self.calls = [_call(problem, size) for size in (1, group_size)]
        for call in self.calls:
            call()

    def track_ratio(self, group_size, problem):
        """Median time in groups over that without, of 15 calls in turns."""
        return round(ratio(*self.calls), 3)

    track_ratio.unit = "1"


class ExactOutcomes:
    """Exact mean and variance of every outcome estimator at 10⁴ states and G = 8."""

    timeout = 300

    def track_all(self):
        """Seconds of all of them together, each the median of three; the unrolling is shared."""
        return round(sum(exact_seconds().values()), 2)

    track_all.unit = "s"


@lru_cache(maxsize=1)
def sequences():
    """Truth of a softmax policy on prefixes of up to nine tokens."""
    from pgbench import exact
    from pgbench.policies import make_policy
    from pgbench.problems import make_problem

    mdp = make_problem(
        "sequences", states="prefixes", vocabulary=3, length=9, prompts=1, prompt_length=1,
        features=False,
    )  # fmt: skip
    policy = make_policy("softmax", mdp)
    return exact.evaluate(mdp, policy, policy.initial(seed=0))


def exact_seconds():
    """Seconds of exact moments by estimator."""
    from pgbench.estimators import find_estimator

    truth = sequences()
    found = {}
    for name in EXACT:
        estimator = find_estimator(name)
        own = partial(estimator._by_classes, truth, 9, GROUP, GROUP, estimator.bound())
        found[name] = median(_seconds(own) for _ in range(3))
    return found


def ratio(one, other):
    """Median time of the other over that of one, calls in turns."""
    times = [(_seconds(one), _seconds(other)) for _ in range(15)]
    first, second = (median(column) for column in zip(*times, strict=True))
    return second / first


@lru_cache(maxsize=6)
def _call(problem, group_size):
    """A function of no arguments that weighs all responses."""
    from pgbench import exact
    from pgbench.estimators import find_estimator
    from pgbench.kernels.finite import compact, make_sampler, weigh
    from pgbench.kernels.streams import Streams
    from pgbench.policies import make_policy
    from pgbench.problems import make_problem

    truth, horizon = sequences(), 9
    if problem == "garnet":
        mdp = make_problem("garnet", n_states=1000, n_actions=4, branching=4, gamma=0.9, seed=0)
        policy = make_policy("softmax", mdp)
        truth, horizon = exact.evaluate(mdp, policy, policy.initial(seed=0), horizon=1), 16
    sampler = make_sampler(truth.mdp, truth.pi)
    tables = compact([find_estimator("reward_to_go").make(truth)])
    streams = Streams(np.uint64(0), np.uint64(0), BATCH_SIZE, group_size)
    replicates = RESPONSES // BATCH_SIZE
    rows = min(truth.mdp.n_states, horizon * BATCH_SIZE)
    visited, n_visited = np.zeros((replicates, rows), np.int32), np.zeros(replicates, np.int64)
    weights = np.zeros((replicates, 1, rows, truth.mdp.n_actions))
    arrays = visited, n_visited, weights, np.zeros(replicates, np.int64)
    return lambda: weigh(sampler, tables, streams, 0, horizon, *arrays)


def _seconds(call):
    begin = perf_counter()
    call()
    return perf_counter() - begin


if __name__ == "__main__":
    for size in (1, 8, 64):
        for name in ("sequences", "garnet"):
            bench = Groups()
            bench.setup(size, name)
            print(f"group_size {size:3}, {name}: {bench.track_ratio(size, name)}")
    seconds = exact_seconds()
    print(sequences().mdp, {k: round(v, 3) for k, v in seconds.items()}, sum(seconds.values()))
