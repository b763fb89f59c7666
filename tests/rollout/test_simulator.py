"""Batches hold what tables see, are cut to the memory there is, or refused."""

import subprocess
import sys

import numpy as np
import pytest

from pgbench.api import sample_gradients
from pgbench.estimators import make_tables
from pgbench.exact import evaluate
from pgbench.measure.gradients import gradient_blocks
from pgbench.policies import NotApplicable, make_policy
from pgbench.problems import make_problem
from pgbench.rollout import simulator
from pgbench.rollout.simulator import Draws, Simulator
from tests.support.numbers import close
from tests.support.truths import WEIGHTS_OF

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


@WEIGHTS_OF
@pytest.mark.parametrize("first", [0, 16])
def test_batches_are_the_trajectories_that_tables_see(truth, first):
    """REINFORCE by its tables, and from the returns of the batch, are the same replicates."""
    draws, m = Draws(horizon=8, batch_size=3, replicates=32, seed=5, stream=6), 16
    tables = [make_tables(truth, "reinforce")]
    blocks = {block.first: block for block in gradient_blocks(truth, tables, draws)}
    drawn = Simulator(truth, draws, first, m)
    batch = drawn.batch()
    found = drawn.pull_back(batch.tables(batch.returns[:, :, None]))
    close(found, blocks[first].gradients[0], 1e-12)


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


def test_what_an_estimate_is_made_of_comes_in_groups_and_nothing_else():
    mdp = make_problem("garnet", n_states=5, gamma=0.9, seed=2)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=4))
    drawn = Simulator(truth, Draws(6, 12, 16, 1, 2, group_size=3), 0, 16)
    starts = drawn.batch().states[:, :, 0].reshape(16, 4, 3)
    assert (starts == starts[:, :, :1]).all()
    assert np.ptp(starts[:, :, 0]) > 0
    assert drawn.group_size == 3
    alone = Simulator(truth, Draws(6, 12, 16, 1, 2), 0, 16)
    assert alone.group_size == 12
    for purpose, n in (("critic", 12), ("critic", 5)):
        one, other = (s.batch(purpose, n) for s in (drawn, alone))
        np.testing.assert_array_equal(one.states, other.states)


def test_batches_are_divided_into_groups_without_rest():
    with pytest.raises(NotApplicable, match="batch_size is 6, must be a multiple of group_size, 4"):
        Draws(6, 6, 16, 1, 2, group_size=4)


def test_table_and_batch_estimators_see_the_same_groups():
    mdp = make_problem("garnet", n_states=5, gamma=0.9, seed=2)
    policy = make_policy("softmax", mdp)
    theta = policy.initial(seed=4)
    given = {"horizon": 6, "batch_size": 8, "group_size": 4, "replicates": 32}
    table = sample_gradients(mdp, policy, theta, "reinforce", **given)
    truth = evaluate(mdp, policy, theta)
    simulator = Simulator(truth, Draws(6, 8, 32, 0, 0, group_size=4), 0, 32)
    batch = simulator.batch()
    own = simulator.pull_back(batch.tables(batch.returns[:, :, None]))
    np.testing.assert_allclose(table, own, rtol=1e-12, atol=1e-14)
    ungrouped = sample_gradients(mdp, policy, theta, "reinforce", **(given | {"group_size": None}))
    assert np.abs(table - ungrouped).max() > 0.01
