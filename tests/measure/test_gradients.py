"""Sampled gradients: the same bytes however they are computed, and the exact moments."""

import subprocess
import sys
from dataclasses import replace

import numba
import numpy as np
import pytest

from pgbench.api import sample_gradients
from pgbench.declared.parameters import ParameterError
from pgbench.estimators import Tables, estimators
from pgbench.exact import evaluate
from pgbench.exact.table_moments import table_moments
from pgbench.kernels.rollout import use_threads
from pgbench.measure.gradients import gradient_blocks
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout import simulator
from pgbench.rollout.engines import MEMORY_BYTES, Rollouts, bytes_per_replicate
from pgbench.rollout.simulator import Draws
from tests.support.truths import WEIGHTS_OF
from tests.support.variants import on_policy, on_tiny, table_variants


@pytest.fixture
def threads():
    """Set the number of threads for a test."""
    before = use_threads(None)
    yield use_threads
    use_threads(before)


def sample(truth, tables, memory_bytes=MEMORY_BYTES, **changes):
    """Gradients (replicates, E, d) and steps (replicates,)."""
    draws = replace(Draws(horizon=10, batch_size=3, replicates=100, seed=5, stream=6), **changes)
    blocks = list(gradient_blocks(truth, tables, draws, memory_bytes))
    gradients = [np.stack(block.gradients, axis=1) for block in blocks]
    return np.concatenate(gradients), np.concatenate([block.steps for block in blocks])


def same_bytes(one, other):
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@WEIGHTS_OF
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_threads_do_not_change_a_byte(truth, threads, batch_size):
    results = []
    for n in (1, 2):
        assert threads(n) == n
        results.append(sample(truth, on_policy(truth), batch_size=batch_size))
    same_bytes(*results)


@WEIGHTS_OF
@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_memory_does_not_change_a_byte(truth, batch_size):
    tables = on_policy(truth)
    draws = Draws(horizon=10, batch_size=batch_size, replicates=100, seed=5, stream=6)
    one = bytes_per_replicate(truth.process, draws, len(tables))
    whole = sample(truth, tables, batch_size=batch_size)
    for memory_bytes in (1, 16 * one, 47 * one, 48 * one):
        same_bytes(whole, sample(truth, tables, batch_size=batch_size, memory_bytes=memory_bytes))


@WEIGHTS_OF
@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_other_estimators_do_not_change_a_byte(truth, batch_size):
    tables = on_policy(truth)
    together, steps = sample(truth, tables, batch_size=batch_size)
    for e, t in enumerate(tables):
        alone, alone_steps = sample(truth, [t], batch_size=batch_size)
        same_bytes((together[:, e].copy(), steps), (alone[:, 0].copy(), alone_steps))


@WEIGHTS_OF
def test_more_replicates_begin_with_the_same(truth):
    few, more = (sample(truth, on_policy(truth), replicates=R)[0] for R in (48, 96))
    same_bytes([few], [more[:48]])


@WEIGHTS_OF
def test_blocks_are_numbered_and_complete(truth):
    draws = Draws(horizon=3, batch_size=1, replicates=37, seed=0, stream=0)
    blocks = list(gradient_blocks(truth, on_policy(truth), draws))
    assert [block.first for block in blocks] == [0, 16, 32]
    assert [block.steps.size for block in blocks] == [16, 16, 5]


@WEIGHTS_OF
def test_names_of_the_stream_are_kept(truth):
    """The same names give the same bytes, any other name other numbers."""
    tables = on_policy(truth)
    first = sample(truth, tables)
    same_bytes(first, sample(truth, tables))
    for change in ({"seed": 6}, {"stream": 7}, {"batch_size": 4}):
        assert not np.array_equal(first[0], sample(truth, tables, **change)[0])


def largest_z(truth, tables, expected, horizon, batch_size, seed):
    """Mean and variance of 4000 estimates less the exact ones, in standard errors."""
    R = 4000
    gradients, _ = sample(
        truth, [tables], horizon=horizon, batch_size=batch_size, replicates=R, seed=seed
    )
    deviation = gradients[:, 0] - gradients[:, 0].mean(axis=0)
    variance = expected.variance / batch_size
    live = variance > 1e-12 * variance.max()
    z_mean = (gradients[:, 0].mean(axis=0) - expected.mean) / np.sqrt(
        np.where(live, variance, 1) / R
    )
    spread = np.sqrt(((deviation**4).mean(axis=0) - (deviation**2).mean(axis=0) ** 2) / R)
    z_variance = ((deviation**2).sum(axis=0) / (R - 1) - variance) / np.where(live, spread, 1)
    return np.abs(z_mean[live]).max(), np.abs(z_variance[live]).max()


