"""Rollouts of finite problems on a GPU: the CPU's trajectories, and its weights to rounding."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.kernels.finite import compact, record, weigh
from pgbench.kernels.streams import Streams
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.engines import by_process
from tests.support.truths import tiny_truth

SEED, STREAM, FIRST = 2**64 - 5, 12345678901234567890, 16
WIDE = 900
"""So many states that the tables do not fit in shared memory."""


def wide_truth():
    mdp = make_problem("garnet", n_states=WIDE, n_actions=3, branching=2, gamma=0.5, seed=1)
    policy = make_policy("softmax", mdp)
    return evaluate(mdp, policy, policy.initial(seed=0))


@pytest.fixture(params=["wide", "dense", "ending", "coins"])
def some(request):
    """Many states, few, some that end, and slots that differ in nothing but rewards."""
    return wide_truth() if request.param == "wide" else tiny_truth(request.param, "softmax")


def streams(batch_size, group_size=1):
    return Streams(np.uint64(SEED), np.uint64(STREAM), batch_size, group_size)


def on_cpu(process, tables, sizes):
    """What ``weigh`` makes of the same."""
    n, m, H = sizes.batch_size, sizes.replicates, process.steps(sizes.horizon)
    rows = process.visited_rows(H, n)
    visited, n_visited = np.zeros((m, rows), np.int32), np.zeros(m, np.int64)
    weights, steps = np.zeros((m, len(tables), rows, process.columns)), np.zeros(m, np.int64)
    arrays = visited, n_visited, weights, steps
    tabled = compact(tables)
    weigh(process.sampler, tabled, streams(n), FIRST, H, *arrays)
    return arrays


def on_gpu(process, tables, sizes, cut=None):
    """The same from the GPU, in calls of ``cut`` replicates."""
    from pgbench.rollout.engines import GpuBlock

    rollouts = make_rollouts(process, tables)
    n, m, H = sizes.batch_size, sizes.replicates, process.steps(sizes.horizon)
    rows, cut, blocks = process.visited_rows(H, n), cut or m, []
    for first in range(0, m, cut):
        found = rollouts.weigh(streams(n), FIRST + first, min(cut, m - first), H, rows)
        blocks.append(GpuBlock(FIRST + first, found, rows, process.columns, 1.0).on_host())
    names = "visited", "n_visited", "weights", "steps"
    return [np.concatenate([getattr(b, name) for b in blocks]) for name in names]


def make_rollouts(process, tables):
    from pgbench.kernels.cuda.finite import DeviceRollouts

    return DeviceRollouts(process.sampler, compact(tables))


@pytest.mark.parametrize(("batch_size", "group_size"), [(1, 1), (3, 1), (4, 2)])
def test_trajectories_are_the_same_bits(some, sizes, every_table, batch_size, group_size):
    H, m, B = sizes.horizon, sizes.replicates, some.mdp.branching
    pair, slot = np.zeros((2, m, batch_size, H), np.int32)
    lengths = np.zeros((m, batch_size), np.int64)
    sampler = some.process.sampler
    own = streams(batch_size, group_size)
    record(sampler, own, FIRST, pair, slot, lengths)
    rollouts = make_rollouts(some.process, every_table(some, H)[:1])
    assert (rollouts._shared > 0) == (some.mdp.n_states < WIDE)
    drawn = rollouts.simulate(own, FIRST, m, H)
    slots, pairs, steps = (array.copy_to_host() for array in drawn)
    np.testing.assert_array_equal(steps.reshape(batch_size, m).T, lengths)
    for r in range(m):
        for b in range(batch_size):
            n, i = lengths[r, b], b * m + r
            np.testing.assert_array_equal(slots[:n, i], slot[r, b, :n])
            np.testing.assert_array_equal(pairs[:n, i], slot[r, b, :n] // B)


def test_weights_of_every_estimator_are_the_cpus(some, sizes, every_table):
    tables = every_table(some, sizes.horizon)
    assert len(tables) > 15
    for process, places in by_process(tables):
        own = [tables[place] for place in places]
        visited, n_visited, weights, steps = on_cpu(process, own, sizes)
        states, counts, found, taken = on_gpu(process, own, sizes)
        np.testing.assert_array_equal(counts, n_visited)
        np.testing.assert_array_equal(taken, steps)
        for r, n in enumerate(n_visited):
            np.testing.assert_array_equal(states[r, :n], visited[r, :n])
            scale = np.abs(weights[r, :, :n]).max(axis=(1, 2), keepdims=True)
            assert (np.abs(found[r, :, :n] - weights[r, :, :n]) <= 1e-12 * scale).all()


def test_neither_cuts_nor_blocks_of_threads_change_a_bit(sizes, every_table, monkeypatch):
    from pgbench.kernels.cuda import launch

    truth = wide_truth()
    tables = every_table(truth, sizes.horizon)[:3]
    whole = on_gpu(truth.process, tables, sizes)
    monkeypatch.setattr(launch, "THREADS", launch.THREADS // 2)
    visited, n_visited, weights, steps = on_gpu(truth.process, tables, sizes, sizes.replicates // 2)
    np.testing.assert_array_equal(n_visited, whole[1])
    np.testing.assert_array_equal(steps, whole[3])
    for r, n in enumerate(n_visited):
        np.testing.assert_array_equal(visited[r, :n], whole[0][r, :n])
        np.testing.assert_array_equal(weights[r, :, :n], whole[2][r, :, :n])


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_batches_may_be_summed_in_parts(parts, sizes, every_table, monkeypatch):
    from pgbench.kernels.cuda import finite

    truth, sizes = tiny_truth("ending", "softmax"), replace(sizes, batch_size=5)
    tables = every_table(truth, sizes.horizon)[:2]
    _, _, weights, steps = on_cpu(truth.process, tables, sizes)
    monkeypatch.setattr(finite, "_parts", lambda *_: parts)
    _, _, found, taken = on_gpu(truth.process, tables, sizes)
    np.testing.assert_array_equal(taken, steps)
    assert (np.abs(found - weights) <= 1e-12 * np.abs(weights).max()).all()


@pytest.mark.parametrize(("width", "parts"), [(1, 8), (20, 8), (30, 5), (80, 2), (81, 1), (900, 1)])
def test_parts_take_no_more_room_than_steps(width, parts):
    from pgbench.kernels.cuda.finite import _parts

    assert _parts(20, 8, width) == parts


@pytest.mark.parametrize("name", ["wide", "dense"])
def test_memory_is_what_a_replicate_takes(name, sizes, every_table, monkeypatch):
    """The bound on a block counts every array that grows with replicates."""
    from pgbench.kernels.cuda import finite, launch

    truth = wide_truth() if name == "wide" else tiny_truth(name, "softmax")
    tables = every_table(truth, sizes.horizon)[:3]
    rollouts, taken, empty = make_rollouts(truth.process, tables), [], launch.empty

    def counted(shape, dtype=np.float64):
        taken.append(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return empty(shape, dtype)

    monkeypatch.setattr(finite, "empty", counted)
    monkeypatch.setattr(launch, "empty", counted)
    n, m, H = sizes.batch_size, 16, sizes.horizon
    rows = truth.process.visited_rows(H, n)
    rollouts.weigh(streams(n), FIRST, m, H, rows)
    # Beside them a few numbers per trajectory.
    assert 0 <= sum(taken) - m * rollouts.bytes_per_replicate(H, n, rows) <= m * 8 * (n + 3)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 1000, 2**20])
def test_a_hash_table_is_never_more_than_half_full(rows):
    from pgbench.kernels.cuda.finite import _hash_size

    size = _hash_size(rows)
    assert 2 * rows <= size <= 4 * rows
    assert size & (size - 1) == 0
