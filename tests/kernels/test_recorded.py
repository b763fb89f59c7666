"""What is computed of recorded trajectories, against plain NumPy and plain loops."""

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.kernels.recorded import (
    accumulate_backward,
    add_up,
    look_up,
    multiply_forward,
    sum_backward,
)
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.rollout.simulator import Draws, Simulator

M, N, T, ENTRIES = 3, 2, 5, 7
STEPS = np.array([[5, 2], [1, 0], [4, 5]])
TAKEN = np.arange(T) < STEPS[:, :, None]
ROWS = np.array([[0, 0], [2, 2], [1, 1]])


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def index(rng):
    return rng.integers(ENTRIES, size=(M, N, T)).astype(np.int32)


def test_steps_look_up_their_row_and_the_others_get_what_is_said(rng, index):
    table, out = rng.standard_normal((3, ENTRIES)), np.empty((M, N, T))
    look_up(table, ROWS, index, STEPS, 0.5, out)
    np.testing.assert_array_equal(out, np.where(TAKEN, table[ROWS[:, :, None], index], 0.5))


@pytest.mark.parametrize("kept", [T, 1])
def test_sums_from_behind_are_those_of_powers(rng, index, kept):
    table, out = rng.standard_normal((3, ENTRIES)), np.empty((M, N, kept))
    sum_backward(table, ROWS, index, STEPS, 0.7, out)
    signal = np.where(TAKEN, table[ROWS[:, :, None], index], 0.0)
    later = np.arange(T) - np.arange(T)[:, None]
    expected = np.einsum("mnl,tl->mnt", signal, np.where(later >= 0, 0.7 ** np.abs(later), 0.0))
    np.testing.assert_allclose(out, expected[:, :, :kept], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("varies", [True, False])
def test_decays_may_differ_step_by_step(rng, varies):
    signal, out = rng.standard_normal((M, N, T)), np.empty((M, N, T))
    decay = rng.random((M, N, T) if varies else (1, 1, 1))
    accumulate_backward(signal, decay, out)
    factor, x = np.broadcast_to(decay, signal.shape), np.zeros((M, N))
    for t in reversed(range(T)):
        x = signal[:, :, t] + factor[:, :, t] * x
        np.testing.assert_array_equal(out[:, :, t], x)


@pytest.mark.parametrize("varies", [True, False])
def test_products_of_what_came_before(rng, varies):
    factors, out = rng.random((M, N, T) if varies else (1, 1, 1)), np.empty((M, N, T))
    multiply_forward(factors, out)
    every = np.broadcast_to(factors, out.shape)
    for t in range(T):
        np.testing.assert_allclose(out[:, :, t], every[:, :, :t].prod(axis=2), rtol=1e-15)


@pytest.mark.parametrize("shape", [(M, N, T), (M, N, 1), (1, 1, T), (M, 1, T), (1, 1, 1)])
def test_tables_gather_the_weights_of_their_entries(rng, index, shape):
    weights, out = rng.standard_normal(shape), rng.standard_normal((M, ENTRIES))
    expected = out.copy()
    of_steps = np.broadcast_to(weights, (M, N, T))
    for r in range(M):
        np.add.at(expected[r], index[r][TAKEN[r]], of_steps[r][TAKEN[r]])
    add_up(weights, index, STEPS, out)
    np.testing.assert_allclose(out, expected, rtol=1e-14, atol=1e-15)


def test_weights_that_fit_no_batch_are_refused():
    mdp = make_problem("random", n_states=3)
    policy = make_policy("softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial(seed=1))
    batch = Simulator(truth, Draws(4, 2, 3, 1, 2), 0, 3).batch()
    with pytest.raises(ValueError, match=r"weights have shape \(3, 1, 1\), must broadcast"):
        batch.part(slice(2)).tables(np.ones((3, 1, 1)))
    with pytest.raises(ValueError, match=r"a factor has shape \(3, 1, 1\), must be \(3, 2, 4\)"):
        batch.backward(batch.rewards, np.ones((3, 1, 1)))