@WEIGHTS_OF
@on_tiny(table_variants())
@pytest.mark.parametrize("batch_size", [1, 7])
def test_sampled_moments_are_the_exact_ones(truth, variant, batch_size):
    """Bounds for the largest of up to 8 coordinates: 5 standard errors."""
    tables = variant.tables(truth, 8)
    expected = table_moments(truth, tables, tables.process.steps(8))
    z_mean, z_variance = largest_z(truth, tables, expected, 8, batch_size, seed=11)
    assert z_mean < 5
    assert z_variance < 5


def test_sampled_moments_of_every_policy_are_the_exact_ones(truth):
    """A policy enters by π and its pull-back alone, so one estimator of each shape will do."""
    mdp = truth.mdp
    for total in (False, True):
        tables = Tables.build(
            truth.process, sigma=mdp.reward, kappa=mdp.gamma, delta=mdp.gamma, total=total
        )
        expected = table_moments(truth, tables, 8)
        assert max(largest_z(truth, tables, expected, 8, batch_size=7, seed=13)) < 5


@WEIGHTS_OF
@pytest.mark.parametrize("problem", ["dense", "ending", "coins"])
def test_another_estimators_moments_fail_the_same_check(truth):
    """The mean of the estimator without γ^t, and the variance without its baseline."""
    mdp, gamma = truth.mdp, truth.mdp.gamma
    biased = Tables.build(truth.process, sigma=mdp.reward, kappa=gamma, delta=1.0)
    plain = Tables.build(truth.process, sigma=mdp.reward, kappa=gamma, delta=gamma)
    shifted = Tables.build(truth.process, sigma=mdp.reward, kappa=gamma, beta=3.0, delta=gamma)
    wrong = table_moments(truth, biased, 8)
    assert largest_z(truth, plain, wrong, 8, batch_size=20, seed=11)[0] > 8
    other = table_moments(truth, shifted, 8)
    assert largest_z(truth, plain, other, 8, batch_size=20, seed=11)[1] > 8


@WEIGHTS_OF
def test_steps_are_counted(truth):
    """At most H·n; exactly that where nothing ends."""
    _, steps = sample(truth, on_policy(truth)[:1], horizon=10, batch_size=3)
    if truth.mdp.terminal.any():
        assert 3 <= steps.min() < steps.max() <= 30
    else:
        assert (steps == 30).all()


