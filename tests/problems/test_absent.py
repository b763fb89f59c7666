"""States that do not have every action: said by a mask, or by rows that hold nothing."""

import re
import warnings

import numpy as np
import pytest
from scipy import sparse

from pgbench.exact.finite.optimum import optimal_value
from pgbench.exact.truth import evaluate
from pgbench.policies import Softmax, make_policy
from pgbench.problems import FiniteMDP, ProblemError
from pgbench.problems.absent import AbsentActions

R = np.array([[0, 0.5], [1, 0], [0, 0.0]])
MU0, ENDS = np.array([1.0, 0, 0]), np.array([False, False, True])
MASK = np.array([[True, True], [True, False], [True, True]])


def rows(absent):
    """State 1 has action 0 alone, which leads to the end; ``absent`` is the row of the other."""
    P = np.zeros((3, 2, 3))
    P[0, 0, 1] = P[0, 1, 2] = P[1, 0, 2] = 1.0
    P[1, 1] = absent
    return P


def same(one, other):
    assert one.digest == other.digest
    assert np.array_equal(one.allowed, MASK)


@pytest.fixture
def masked():
    return FiniteMDP.from_arrays(rows(0.0), R, MU0, 0.9, terminal=ENDS, allowed=MASK)


@pytest.mark.parametrize("absent", [0.0, np.nan], ids=["zeros", "NaN"])
@pytest.mark.parametrize("reward", [0.0, -np.inf, np.nan])
def test_rows_that_hold_nothing_are_no_actions_with_a_warning(masked, absent, reward):
    r = np.where(MASK, R, reward)
    said = re.escape("P[1, 1] holds nothing: state 1 does not have action 1 (1 such in all)")
    with pytest.warns(AbsentActions, match=said):
        same(FiniteMDP.from_arrays(rows(absent), r, MU0, 0.9, terminal=ENDS), masked)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mdp = FiniteMDP.from_arrays(rows(absent), r, MU0, 0.9, terminal=ENDS, allowed=MASK)
    same(mdp, masked)


def test_what_a_mask_forbids_is_not_read(masked):
    same(FiniteMDP.from_arrays(rows(7.0), R, MU0, 0.9, terminal=ENDS, allowed=MASK), masked)


def test_slots_and_sparse_matrices_say_the_same(masked):
    P = [sparse.csr_array(rows(0.0)[:, a]) for a in range(2)]
    r = np.where(MASK, R, -np.inf)
    with pytest.warns(AbsentActions, match=re.escape("P[1, 1] holds nothing")):
        same(FiniteMDP.from_arrays(P, r, MU0, 0.9, terminal=ENDS), masked)
    probability = masked.probability * MASK[:, :, None]
    arrays = masked.successor, probability, masked.reward, MU0, 0.9, ENDS
    with pytest.warns(AbsentActions, match=re.escape("probability[1, 1] holds nothing")):
        same(FiniteMDP(*arrays), masked)


def test_a_file_keeps_the_mask(masked, tmp_path):
    masked.to_npz(tmp_path / "masked.npz")
    same(FiniteMDP.from_npz(tmp_path / "masked.npz"), masked)
    plain = FiniteMDP.from_arrays(rows([0, 1, 0]), R, MU0, 0.9, terminal=ENDS)
    assert plain.allowed is None
    assert plain.digest != masked.digest


def test_a_mask_of_everything_is_none():
    P = rows([0, 1, 0])
    one = FiniteMDP.from_arrays(P, R, MU0, 0.9, terminal=ENDS, allowed=np.ones((3, 2), bool))
    assert one.allowed is None
    assert one.digest == FiniteMDP.from_arrays(P, R, MU0, 0.9, terminal=ENDS).digest


@pytest.mark.parametrize(
    ("allowed", "message"),
    [
        (MASK[:2], "allowed has shape (2, 2) and dtype bool, must be (3, 2) bool"),
        (MASK.astype(float), "allowed has shape (3, 2) and dtype float64, must be (3, 2) bool"),
        (MASK & [[True], [False], [True]], "allowed is false: state 1 has no action at all"),
        (np.ones((3, 2), bool), "P[1, 1] sums to 0, must sum to 1"),
    ],
)
def test_wrong_masks_are_said(allowed, message):
    with pytest.raises(ProblemError, match=re.escape(message)):
        FiniteMDP.from_arrays(rows(0.0), R, MU0, 0.9, terminal=ENDS, allowed=allowed)


def test_a_reward_that_forbids_what_has_a_row_is_told_how_to_say_so():
    r = np.where(MASK, R, -np.inf)
    with pytest.raises(ProblemError, match=re.escape("r[1, 1] is -inf, must be finite; if that")):
        FiniteMDP.from_arrays(rows([0, 1, 0]), r, MU0, 0.9, terminal=ENDS)


def test_the_optimum_chooses_among_what_exists():
    """All rewards of what exists are negative, so that the placeholder's 0 would be best."""
    mdp = FiniteMDP.from_arrays(rows(0.0), R - 2, MU0, 0.9, terminal=ENDS, allowed=MASK)
    best = optimal_value(mdp)
    assert best.action[1] == 0
    assert best.q[1, 1] == -np.inf
    assert best.objective == pytest.approx(max(-2 - 0.9, -1.5))


def test_a_policy_that_takes_what_does_not_exist_is_refused(masked):
    with pytest.raises(ValueError, match="takes action 1 in state 1, which does not have it"):
        evaluate(masked, Softmax(3, 2), np.zeros(6))


def test_the_same_problem_without_the_absent_action_has_the_same_gradient(masked):
    """State 1 has one action; in its twin the second action repeats the first."""
    r = np.array([[0, 0.5], [1, 1], [0, 0]])
    twin = FiniteMDP.from_arrays(rows([0, 0, 1]), r, MU0, 0.9, ENDS)
    theta = np.array([0.3, -0.4, 2.0, 5.0, 0.0, 0.0])
    one, other = (evaluate(m, make_policy("softmax", m), theta) for m in (masked, twin))
    assert one.objective == pytest.approx(other.objective, rel=1e-14)
    np.testing.assert_allclose(one.gradient, other.gradient, atol=1e-15)
