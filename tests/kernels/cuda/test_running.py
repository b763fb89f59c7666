"""Sums made on a GPU: those of the CPU to rounding, and the same bits in any order."""

from dataclasses import replace

import numpy as np
import pytest

from pgbench.estimators import make_tables
from pgbench.exact import evaluate
from pgbench.measure.sums import Sums
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.engines import Rollouts
from pgbench.rollout.simulator import Draws
from pgbench.statistics import fixed_directions

NAMES = "reinforce", "reward_to_go", "advantage_oracle"
GPU = "cuda"


def setting(n_states, kind):
    mdp = make_problem("garnet", n_states=n_states, n_actions=2, branching=2, gamma=0.9, seed=1)
    policy = make_policy(kind, mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=0))
    return truth, [make_tables(truth, name) for name in NAMES]


def draws_of(sizes):
    return Draws(sizes.horizon, sizes.batch_size, 2 * sizes.replicates, seed=5, stream=2**63 + 1)


def empty(truth, draws, n_estimators=3):
    expected = [truth.gradient * (1 - 0.1 * e) for e in range(n_estimators)]
    directions = fixed_directions(truth.gradient.size)
    return Sums(truth.gradient, expected, draws.replicates, directions)


def summed(truth, tables, draws, place, memory_bytes=None):
    sums, rollouts = empty(truth, draws, len(tables)), Rollouts(tables, place)
    for block in rollouts.blocks(draws, memory_bytes):
        sums.add(truth, rollouts.process, block)
    sums.finish()
    return sums


@pytest.mark.parametrize(
    ("n_states", "kind"), [(3, "softmax"), (20, "softmax"), (3, "direct"), (3, "loglinear")]
)
def test_sums_are_those_of_the_cpu(n_states, kind, sizes):
    truth, tables = setting(n_states, kind)
    draws = draws_of(sizes)
    one = summed(truth, tables, draws, "cpu")
    other = summed(truth, tables, draws, GPU)
    # A policy whose parameters belong to states is summed where the weights are.
    assert (other._on_gpu is None) == (kind == "loglinear")
    for name, a, b in zip(one.running._fields, one.running, other.running, strict=True):
        scale = np.abs(a).max(axis=1, keepdims=True) if a.ndim > 1 else 0.0
        assert (np.abs(a - b) <= 1e-12 * scale).all(), name


def test_sums_too_large_for_the_gpu_are_made_by_the_cpu(sizes, monkeypatch):
    truth, tables = setting(20, "softmax")
    draws = draws_of(sizes)
    one = summed(truth, tables, draws, "cpu")
    monkeypatch.setattr("pgbench.measure.sums.GPU_SUMS_BYTES", 0)
    other = summed(truth, tables, draws, GPU)
    assert other._on_gpu is None
    for name, a, b in zip(one.running._fields, one.running, other.running, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-12 * np.abs(a).max(), err_msg=name)


def test_no_order_changes_a_bit(sizes):
    truth, tables = setting(3, "softmax")
    draws = replace(draws_of(sizes), replicates=36)
    blocks = list(Rollouts(tables, GPU).blocks(draws, memory_bytes=1))
    assert len(blocks) == 3
    found = []
    for order in ([0, 1, 2], [2, 0, 1]):
        sums = empty(truth, draws)
        for k in order:
            sums.add(truth, tables[0].process, blocks[k])
        sums.finish()
        found.append(sums.running)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    whole = summed(truth, tables, draws, GPU).running
    for a, b in zip(found[0], whole, strict=True):
        np.testing.assert_array_equal(a, b)


def plain_sums(values):
    """One estimator of one parameter whose replicates are given numbers; the unit is one."""
    from pgbench.kernels.cuda.launch import upload
    from pgbench.kernels.cuda.running import DeviceSums
    from pgbench.kernels.cuda.weighed import Weighed

    m = len(values)
    host = Sums(np.zeros(1), [np.zeros(1)], m, fixed_directions(1), blocks=1)
    one = np.ones((1, 1))
    sums = DeviceSums(host.running, host.target, one, 0 * one, 0, magnitude=2.0**31)
    ones = np.ones(m, np.int64)
    weights = upload(np.array(values)[None, None])
    nowhere = upload(np.zeros((1, 1), np.int32))
    sums.add(Weighed(True, nowhere, upload(ones), weights, upload(ones)), 0)
    return sums


def test_numbers_are_added_exactly():
    """What floating point loses, in any order."""
    rng = np.random.default_rng(0)
    large = rng.standard_normal(6) * 2.0 ** rng.integers(-20, 38, 6)
    values = np.concatenate([large, -large, [2.0**-30]])
    rng.shuffle(values)
    assert abs(values.sum() - 2.0**-30) > 2.0**-31
    sums = plain_sums(values)
    sums.collect()
    assert sums.running.deviations[0, 0] == sums.running.blocks[0, 0, 0] == 2.0**-30
    np.testing.assert_allclose(sums.running.squares[0, 0], (values**2).sum(), rtol=1e-15)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf, -(2.0**79), 2.0**40])
def test_what_cannot_be_added_is_noticed(value):
    with pytest.raises(OverflowError, match="too much in size to be added on a GPU"):
        plain_sums([1.0, value]).collect()


@pytest.mark.parametrize("lost", ["digits", "range"])
def test_sums_that_lose_digits_are_refused(lost, sizes, monkeypatch):
    truth, tables = setting(3, "softmax")
    draws = draws_of(sizes)
    rollouts = Rollouts(tables, GPU)
    sums = empty(truth, draws)
    for block in rollouts.blocks(draws):
        # A unit far too large, or far too small, for what is added.
        wrong = replace(block, magnitude=2.0 ** (120 if lost == "digits" else 32))
        if lost == "range":
            tiny = sums.target._replace(truth=truth.gradient * 0, expected=sums.target.expected * 0)
            sums.target = tiny
            wrong = replace(block, magnitude=2.0**-70)
        sums.add(truth, rollouts.process, wrong)
    with pytest.raises(OverflowError, match="too much in size to be added on a GPU"):
        sums.finish()


def test_a_gradient_of_zero_is_no_obstacle(sizes):
    """Rewards that do not depend on actions: ∇J is zero up to rounding, estimates are not."""
    mdp = make_problem("garnet", n_states=3, n_actions=2, branching=2, gamma=0.9, seed=1)
    mdp = mdp.paying(np.ones_like(mdp.reward))
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=0))
    assert np.abs(truth.gradient).max() < 1e-13
    tables, draws = [make_tables(truth, "reinforce")], draws_of(sizes)
    one, other = (summed(truth, tables, draws, d).running for d in ("cpu", GPU))
    np.testing.assert_allclose(other.squares, one.squares, rtol=1e-12)
    assert other.squares.min() > 0.01


def test_too_many_replicates_are_refused(sizes):
    from pgbench.kernels.cuda.running import MOST, DeviceSums

    truth, _ = setting(3, "softmax")
    sums = empty(truth, draws_of(sizes))
    wide = sums.running._replace(
        scalars=np.broadcast_to(np.zeros((1, 1, 1)), (len(NAMES), MOST + 1, 6))
    )
    local = truth.policy.local_pull_back(truth.theta)
    with pytest.raises(OverflowError, match=f"replicates is {MOST + 1}, must be at most {MOST}"):
        DeviceSums(wide, sums.target, *local, 0, magnitude=1.0)
