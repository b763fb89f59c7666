"""Running sums against numpy, and against themselves cut into other calls."""

import numpy as np
import pytest

from pgbench.estimators import find_estimator
from pgbench.exact import evaluate
from pgbench.measure.gradients import gradient_blocks
from pgbench.measure.sums import Sums
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.engines import Rollouts
from pgbench.rollout.simulator import Draws
from pgbench.statistics import n_blocks


def accumulate(gradients, steps, truth, cuts=(), expected=None):
    """Running sums of all replicates, added in the given pieces; their mean is 2g if not given."""
    R, d = gradients.shape
    along = np.random.default_rng(7).standard_normal((3, d))
    sums = Sums(truth, [2 * truth if expected is None else expected], R, along)
    for first, last in zip([0, *cuts], [*cuts, R], strict=True):
        sums.add_gradients(first, gradients[first:last, None], steps[first:last])
    return sums


def replicates(R, d=5, seed=0):
    rng = np.random.default_rng(seed)
    gradients = rng.standard_normal((R, d)) * np.logspace(-3, 3, d) + 1
    gradients[rng.random((R, d)) < 0.3] = 0.0
    return gradients, rng.integers(1, 100, R), rng.standard_normal(d)


@pytest.mark.parametrize("R", [2, 31, 32, 33, 100, 1000])
def test_moments_are_those_of_numpy(R):
    gradients, steps, truth = replicates(R)
    mean, squares = accumulate(gradients, steps, truth).moments(0)
    np.testing.assert_allclose(mean, gradients.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(squares, R * gradients.var(axis=0), rtol=1e-10)


@pytest.mark.parametrize("R", [2, 31, 33, 100, 1000])
def test_numbers_per_replicate_and_block_sums_are_those_of_numpy(R):
    gradients, steps, truth = replicates(R)
    sums = accumulate(gradients, steps, truth)
    K = n_blocks(R)
    block = np.arange(R) * K // R
    assert (np.diff(block) <= 1).all()
    member = np.eye(K)[block].T
    np.testing.assert_allclose(sums.running.blocks[0], member @ gradients, rtol=1e-12, atol=1e-12)
    norms = np.linalg.norm(gradients, axis=1) * np.linalg.norm(truth)
    product = gradients @ truth
    columns = [
        ((gradients - truth) ** 2).sum(axis=1),
        ((gradients - 2 * truth) ** 2).sum(axis=1),
        np.divide(product, norms, out=np.zeros(R), where=norms > 0),
        product > 0,
        steps,
        product,
    ]
    np.testing.assert_allclose(sums.running.scalars[0], np.stack(columns, axis=1), rtol=1e-9)
    np.testing.assert_allclose(sums.projections(0), gradients @ sums.along.T, rtol=1e-9, atol=1e-9)
    assert sums.along.shape == (4, truth.size)
    sample = sums.sample(0)
    np.testing.assert_array_equal(sample.steps, steps)
    assert sample.variance == pytest.approx(gradients.var(axis=0, ddof=1).sum(), rel=1e-11)
    assert sample.truth_squared == pytest.approx(sample.exact_bias_squared) == truth @ truth
    errors = member @ (gradients - truth)
    np.testing.assert_allclose(sample.gram, errors @ errors.T, rtol=1e-10, atol=1e-8)


def same_bytes(one, other):
    for a, b in zip(one.running, other.running, strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("cuts", [(1,), (16, 32, 48), (50, 51, 99), tuple(range(1, 100))])
def test_cuts_do_not_change_a_byte(cuts):
    gradients, steps, truth = replicates(100)
    same_bytes(accumulate(gradients, steps, truth), accumulate(gradients, steps, truth, cuts))


def test_mean_far_from_zero_keeps_the_variance():
    """Sums about the exact mean: a sum of squares would lose every digit of this variance."""
    gradients = 1e9 + np.random.default_rng(1).standard_normal((500, 1))
    sums = accumulate(gradients, np.ones(500, np.int64), np.zeros(1), expected=np.array([1e9]))
    np.testing.assert_allclose(sums.moments(0)[1], 500 * gradients.var(axis=0), rtol=1e-6)


def test_zero_gradients_have_no_direction():
    sums = accumulate(np.zeros((40, 3)), np.ones(40, np.int64), np.ones(3))
    np.testing.assert_array_equal(sums.running.scalars[0, :, 2:4], 0)


def large_setting(kind, name, n_actions=3):
    """Problem, policy and estimators with fewer steps in a batch than states."""
    mdp = make_problem("garnet", n_states=90, n_actions=n_actions, gamma=0.8, seed=4)
    policy = make_policy(kind, mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=5))
    return truth, [find_estimator(n).make(truth) for n in name]


@pytest.mark.parametrize("kind", ["softmax", "direct", "loglinear", "neural"])
@pytest.mark.parametrize("names", [("reward_to_go", "baseline_value"), ("visitation_mc",)])
@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_rows_of_visited_states_give_the_sums_of_whole_gradients(kind, names, batch_size):
    """Whether a batch may visit every state (20 trajectories of 10 steps) or not."""
    truth, tables = large_setting(kind, names)
    draws = Draws(horizon=10, batch_size=batch_size, replicates=50, seed=1, stream=2)
    g = truth.gradient
    along = np.random.default_rng(3).standard_normal((4, g.size))
    expected = [0.9 * g] * len(tables)
    rows, whole = (Sums(g, expected, 50, along) for _ in range(2))
    for block in Rollouts(tables).weights(draws):
        rows.add(truth, tables[0].process, block)
    for block in gradient_blocks(truth, tables, draws):
        whole.add_gradients(block.first, np.stack(block.gradients, axis=1), block.steps)
    for name in ("scalars", "projections", "blocks"):
        one, other = getattr(rows.running, name), getattr(whole.running, name)
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12 * np.abs(other).max())
    for e in range(len(tables)):
        for one, other in zip(rows.moments(e), whole.moments(e), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("n_actions", [1, 2, 4, 5, 8])
def test_rows_of_any_width_give_the_sums_of_whole_gradients(n_actions):
    truth, tables = large_setting("direct", ("reward_to_go",), n_actions)
    draws = Draws(horizon=10, batch_size=3, replicates=40, seed=1, stream=2)
    g = truth.gradient
    rows, whole = (Sums(g, [0.9 * g], 40, np.zeros((0, g.size))) for _ in range(2))
    for block in Rollouts(tables).weights(draws):
        rows.add(truth, tables[0].process, block)
    for block in gradient_blocks(truth, tables, draws):
        whole.add_gradients(block.first, np.stack(block.gradients, axis=1), block.steps)
    scale = np.abs(whole.running.blocks).max()
    np.testing.assert_allclose(rows.running.blocks, whole.running.blocks, 1e-11, 1e-12 * scale)
    for one, other in zip(rows.moments(0), whole.moments(0), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13 + 1e-12 * scale)


def test_rows_and_whole_gradients_can_be_added_to_the_same_sums():
    truth, tables = large_setting("softmax", ("reward_to_go",))
    draws = Draws(horizon=10, batch_size=3, replicates=32, seed=1, stream=2)
    g = truth.gradient
    mixed, whole = (Sums(g, [0.9 * g], 32, np.zeros((0, g.size))) for _ in range(2))
    blocks = list(gradient_blocks(truth, tables, draws))
    for k, block in enumerate(Rollouts(tables).weights(draws, memory_bytes=1)):
        if k == 0:
            mixed.add(truth, tables[0].process, block)
    for block in blocks:
        gradients = np.stack(block.gradients, axis=1)
        whole.add_gradients(block.first, gradients, block.steps)
        later = slice(max(0, 16 - block.first), None)
        mixed.add_gradients(max(16, block.first), gradients[later], block.steps[later])
    for one, other in zip(mixed.moments(0), whole.moments(0), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)


def test_directions_are_those_that_replicates_are_projected_on():
    """Of 32 bits, whatever was given."""
    gradients, steps, truth = replicates(20)
    sums = accumulate(gradients, steps, truth)
    np.testing.assert_allclose(sums.projections(0), gradients @ sums.along.T, rtol=1e-12, atol=1e-9)
    given = np.random.default_rng(7).standard_normal((3, truth.size))
    np.testing.assert_array_equal(sums.fixed, given.astype(np.float32))


def test_blocks_of_weights_do_not_change_a_byte():
    truth, tables = large_setting("softmax", ("reward_to_go", "q_oracle"))
    draws = Draws(horizon=10, batch_size=3, replicates=70, seed=1, stream=2)
    sums = []
    for memory_bytes in (1, 2**28):
        sums.append(Sums(truth.gradient, [truth.gradient] * 2, 70, np.ones((1, 270))))
        for block in Rollouts(tables).weights(draws, memory_bytes):
            sums[-1].add(truth, tables[0].process, block)
    same_bytes(*sums)


@pytest.mark.parametrize("kind", ["loglinear", "neural"])
def test_other_estimators_do_not_change_a_byte(kind):
    """Gradients of several estimators are made together."""
    truth, tables = large_setting(kind, ("reward_to_go", "q_oracle", "baseline_value"))
    draws = Draws(horizon=10, batch_size=3, replicates=37, seed=1, stream=2)

    fixed = np.zeros((0, truth.gradient.size))

    def scalars(chosen):
        sums = Sums(truth.gradient, [truth.gradient] * len(chosen), 37, fixed)
        for block in Rollouts(chosen).weights(draws):
            sums.add(truth, chosen[0].process, block)
        return sums.running.scalars

    together = scalars(tables)
    for e, own in enumerate(tables):
        assert scalars([own])[0].tobytes() == together[e].tobytes()
