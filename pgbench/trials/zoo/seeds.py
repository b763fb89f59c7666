"""Randomness that is none."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.rollout.simulator import Simulator
from pgbench.trials.zoo.bug import batch_bug


def _first_again(simulator: Simulator) -> FloatArray:
    """The first replicate's estimate for every replicate."""
    batch = simulator.batch()
    estimates = simulator.pull_back(batch.tables(batch.discounts() * batch.to_go))
    first = simulator.once("first", lambda: estimates[0].copy())
    return np.tile(first, (simulator.m, 1))


seed_ignored = batch_bug(
    "seed_ignored",
    _first_again,
    claims="reward_to_go",
    harmless="over all seeds the mean is right; with one seed all estimates are the same, and as"
    " far off as is shown",
    mistake="every replicate draws from the same seed",
    source="ray-project/ray, issue 46986; google-deepmind/meltingpot, issue 5; TorchTrade/"
    "torchtrade, issue 273",
)
