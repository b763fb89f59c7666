"""Moments of ratios of whole rollouts, against the list of all of them."""

import numpy as np
import pytest

from pgbench.exact.finite.ratios import effective_share
from pgbench.rollout.enumeration import trajectories
from tests.support.samplers import SAMPLERS, sampled_truth
from tests.support.truths import tiny_truth


def listed(truth, horizon):
    """(E W)²/E[W²] of every rollout that data may hold."""
    drawn, own, first, second = truth.process.pi.ravel(), truth.pi.ravel(), 0.0, 0.0
    for probability, pairs, _ in trajectories(truth.process, horizon):
        if probability > 0:
            W = np.prod(own[pairs] / drawn[pairs])
            first, second = first + probability * W, second + probability * W**2
    return first**2 / second


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_effective_share_is_that_of_all_rollouts(problem, horizon, sampler):
    truth = sampled_truth(problem, "softmax", sampler)
    share = effective_share(truth, horizon)
    assert share == pytest.approx(listed(truth, horizon), rel=1e-12)
    assert 0 < share < 1 + 1e-12


def test_on_policy_it_is_one(problem, horizon):
    assert effective_share(tiny_truth(problem, "softmax"), horizon) == pytest.approx(1, rel=1e-12)


def test_it_falls_with_the_horizon_down_to_nothing():
    truth = sampled_truth("dense", "softmax", "temperature")
    shares = [effective_share(truth, H) for H in (1, 10, 100)]
    assert shares[0] > shares[1] > shares[2]
    assert effective_share(truth, 10**5) == 0


def test_where_no_ratio_is_above_zero_it_is_nothing():
    own = tiny_truth("coins", "softmax")
    truth = own.drawn_from(np.where(own.pi == own.pi.max(axis=1, keepdims=True), 1.0, 0.0))
    assert truth.kept_mass < 1
    assert effective_share(truth, 10**5) == 0