def test_sampling_by_name_is_the_same_sample():
    mdp = make_problem("random", n_states=4)
    policy = make_policy("softmax", mdp)
    theta = policy.initial(seed=1)
    named = sample_gradients(
        mdp, policy, theta, "gae", lam=0.7, horizon=10, batch_size=3, replicates=100, seed=5,
        stream=6,
    )  # fmt: skip
    truth = evaluate(mdp, policy, theta)
    direct, _ = sample(truth, [estimators()["gae"].make(truth, lam=0.7)])
    same_bytes([named], [direct[:, 0].copy()])
    assert named.shape == (100, 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, "horizon is 0, must be an integer ≥ 1"),
        ({"horizon": 2.0}, r"horizon is 2\.0, must be an integer"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"batch_size": True}, "batch_size is True"),
        ({"replicates": "many"}, "replicates is 'many'"),
        ({"seed": -1}, r"seed is -1, must be an integer in \[0, 2\*\*64\)"),
        ({"seed": 2**64}, "seed is 18446744073709551616"),
        ({"seed": 0.5}, r"seed is 0\.5"),
        ({"stream": None}, "stream is None"),
        ({"estimator": "gaee"}, "unknown estimator 'gaee', did you mean gae?"),
        ({"lam": 2.0}, r"gae\.lam: 2\.0 is out of range"),
        ({"lambda": 0.5}, r"gae\.lambda: unknown parameter, did you mean lam"),
        ({"theta": np.zeros(3)}, r"theta has shape \(3,\)"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    mdp = make_problem("two_state")
    policy = make_policy("softmax", mdp)
    arguments = {"theta": policy.initial(), "estimator": "gae", "lam": 0.5, "horizon": 3}
    with pytest.raises(ValueError, match=message):
        sample_gradients(mdp, policy, **arguments | changes)


def test_wrong_parameters_are_parameter_errors():
    mdp = make_problem("two_state")
    policy = make_policy("softmax", mdp)
    with pytest.raises(ParameterError, match=r"reinforce\.baseline: 'value' is unknown"):
        sample_gradients(mdp, policy, policy.initial(), "reinforce", horizon=3, baseline="value")


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
    monkeypatch.setattr("pgbench.kernels.rollout.compact", None)
    monkeypatch.setattr("pgbench.kernels.alias.make_sampler", None)
    (block,) = rollouts.weights(Draws(3, 2, 16, seed=1, stream=2))
    assert block.steps.size == 16


FAR = """
import resource, sys
import pgbench as pg

name, horizon, quadratic = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
given = {} if quadratic else {"n_states": 3, "seed": 1}
mdp = pg.make_problem("lqg" if quadratic else "random", gamma=0.999999, **given)
policy = pg.make_policy("gaussian" if quadratic else "softmax", mdp)
theta = policy.initial(seed=0)

def sample(name, **given):
    return pg.sample_gradients(mdp, policy, theta, name, batch_size=1, replicates=2, **given)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

sample("reward_to_go", horizon=10)
before = peak()
sample(name, horizon=horizon)
print(peak() - before)
"""


@pytest.mark.parametrize(
    ("name", "horizon", "quadratic"),
    [
        ("visitation_q", 1, False),
        ("visitation_mc", 1, False),
        ("reward_to_go", 2_000_000, False),
        pytest.param("reward_to_go", 300_000, True, marks=pytest.mark.slow),
    ],
)
def test_memory_does_not_grow_with_the_horizon(name, horizon, quadratic):
    """Two samples at γ = .999999 in a process of its own; 40 million steps were once held."""
    done = subprocess.run(
        [sys.executable, "-c", FAR, name, str(horizon), str(quadratic)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert int(done.stdout) < 128


@pytest.fixture
def few(monkeypatch):
    """Next to no steps can be held."""
    monkeypatch.setattr(simulator, "RECORDED", 200)


def test_batches_are_cut_to_what_can_be_held(few):
    mdp = make_problem("random", n_states=3, gamma=0.9)
    policy = make_policy("softmax", mdp)
    theta = policy.initial(seed=0)
    cut = sample_gradients(mdp, policy, theta, "rloo", horizon=30, batch_size=2, replicates=9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator, "RECORDED", 2**26)
        whole = sample_gradients(mdp, policy, theta, "rloo", horizon=30, batch_size=2, replicates=9)
    assert cut.tobytes() == whole.tobytes()


@pytest.mark.parametrize("name", ["rloo", "antithetic", "spsa", "quasi_monte_carlo"])
def test_what_cannot_be_held_is_refused(few, name):
    mdp = make_problem("random", n_states=3, gamma=0.9)
    policy = make_policy("softmax", mdp)
    theta = policy.initial(seed=0)
    with pytest.raises(ValueError, match=r"horizon is 300: .* at most 200 are"):
        sample_gradients(mdp, policy, theta, name, horizon=300, batch_size=2, replicates=1)


def test_what_cannot_be_held_is_refused_on_linear_quadratic_problems(few):
    mdp = make_problem("lqg")
    policy = make_policy("gaussian", mdp)
    theta = policy.initial(seed=0)
    with pytest.raises(ValueError, match=r"horizon is 90: .* of 3 numbers"):
        sample_gradients(mdp, policy, theta, "rloo", horizon=90, batch_size=2, replicates=1)


def test_short_episodes_are_held_whatever_the_horizon(few):
    """What counts is how long they are."""
    mdp = make_problem("gridworld", size=3, walls=0.0, gamma=1.0)
    policy = make_policy("softmax", mdp)
    theta = np.zeros(policy.n_parameters)
    arguments = mdp, policy, theta, "rloo"
    far = sample_gradients(*arguments, horizon=10_000, batch_size=2, replicates=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator, "RECORDED", 2**26)
        expected = sample_gradients(*arguments, horizon=10_000, batch_size=2, replicates=1)
    assert far.tobytes() == expected.tobytes()
