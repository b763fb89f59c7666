"""The GPU against the CPU and against JAX on the same GPU: ``python -m benchmarks.gpu_race``.

Reward-to-go on garnets with A = 4 actions, 4 successors, γ = 0.99, H = 128, from 10 to 10⁶ states.
Everybody is checked against the exact expectation first, then has laps in turns, forth and back;
results stay where they were made. JAX sums all trajectories into one table, in float32; pgbench
makes the weights of every replicate of 16 trajectories, in float64 (``weights``), or gradients and
their moments on top (``moments``). Figures are medians of ratios within rounds.

Then what bounds ``weights``: the time that its reads and writes would take at the speed of a copy,
and its random reads at the speed of independent random loads, both measured here, over the time it
takes. And the number of steps from which the GPU beats the CPU.
"""

import argparse
from time import perf_counter

import numpy as np

BATCH_SIZE = 16
SIZES = (10, 100, 1000, 10_000, 100_000, 1_000_000)
SCREEN = 4.0
"""Standard errors that a check may be off."""


class Cpu:
    """pgbench on all cores: weights of replicates of 16 trajectories."""

    title, place = "pgbench, CPU", "cpu"

    def __init__(self, workload, tables, trajectories):
        from pgbench.rollout.engines import Rollouts

        self.workload, self.replicates = workload, trajectories // BATCH_SIZE
        self.rollouts = Rollouts([tables], self.place)

    def lap(self, seed):
        """Take the steps."""
        for _ in self.rollouts.blocks(self.draws(seed)):
            pass

    def draws(self, seed):
        from pgbench.rollout.simulator import Draws

        return Draws(self.workload.horizon, BATCH_SIZE, self.replicates, seed, stream=0)

    def mean(self, seed):
        """Mean weights (S·A,) of one trajectory."""
        S, A = self.workload.pi.shape
        total = np.zeros((S + 1, A))
        for block in self.rollouts.weights(self.draws(seed)):
            rows = block.weights.shape[2]
            # What is beyond a replicate's rows goes to a state that there is not.
            listed = np.arange(rows) < block.n_visited[:, None]
            np.add.at(total, np.where(listed, block.visited, S), block.weights[:, 0])
        return total[:S].ravel() / self.replicates


class Weights(Cpu):
    """pgbench on the GPU: the same."""

    title, place = "pgbench, GPU, weights", "cuda"

    def lap(self, seed):
        from pgbench.kernels.cuda.launch import wait

        super().lap(seed)
        wait()


class Moments(Weights):
    """pgbench on the GPU: gradients of every replicate, and their sums and squares by parameter."""

    title = "pgbench, GPU, moments"

    def __init__(self, workload, tables, trajectories):
        from pgbench.measure.sums import Sums
        from pgbench.statistics import fixed_directions

        super().__init__(workload, tables, trajectories)
        d = workload.theta.size
        zero = np.zeros(d)
        self.sums = Sums(zero, [zero], self.replicates, fixed_directions(d), blocks=1)

    def lap(self, seed):
        from types import SimpleNamespace

        from pgbench.kernels.cuda.launch import wait

        truth = SimpleNamespace(policy=self.workload.policy, theta=self.workload.theta)
        for block in self.rollouts.blocks(self.draws(seed)):
            self.sums.add(truth, self.rollouts.process, block)
        wait()


class Jax:
    """JAX on whatever it finds, a GPU where its CUDA plugin is installed."""

    title = "JAX"

    def __init__(self, workload, tables, trajectories):
        import jax

        from benchmarks.peers.contenders import jax_scan

        self.title = f"JAX, {jax.devices()[0].platform}"
        self.n = trajectories
        self.batch = jax_scan.batch(workload, trajectories)
        self.key = jax.random.key

    def lap(self, seed):
        self.batch(self.key(seed)).block_until_ready()

    def mean(self, seed):
        return np.asarray(self.batch(self.key(seed)), np.float64) / self.n


def checked(contender, workload, calls):
    """z of the mean weights along the exact ones, from calls of their own."""
    exact = workload.weights.ravel()
    sample = np.array([exact @ contender.mean(1000 + seed) for seed in range(calls)])
    return (sample.mean() - exact @ exact) / (sample.std(ddof=1) / np.sqrt(calls))


