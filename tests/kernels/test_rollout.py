"""Compiled rollouts against the plain reference, bit for bit."""

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.exact.horizon import truncated_visitation
from pgbench.kernels import reference
from pgbench.kernels.alias import make_sampler
from pgbench.kernels.rollout import (
    LANES,
    EstimatorTables,
    Streams,
    trajectories,
    use_threads,
    weight_tables,
)
from pgbench.policies import make_policy
from pgbench.problems import make_problem

SEED, STREAM = 2**64 - 5, 12345678901234567890


def sampler_of(truth):
    """The tables that rollouts of a policy on a problem draw from."""
    mdp = truth.mdp
    return make_sampler(mdp.mu0, truth.pi, mdp.successor, mdp.probability, mdp.terminal)


def record(sampler, batch_size, replicates, horizon, first=0, seed=SEED):
    """Pairs, slots (replicates, batch, horizon) and steps (replicates, batch) of the kernel."""
    pair = np.full((replicates, batch_size, horizon), -1, np.int32)
    slot, steps = pair.copy(), np.zeros((replicates, batch_size), np.int64)
    streams = Streams(np.uint64(seed), np.uint64(STREAM), batch_size)
    trajectories(sampler, streams, first, pair, slot, steps)
    return pair, slot, steps


def stacked(tables):
    """Tables of several estimators as the kernel takes them."""
    fields = ("sigma", "kappa", "beta", "delta")
    arrays = (np.stack([getattr(t, name).ravel() for t in tables]) for name in fields)
    return EstimatorTables(*arrays, np.array([t.total for t in tables]))


@pytest.mark.parametrize("batch_size", [1, 3, 16, 20])
def test_trajectories_are_those_of_the_reference(truth, batch_size):
    replicates, horizon, first = 5, 12, 16
    sampler = sampler_of(truth)
    pair, slot, steps = record(sampler, batch_size, replicates, horizon, first)
    for r in range(replicates):
        for i in range(batch_size):
            pairs, slots = reference.trajectory(
                sampler, SEED, STREAM, batch_size, first + r, i, horizon
            )
            n = len(pairs)
            assert steps[r, i] == n
            assert pair[r, i, :n].tolist() == pairs
            assert slot[r, i, :n].tolist() == slots


def test_trajectories_end_where_they_must(problem, truth):
    _, slot, steps = record(sampler_of(truth), 16, 20, 12)
    mdp = truth.mdp
    ended = steps < 12
    assert ended.any() == mdp.terminal.any()
    last = np.take_along_axis(slot, steps[:, :, None] - 1, axis=2)[:, :, 0]
    assert mdp.terminal[mdp.successor.ravel()[last[ended]]].all()


@pytest.mark.parametrize("batch_size", [1, 3, 16, 20])
def test_weights_are_those_of_the_reference(truth, tables, batch_size, on_policy):
    """One trajectory bit for bit, sums of several to rounding; many estimators at once."""
    tables = [tables, *on_policy(truth)]
    replicates, horizon, first = 19, 9, 32
    weights = np.zeros((replicates, len(tables), truth.pi.size))
    steps = np.zeros(replicates, np.int64)
    streams = Streams(np.uint64(SEED), np.uint64(STREAM), batch_size)
    weight_tables(sampler_of(truth), stacked(tables), streams, first, horizon, weights, steps)
    expected, counted = np.zeros_like(weights), np.zeros_like(steps)
    for r in range(replicates):
        for i in range(batch_size):
            listed = reference.trajectory(
                sampler_of(truth), SEED, STREAM, batch_size, first + r, i, horizon
            )
            counted[r] += len(listed[0])
            for e, t in enumerate(tables):
                flat = [x.ravel() for x in (t.sigma, t.kappa, t.beta, t.delta)]
                expected[r, e] += reference.weights(*flat, t.total, *listed)
    np.testing.assert_array_equal(steps, counted)
    if batch_size == 1:
        np.testing.assert_array_equal(weights, expected)
    else:
        scale = np.abs(expected).max(axis=(0, 2), keepdims=True)
        assert (np.abs(weights - expected) <= 1e-12 * scale).all()


def z_of_visits(truth, sampled, horizon=25):
    """Discounted visits per state in 8000 rollouts of a policy, less the exact ones of ``truth``.

    In standard errors, over the states that are visited.
    """
    mdp = truth.mdp
    pair, _, steps = record(sampler_of(sampled), 20, 400, horizon, seed=3)
    state, t = pair // mdp.n_actions, np.arange(horizon)
    discounts = np.where(t < steps[:, :, None], mdp.gamma**t, 0.0)
    visits = np.stack(
        [(discounts * (state == s)).sum(axis=2).ravel() for s in np.flatnonzero(~mdp.terminal)]
    )
    exact = truncated_visitation(mdp, truth.pi, horizon)[~mdp.terminal]
    error = visits.std(axis=1, ddof=1) / np.sqrt(visits.shape[1])
    return np.abs(visits.mean(axis=1) - exact) / error


def test_visits_are_the_exact_visitation(truth):
    assert z_of_visits(truth, truth).max() < 4


def test_visits_of_another_policy_fail_the_same_check(truth):
    other = evaluate(truth.mdp, truth.policy, truth.policy.initial(seed=1, scale=4.0))
    assert z_of_visits(truth, other).max() > 8


def test_starts_follow_the_start_distribution():
    mdp = make_problem("random", n_states=7, seed=3)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial())
    pair, _, _ = record(sampler_of(truth), 20, 1000, 1)
    counts = np.bincount(pair.ravel() // mdp.n_actions, minlength=7)
    z = (counts - 20000 * mdp.mu0) / np.sqrt(20000 * mdp.mu0 * (1 - mdp.mu0))
    assert np.abs(z).max() < 4


def test_actions_that_a_policy_excludes_are_never_taken():
    mdp = make_problem("corridor")
    policy = make_policy("loglinear", mdp)
    truth = evaluate(mdp, policy, np.array([1e3, -1e3]), horizon=20)
    pair, _, steps = record(sampler_of(truth), 16, 10, 20)
    assert (steps == 20).all()
    assert (pair % 2 == 0).all()


def test_replicates_do_not_depend_on_the_first_of_the_call(truth):
    sampler = sampler_of(truth)
    whole = record(sampler, 3, 4 * LANES, 6)
    part = record(sampler, 3, LANES, 6, first=2 * LANES)
    for w, p in zip(whole, part, strict=True):
        np.testing.assert_array_equal(w[2 * LANES : 3 * LANES], p)


def test_number_of_threads_is_reported():
    before = use_threads(None)
    assert use_threads(1) == 1
    assert use_threads(before) == before
