"""Rollouts that are used again, and what is made before anything is simulated."""

import numpy as np

from pgbench.rollout.engines import Rollouts
from pgbench.rollout.simulator import Draws
from tests.support.truths import WEIGHTS_OF
from tests.support.variants import on_policy


@WEIGHTS_OF
def test_rollouts_may_be_used_again_for_other_draws(truth):
    rollouts = Rollouts(on_policy(truth)[:2])
    few, many = (Draws(3, n, 20, seed=1, stream=2) for n in (1, 4))
    blocks = [list(rollouts.weights(draws)) for draws in (few, many, few)]
    for found, draws in zip(blocks, (few, many, few), strict=True):
        (expected,) = Rollouts(on_policy(truth)[:2]).weights(draws)
        np.testing.assert_array_equal(found[0].n_visited, expected.n_visited)
        for r, n in enumerate(expected.n_visited):
            np.testing.assert_array_equal(found[0].weights[r, :, :n], expected.weights[r, :, :n])


@WEIGHTS_OF
def test_tables_are_made_before_anything_is_simulated(truth, monkeypatch):
    """What the cost of an estimator is timed with holds no preparation."""
    rollouts = Rollouts(on_policy(truth)[:1])
    monkeypatch.setattr("pgbench.kernels.finite.compact", None)
    monkeypatch.setattr("pgbench.kernels.finite.make_sampler", None)
    (block,) = rollouts.weights(Draws(3, 2, 16, seed=1, stream=2))
    assert block.steps.size == 16