def race(sizes, trajectories, rounds, horizon=None, calls=24):
    """Rows of the table: size, title, median ns per step, and what CPU and JAX take of it."""
    from importlib.util import find_spec

    from benchmarks.peers.workload import HORIZON, make_workload

    rows = []
    for n_states in sizes:
        workload = make_workload(n_states, horizon or HORIZON)
        tables = reward_to_go(workload)
        kinds = [Cpu, Weights, Moments, *[Jax] * (find_spec("jax") is not None)]
        runners = [kind(workload, tables, trajectories) for kind in kinds]
        steps = trajectories * workload.horizon
        for runner in list(runners):
            runner.lap(0)
            if isinstance(runner, Moments):  # sums of what Weights makes; tests hold them to it
                continue
            z = checked(runner, workload, calls)
            if not abs(z) < SCREEN:
                runners.remove(runner)
            word = "" if runner in runners else ". WRONG, so not timed"
            print(f"S = {n_states:,}  {runner.title}: z = {z:+.1f}{word}", flush=True)
        laps = {runner.title: [] for runner in runners}
        for i in range(rounds):
            for runner in runners if i % 2 == 0 else runners[::-1]:
                begin = perf_counter()
                runner.lap(i + 1)
                laps[runner.title].append((perf_counter() - begin) / steps)
        cpu = np.array(laps.get(Cpu.title, np.nan))
        others = [np.array(lap) for title, lap in laps.items() if title.startswith("JAX")]
        for title, own in laps.items():
            ratio = [np.median(cpu / own), *(np.median(jax / own) for jax in others)]
            rows.append((n_states, title, 1e9 * np.median(own), *ratio))
    return rows


def reward_to_go(workload):
    """Tables of the estimator; of exact values it needs none, so one step will do."""
    from pgbench import exact
    from pgbench.estimators import find_estimator

    truth = exact.evaluate(workload.mdp, workload.policy, workload.theta, horizon=1)
    return find_estimator("reward_to_go").make(truth)


def bound(n_states, n_loads):
    """Seconds per step that memory alone would take."""
    from benchmarks.gpu_limits import copy, loads

    # Slot and pair are written once and the pair read thrice; a step's number is written twice and
    # read twice. A state's row, a reward and a weight are read at random, the weight is written;
    # random loads are measured with a table as large as the sampler's.
    streamed = 8 + 3 * 4 + 4 * 8
    return streamed * copy(n_loads) + 4 * loads(16 * n_states, n_loads)


def crossover(workload, tables, counts, rounds):
    """The least number of steps from which the GPU is the quicker, and every pair of times."""
    rows = []
    for trajectories in counts:
        pair = [kind(workload, tables, trajectories) for kind in (Cpu, Weights)]
        laps = [[], []]
        for runner in pair:
            runner.lap(0)
        for i in range(rounds):
            for own, runner in zip(laps, pair, strict=True):
                begin = perf_counter()
                runner.lap(i)
                own.append(perf_counter() - begin)
        rows.append((trajectories * workload.horizon, *(np.median(own) for own in laps)))
    quicker = [steps for steps, cpu, gpu in rows if gpu < cpu]
    return (min(quicker) if quicker else None), rows


def main(arguments=None):
    """Print the tables."""
    from benchmarks.peers.workload import make_workload
    from pgbench.harness.provenance import provenance
    from pgbench.kernels.cuda import device_name, why_not

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--trajectories", type=int, default=2**17)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--horizon", type=int)
    parser.add_argument("--calls", type=int, default=24, help="of every check")
    parser.add_argument("--loads", type=int, default=2**26, help="to measure memory with")
    options = parser.parse_args(arguments)
    if reason := why_not():
        print(f"no GPU: {reason}")
        return 2
    made = provenance(0, 0, 0)
    print(f"{device_name()}; {made['cpu']}; revision {made['revision']}\n")
    rows = race(options.sizes, options.trajectories, options.rounds, options.horizon, options.calls)
    print("\n| S | | ns per step | times the CPU | times JAX |\n|--:|---|--:|--:|--:|")
    for n_states, title, ns, *ratios in rows:
        cells = [f"{ratio:.1f}" for ratio in ratios] + ["-"] * (2 - len(ratios))
        print(f"| {n_states:,} | {title} | {ns:.3f} | {' | '.join(cells)} |")
    print("\n| S | share of the memory limit |\n|--:|--:|")
    times = {row[0]: row[2] for row in rows if row[1] == Weights.title}
    for n_states, ns in times.items():
        share = 1e9 * bound(n_states, options.loads) / ns
        print(f"| {n_states:,} | {share:.2f} |")
    workload = make_workload(1000, *[options.horizon] * (options.horizon is not None))
    counts = [16 * 4**k for k in range(8) if 16 * 4**k <= options.trajectories]
    least, pairs = crossover(workload, reward_to_go(workload), counts, options.rounds)
    print("\n| steps | CPU, ms | GPU, ms |\n|--:|--:|--:|")
    for steps, cpu, gpu in pairs:
        print(f"| {steps:,} | {1e3 * cpu:.2f} | {1e3 * gpu:.2f} |")
    print(f"\nthe GPU is quicker from {least} steps; auto goes by WORTH_A_GPU")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
