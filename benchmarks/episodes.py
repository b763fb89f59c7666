"""What short episodes cost beside long ones: ``python -m benchmarks.episodes``.

A garnet with A = 4 actions and 4 slots, γ = 0.99, one of whose slots leads to a terminal state with
probability 1/m, so that lengths are geometric with mean m, as those of the visitation estimators
are; H is 12 m, which few episodes reach. Reward-to-go weights, one thread: processor time per step
over that of the same problem where episodes hardly ever end and all have H = 128 steps. Least of
laps taken in turns.
"""

from time import process_time

import numpy as np

SIZES, BATCH_SIZES, MEANS = (10, 1000, 100_000), (1, 16, 256), (10, 30, 100, 300)
STEPS, ROUNDS = 2**20, 15


def ending(n_states, mean):
    """A garnet in which every step ends the episode with probability 1/mean."""
    from pgbench import FiniteMDP, make_problem

    mdp = make_problem("garnet", n_states=n_states, n_actions=4, branching=4, gamma=0.99, seed=0)
    successor = np.concatenate([mdp.successor, mdp.successor[:1]])
    probability = np.concatenate([mdp.probability, mdp.probability[:1]])
    reward = np.concatenate([mdp.reward, mdp.reward[:1]])
    successor[:, :, -1] = n_states
    kept = probability[:, :, :-1].sum(axis=2, keepdims=True)
    probability[:, :, :-1] *= (1 - 1 / mean) / kept
    probability[:, :, -1] = 1 / mean
    successor[-1], probability[-1], reward[-1] = n_states, 0.25, 0.0
    return FiniteMDP(
        successor=successor,
        probability=probability,
        reward=reward,
        mu0=np.append(mdp.mu0, 0.0),
        gamma=0.99,
        terminal=np.arange(n_states + 1) == n_states,
        name=f"garnet that ends after {mean} steps",
    )


def lap(mdp, horizon, batch_size, mean):
    """A function of no arguments: nanoseconds per step of about ``STEPS`` steps."""
    from pgbench import exact, make_policy
    from pgbench.estimators import find_estimator
    from pgbench.kernels.finite import compact, weigh
    from pgbench.kernels.streams import Streams

    policy = make_policy("softmax", mdp)
    truth = exact.evaluate(mdp, policy, policy.initial(seed=0), horizon=1)
    tables = compact([find_estimator("reward_to_go").make(truth)])
    streams = Streams(np.uint64(0), np.uint64(0), batch_size)
    replicates = max(1, round(STEPS / (mean * batch_size)))
    rows = min(mdp.n_states, horizon * batch_size)
    visited, n_visited = np.zeros((replicates, rows), np.int32), np.zeros(replicates, np.int64)
    weights, steps = np.zeros((replicates, 1, rows, 4)), np.zeros(replicates, np.int64)
    sampler = truth.process.sampler

    def call():
        begin = process_time()
        weigh(sampler, tables, streams, 0, horizon, visited, n_visited, weights, steps)
        return 1e9 * (process_time() - begin) / steps.sum()

    return call


def ratios(n_states, batch_size):
    """Time per step over that of long episodes, by mean length."""
    laps = [lap(ending(n_states, 1e9), 128, batch_size, 128)]
    laps += [lap(ending(n_states, mean), 12 * mean, batch_size, mean) for mean in MEANS]
    times = [[call() for call in laps] for _ in range(ROUNDS + 1)][1:]
    least = np.min(times, axis=0)
    return least[1:] / least[0]


def main():
    """Print the table."""
    from pgbench.kernels.partition import use_threads

    use_threads(1)
    print("mean length" + " " * 21 + "".join(f"{mean:8}" for mean in MEANS))
    for n_states in SIZES:
        for batch_size in BATCH_SIZES:
            row = "".join(f"{r:8.2f}" for r in ratios(n_states, batch_size))
            print(f"S = {n_states:<9,} batch size {batch_size:<7}{row}", flush=True)


if __name__ == "__main__":
    main()
