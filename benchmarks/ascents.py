"""Ascents: wall time of optimisation runs, by algorithm and by what they follow.

A garnet of 100 states, tabular softmax, batches of 16 rollouts of 50 steps. `python -m
benchmarks.ascents` times whole studies, 100 replicates of 1000 updates, in turns on all cores.
"""

import statistics
import time
from functools import partial

from benchmarks.settings import garnet, use_threads

CASES = {
    "reward_to_go": ("gradient", "reward_to_go", {}),
    "baseline_value": ("gradient", "baseline_value", {}),
    "rloo": ("gradient", "rloo", {}),
    "natural, baseline_value": ("natural", "baseline_value", {}),
    "adam, reward_to_go": ("adam", "reward_to_go", {}),
    "storm, reward_to_go": ("storm", "reward_to_go", {}),
    "actor_critic": ("actor_critic", "exact", {"critic_step": 0.1}),
}


def ascent(case, replicates, updates):
    """A function that runs one study and returns its trace."""
    try:
        from pgbench import ascend
    except ImportError as error:  # a revision without ascents
        raise NotImplementedError from error

    algorithm, estimator, values = CASES[case]
    mdp, policy, _ = garnet(100, "softmax")
    return partial(
        ascend,
        mdp,
        policy,
        policy.initial(init="zeros"),
        algorithm={"algorithm": algorithm, **values},
        estimator=estimator,
        step_size=0.1,
        steps=updates,
        replicates=replicates,
        batch_size=16,
        horizon=50,
    )


class Ascents:
    """20 replicates of 50 updates on one thread; compiled before."""

    timeout = 120
    repeat = (1, 5, 2.0)
    params = tuple(CASES)
    param_names = ("case",)

    def setup(self, case):
        use_threads(1)
        self.run = ascent(case, 20, 50)
        self.run()

    def time_ascents(self, case):
        """Seconds for the study."""
        self.run()


def main(rounds: int = 3) -> None:
    """Print seconds of whole studies, medians over rounds in turns."""
    runs = {case: ascent(case, 100, 1000) for case in CASES}
    for case in CASES:
        ascent(case, 2, 2)()
    laps: dict[str, list[float]] = {case: [] for case in CASES}
    for _ in range(rounds):
        for case, run in runs.items():
            begin = time.perf_counter()
            run()
            laps[case].append(time.perf_counter() - begin)
    print("| 100 replicates × 1000 updates | seconds (least-largest) |")
    print("|---|--:|")
    for case, own in laps.items():
        print(f"| {case} | {statistics.median(own):.1f} ({min(own):.1f}-{max(own):.1f}) |")


if __name__ == "__main__":
    main()
