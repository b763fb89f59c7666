"""Rollouts of Gaussian policies on a GPU: the CPU's states and actions, bit for bit."""

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.kernels import normal
from pgbench.kernels.linear_quadratic import compact, record
from pgbench.kernels.streams import Streams
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.engines import Rollouts, by_process
from pgbench.rollout.simulator import Draws

SEED, STREAM, FIRST = 2**64 - 5, 12345678901234567890, 16


def truth_of(name):
    if name == "chain":
        mdp = make_problem("lqg_chain", masses=2)
    elif name == "random":
        mdp = make_problem("lqg_random", n=3, m=2, seed=4)
    else:
        mdp = make_problem("lqg")
    policy = make_policy("gaussian", mdp, mean="affine", covariance="full")
    theta = policy.initial(init="zeros") if name == "chain" else policy.initial(seed=1, scale=0.05)
    return evaluate(mdp, policy, theta)


@pytest.fixture(params=["lqg", "random", "chain"])
def some(request):
    """One state; three states, two actions and costs of everything; a sparse chain."""
    return truth_of(request.param)


def weighed_process(tables):
    """A process whose actions come from another law than is scored."""
    found = [process for process, _ in by_process(tables) if process.weighed]
    assert found
    return found[0]


@pytest.mark.parametrize(("weighed", "group_size"), [(False, 1), (True, 1), (False, 2)])
def test_states_and_actions_are_the_same_bits(some, sizes, every_table, weighed, group_size):
    from pgbench.kernels.cuda.linear_quadratic import DeviceRollouts

    process = weighed_process(every_table(some, 6)) if weighed else some.process
    n, m, H = group_size * sizes.batch_size, sizes.replicates, sizes.horizon
    p = some.mdp.n + 1 + some.mdp.m
    streams = Streams(np.uint64(SEED), np.uint64(STREAM), n, group_size)
    z, e = np.zeros((m, n, H + 1, p)), np.zeros((m, n, H, some.mdp.m))
    ratios = np.ones((m, n, H))
    record(process.sampler, streams, FIRST, z, e, ratios)
    rollouts = DeviceRollouts(process.sampler, compact(every_table(some, 6)[:1]))
    found = [x.copy_to_host() for x in rollouts.simulate(streams, FIRST, m, H)]
    np.testing.assert_array_equal(by_trajectory(found[0], n), z)
    np.testing.assert_array_equal(by_trajectory(found[1], n), e)
    if weighed:
        own = by_trajectory(found[2][:, None], n)[..., 0]
        np.testing.assert_allclose(own, ratios, rtol=1e-14)
        assert np.ptp(ratios) > 0.01


def by_trajectory(array, n):
    """(T, k, n·m) as (m, n, T, k)."""
    T, k, total = array.shape
    return array.reshape(T, k, n, total // n).transpose(3, 2, 0, 1)


def test_weights_of_every_estimator_are_the_cpus(some, sizes, every_table):
    tables = every_table(some, 6)
    assert len(tables) >= 8
    draws = Draws(sizes.horizon, sizes.batch_size, sizes.replicates, SEED, STREAM)
    for process, places in by_process(tables):
        own = [tables[place] for place in places]
        (one,) = Rollouts(own).weights(draws)
        (other,) = Rollouts(own, "cuda").weights(draws)
        assert process.weighed or len(own) > 4
        np.testing.assert_array_equal(other.steps, one.steps)
        np.testing.assert_array_equal(other.visited, one.visited)
        scale = np.abs(one.weights).max(axis=(0, 2, 3))[None, :, None, None]
        assert (np.abs(other.weights - one.weights) <= 1e-12 * scale).all()


def test_cuts_do_not_change_a_bit(sizes, every_table):
    own = every_table(truth_of("lqg"), 6)[:2]
    draws = Draws(sizes.horizon, sizes.batch_size, 33, SEED, STREAM)
    rollouts = Rollouts(own, "cuda")
    (whole,) = rollouts.weights(draws)
    parts = list(rollouts.weights(draws, memory_bytes=1))
    assert [part.first for part in parts] == [0, 16, 32]
    joined = np.concatenate([part.weights for part in parts])
    np.testing.assert_array_equal(joined, whole.weights)


def test_normal_numbers_need_no_bits():
    """Segment and t of a word, from arithmetic, give the numbers that bits give."""
    rng = np.random.default_rng(0)
    words = rng.integers(2**64, size=2000, dtype=np.uint64)
    # Every octave: k leading zeros, all ones below; and the ends of segments.
    words[:64] = [2**64 - 1 >> k for k in range(64)]
    words[64:128] = [1 << k for k in range(64)]
    words[128:130] = 0, 1
    table = normal.table()
    for word, expected in zip(words, normal.from_words(words), strict=True):
        row, t = normal.segment(word)
        z = table[row, 0]
        for coefficient in table[row, 1:]:
            z = z * t + coefficient
        assert expected == (-z if int(word) & 1 else z)


def test_several_policies_are_refused(every_table):
    from pgbench.kernels.cuda.linear_quadratic import DeviceRollouts

    truth = truth_of("lqg")
    sampler = truth.process.sampler
    two = sampler._replace(gain=np.repeat(sampler.gain, 2, axis=0))
    with pytest.raises(ValueError, match="2 policies at once, must be one on a GPU"):
        DeviceRollouts(two, compact(every_table(truth, 6)[:1]))


def test_memory_is_what_a_replicate_takes(sizes, every_table):
    """The bound on a block counts every array that grows with replicates."""
    from pgbench.kernels.cuda import linear_quadratic

    own = every_table(truth_of("random"), 6)[:3]
    draws = Draws(sizes.horizon, sizes.batch_size, 16, SEED, STREAM)
    rollouts = linear_quadratic.DeviceRollouts(own[0].process.sampler, compact(own))
    taken = []

    def counted(shape, dtype=np.float64):
        taken.append(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return linear_quadratic.cuda.device_array(shape, dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_quadratic, "empty", counted)
        rows = own[0].process.rows
        rollouts.weigh(draws.streams, 0, draws.replicates, draws.horizon, rows)
    bound = 16 * rollouts.bytes_per_replicate(draws.horizon, draws.batch_size, rows)
    assert 0.8 * bound <= sum(taken) <= bound
