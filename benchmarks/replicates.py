"""What gradients and their moments cost beside the rollouts: ``python -m benchmarks.replicates``.

Reward-to-go on a garnet with A = 4 actions, 4 successors, tabular softmax, γ = 0.99, H = 128, one
thread: the time of rollouts, gradients, first and second moments, block sums, errors and
projections over that of the rollouts alone, taken in turns.
"""

from statistics import median
from time import process_time

from benchmarks.revisions import find

SIZES, BATCH_SIZES, STEPS, ROUNDS = (10, 1000, 100_000), (1, 16, 256), 2**19, 15


def ratio(n_states, batch_size):
    """Median over rounds of (rollouts and sums) / rollouts."""
    from benchmarks.settings import garnet
    from pgbench import exact
    from pgbench.estimators import find_estimator

    Sums = find("measure.sums.Sums", "sums.Sums")
    Rollouts = find("rollout.engines.Rollouts", "rollouts.Rollouts")
    Draws = find("rollout.simulator.Draws", "simulator.Draws")
    from pgbench.statistics import fixed_directions

    truth = exact.evaluate(*garnet(n_states), horizon=1)
    rollouts = Rollouts([find_estimator("reward_to_go").make(truth)])
    draws = Draws(128, batch_size, STEPS // (128 * batch_size), 0, 0)
    g = truth.gradient
    sums = Sums(g, [g], draws.replicates, fixed_directions(g.size))

    def lap(add):
        begin = process_time()
        for block in rollouts.weights(draws):
            if add:
                sums.add(truth, rollouts.process, block)
        return process_time() - begin

    lap(True)
    return median(lap(True) / lap(False) for _ in range(ROUNDS))


def main():
    """Print the table."""
    use_threads = find("kernels.partition.use_threads", "kernels.rollout.use_threads")

    use_threads(1)
    print("trajectories per replicate" + "".join(f"{n:8}" for n in BATCH_SIZES))
    for n_states in SIZES:
        row = [ratio(n_states, n) for n in BATCH_SIZES]
        print(f"S = {n_states:<22,}" + "".join(f"{r:8.2f}" for r in row), flush=True)


if __name__ == "__main__":
    main()
