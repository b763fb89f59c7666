"""Compiled rollouts against the plain reference, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench.estimators import find_estimator
from pgbench.exact import evaluate
from pgbench.exact.finite.horizon import truncated_visitation
from pgbench.kernels import finite, reference
from pgbench.kernels.finite import compact, count_steps, make_sampler, tape, weigh
from pgbench.kernels.partition import use_threads
from pgbench.kernels.streams import LANES, Streams
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from tests.support.truths import WEIGHTS_OF, tiny_truth
from tests.support.variants import on_policy

CONSTANTS = ("kappa", "beta", "delta")
SEED, STREAM = 2**64 - 5, 12345678901234567890


def sampler_of(truth):
    """The tables that rollouts of a policy on a problem draw from."""
    return make_sampler(truth.mdp, truth.pi)


def record(sampler, batch_size, replicates, horizon, first=0, seed=SEED, group_size=1):
    """Pairs, slots (replicates, batch, horizon) and steps (replicates, batch) of the kernel."""
    pair = np.full((replicates, batch_size, horizon), -1, np.int32)
    slot, steps = pair.copy(), np.zeros((replicates, batch_size), np.int64)
    streams = Streams(np.uint64(seed), np.uint64(STREAM), batch_size, group_size)
    finite.record(sampler, streams, first, pair, slot, steps)
    return pair, slot, steps


def weights_of(truth, tables, batch_size, replicates, horizon, first=0):
    """Weights (replicates, E, S, A) and steps (replicates,) of the kernel."""
    S, A = truth.pi.shape
    rows = min(S, batch_size * horizon)
    visited = np.full((replicates, rows), -1, np.int32)
    n_visited, steps = np.zeros(replicates, np.int64), np.full(replicates, -1)
    weights = np.full((replicates, len(tables), rows, A), np.nan)
    streams = Streams(np.uint64(SEED), np.uint64(STREAM), batch_size)
    tabled = compact(tables)
    arrays = visited, n_visited, weights, steps
    weigh(sampler_of(truth), tabled, streams, first, horizon, *arrays)
    dense = np.zeros((replicates, len(tables), S, A))
    for r in range(replicates):
        states = visited[r, : n_visited[r]]
        assert np.unique(states).size == states.size
        dense[r][:, states] = weights[r][:, : states.size]
    return dense, steps


@WEIGHTS_OF
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


@pytest.mark.parametrize(("batch_size", "group_size"), [(4, 2), (12, 3), (40, 20)])
def test_a_group_has_the_start_of_its_first_and_nothing_else(batch_size, group_size):
    sampler = sampler_of(tiny_truth("dense", "softmax"))
    alone, _, _ = record(sampler, batch_size, 5, 12, 16)
    pair, _, _ = record(sampler, batch_size, 5, 12, 16, group_size=group_size)
    start, own = (p[:, :, 0] // sampler.n_actions for p in (pair, alone))
    np.testing.assert_array_equal(start, np.repeat(own[:, ::group_size], group_size, axis=1))
    as_drawn = start == own
    assert 0.2 < as_drawn.mean() < 0.9
    np.testing.assert_array_equal(pair[as_drawn], alone[as_drawn])


@WEIGHTS_OF
def test_trajectories_end_where_they_must(problem, truth):
    _, slot, steps = record(sampler_of(truth), 16, 20, 12)
    mdp = truth.mdp
    ended = steps < 12
    assert ended.any() == mdp.terminal.any()
    last = np.take_along_axis(slot, steps[:, :, None] - 1, axis=2)[:, :, 0]
    assert mdp.terminal[mdp.successor.ravel()[last[ended]]].all()


def plain_weights(truth, tables, batch_size, replicates, horizon, first=0):
    """The same by the reference."""
    S, A = truth.pi.shape
    weights = np.zeros((replicates, len(tables), S * A))
    steps = np.zeros(replicates, np.int64)
    sampler = sampler_of(truth)
    for r in range(replicates):
        for i in range(batch_size):
            listed = reference.trajectory(sampler, SEED, STREAM, batch_size, first + r, i, horizon)
            steps[r] += len(listed[0])
            for e, t in enumerate(tables):
                flat = [x.ravel() for x in (t.sigma, t.kappa, t.beta, t.delta)]
                weights[r, e] += reference.weights(*flat, t.total, *listed)
    return weights.reshape(replicates, len(tables), S, A) / batch_size, steps


def agree(truth, tables, batch_size, replicates, horizon, first=0):
    """One trajectory bit for bit, means of several to rounding."""
    arguments = truth, tables, batch_size, replicates, horizon, first
    (weights, steps), (expected, counted) = weights_of(*arguments), plain_weights(*arguments)
    np.testing.assert_array_equal(steps, counted)
    if batch_size == 1:
        np.testing.assert_array_equal(weights, expected)
    else:
        scale = np.abs(expected).max(axis=(0, 2, 3), keepdims=True)
        assert (np.abs(weights - expected) <= 1e-12 * scale).all()


@WEIGHTS_OF
@pytest.mark.parametrize("batch_size", [1, 3, 16, 20])
def test_weights_are_those_of_the_reference(truth, tables, batch_size):
    """Many estimators at once."""
    agree(truth, [tables, *on_policy(truth)], batch_size, 19, 9, first=32)


@pytest.fixture(params=["garnet", "gridworld", "chain"])
def larger(request):
    """More states than the steps of a small batch can visit; the gridworld ends."""
    size = {
        "garnet": {"n_states": 150},
        "gridworld": {"size": 10, "walls": 0.0},
        "chain": {"length": 120},
    }[request.param]
    mdp = make_problem(request.param, **size)
    policy = make_policy("softmax", mdp)
    return evaluate(mdp, policy, policy.initial(seed=2))


@pytest.mark.parametrize("batch_size", [1, 3, 16, 40])
def test_weights_of_visited_states_are_those_of_the_reference(larger, batch_size):
    """Whether the states of a batch are listed or, for 40 trajectories, all kept."""
    agree(larger, on_policy(larger), batch_size, 9, 4, first=16)


@WEIGHTS_OF
def test_constant_tables_give_the_weights_of_tables(truth):
    """What the kernel leaves out of tables that repeat changes no bit."""
    for t in on_policy(truth):
        noise = np.random.default_rng(0)
        spread = replace(
            t, **{n: getattr(t, n) * (1 + 1e-3 * noise.random(t.kappa.shape)) for n in CONSTANTS}
        )
        agree(truth, [t, spread, t], 1, 7, 9)


@WEIGHTS_OF
@pytest.mark.parametrize("segment", [1, 4])
@pytest.mark.parametrize("batch_size", [3, 20])
def test_segments_do_not_change_a_byte(truth, tables, batch_size, segment, monkeypatch):
    """Trajectories that are longer than what is recorded at a time, by one step or many."""
    arguments = truth, [tables, *on_policy(truth)], batch_size, 19, 10
    whole = weights_of(*arguments)
    listed = record(sampler_of(truth), batch_size, 19, 10)
    monkeypatch.setattr(tape, "SEGMENT", segment)
    for one, other in zip(whole, weights_of(*arguments), strict=True):
        assert one.tobytes() == other.tobytes()
    for one, other in zip(listed, record(sampler_of(truth), batch_size, 19, 10), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.fixture(params=["gridworld", "random horizon"])
def ending(request):
    """Estimators of trajectories that differ in length, of one process."""
    mdp = make_problem("gridworld", size=4)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=2))
    if request.param == "gridworld":
        return truth.process, [find_estimator("reward_to_go").make(truth)], 50
    tables = [find_estimator("visitation_mc").make(truth)]
    return tables[0].process, tables, tables[0].process.steps(0)


@pytest.mark.parametrize("batch_size", [1, 3, 40, 300])
def test_lanes_and_company_do_not_change_a_byte(ending, batch_size, monkeypatch):
    """Blocks of any size, calls that begin anywhere, and any number of lanes that wait."""
    process, tables, horizon = ending
    tabled, streams = compact(tables), Streams(np.uint64(SEED), np.uint64(STREAM), batch_size)

    def weighed(first, replicates):
        rows = process.rows
        visited, n_visited = np.empty((replicates, rows), np.int32), np.empty(replicates, np.int64)
        weights, steps = np.empty((replicates, 1, rows, process.columns)), n_visited.copy()
        arrays = visited, n_visited, weights, steps
        weigh(process.sampler, tabled, streams, first, horizon, *arrays)
        return weights, steps

    weights, steps = weighed(0, 70)
    assert np.unique(steps).size > 10
    for first, n in ((0, 1), (7, 5), (33, 37)):
        for whole, part in zip((weights, steps), weighed(first, n), strict=True):
            assert whole[first : first + n].tobytes() == part.tobytes()
    before = use_threads(None)
    for threads in {1, before}:
        use_threads(threads)
        assert weighed(0, 70)[0].tobytes() == weights.tobytes()
    use_threads(before)
    # A batch that is larger than a block is another sum, of the same blocks whoever makes it.
    monkeypatch.setattr(tape, "BLOCK", 320)
    assert weighed(0, 70)[0].tobytes() == weights.tobytes()


@WEIGHTS_OF
def test_steps_can_be_counted_without_being_recorded(truth, monkeypatch):
    monkeypatch.setattr(tape, "SEGMENT", 5)
    _, _, steps = record(sampler_of(truth), 3, 10, 12)
    counted = np.zeros_like(steps)
    streams = Streams(np.uint64(SEED), np.uint64(STREAM), 3)
    count_steps(sampler_of(truth), streams, 0, 12, counted)
    np.testing.assert_array_equal(counted, steps)


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


@WEIGHTS_OF
def test_visits_are_the_exact_visitation(truth):
    assert z_of_visits(truth, truth).max() < 4


@WEIGHTS_OF
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


@WEIGHTS_OF
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
