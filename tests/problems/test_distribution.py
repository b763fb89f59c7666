"""Transition tables as they come from networks, files and other packages."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from pgbench.exact import evaluate
from pgbench.policies import make_policy
from pgbench.problems import FiniteMDP, ProblemError
from pgbench.problems.distribution import Renormalised, normalise, rounding

RNG = np.random.default_rng(0)
P = RNG.dirichlet(np.ones(5), size=(5, 2))
R, MU0 = RNG.normal(size=(5, 2)), np.ones(5) / 5
LOGITS = np.exp(RNG.normal(size=(5, 2, 5)).astype(np.float32))

NEARLY = {
    "float32": P.astype(np.float32),
    "float32 softmax": LOGITS / LOGITS.sum(axis=-1, keepdims=True),
    "six decimals": np.round(P, 6),
    "three decimals": np.round(P, 3),
}


@pytest.mark.parametrize("table", NEARLY.values(), ids=NEARLY)
def test_rows_as_exact_as_their_source_are_renormalised_with_a_warning(table):
    with pytest.warns(Renormalised, match="P: rows sum to 1 within"):
        mdp = FiniteMDP.from_arrays(table, R, MU0, 0.9)
    np.testing.assert_allclose(mdp.probability.sum(axis=2), 1, rtol=0, atol=1e-15)
    expected = np.asarray(table, float) / np.asarray(table, float).sum(axis=2, keepdims=True)
    dense = mdp.transitions.toarray().reshape(5, 2, 5)
    np.testing.assert_allclose(dense, expected, rtol=0, atol=1e-15)


def test_a_start_of_six_decimals_is_renormalised():
    with pytest.warns(Renormalised, match="mu0: rows sum to 1 within 1e-06"):
        mdp = FiniteMDP.from_arrays(P, R, np.round(np.array([1, 1, 1, 0, 0]) / 3, 6), 0.9)
    assert mdp.mu0.sum() == pytest.approx(1, abs=1e-15)


def test_what_sums_to_one_is_taken_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FiniteMDP.from_arrays(P, R, MU0, 0.9)
        FiniteMDP.from_arrays(np.full((2, 1, 2), 0.5, np.float32), np.zeros((2, 1)), [1, 0], 0.9)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0.5, 0.4], "sums to 0.9, must sum to 1"),
        ([0.51, 0.5], "sums to 1.01, must sum to 1"),
        ([0.501, 0.503], r"sums to 1.004, must sum to 1 within 0.00\d"),
        ([0.3333333, 0.6666633], "sums to 0.9999966, must sum to 1"),
        ([0.1 + 1e-6 / 3, 0.9], "must sum to 1"),
        ([1.5, -0.5], "must not be negative"),
    ],
)
def test_what_is_off_by_more_is_refused_with_row_and_sum(row, words):
    table = np.tile(row, (2, 1, 1)).astype(float)
    with pytest.raises(ProblemError, match=rf"P\[0, 0(, 1)?\] .*{words}"):
        normalise("P", table.copy(), table)


def test_rounding_is_that_of_the_type_or_of_the_decimals():
    assert rounding(np.float32([0.1])) == np.finfo(np.float32).eps
    assert rounding([0.123456, 0.5]) == 0.5e-6
    assert rounding(P) == 0
    assert rounding([0.5, 0.25]) == 0.5e-3
    assert rounding([1, 0]) == 0


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.coo_array, sparse.csc_array])
def test_a_sparse_matrix_per_action_is_the_dense_problem(kind):
    table = np.where(P > 0.1, P, 0)
    table /= table.sum(axis=2, keepdims=True)
    paid = np.where(table > 0, RNG.normal(size=table.shape), 0)
    matrices = [kind(table[:, a]) for a in range(2)]
    policy_of = lambda mdp: make_policy("softmax", mdp)  # noqa: E731
    for r, own in ((R, R), (paid, [kind(paid[:, a]) for a in range(2)])):
        dense = FiniteMDP.from_arrays(table, r, MU0, 0.9)
        found = FiniteMDP.from_arrays(matrices, own, MU0, 0.9)
        truths = [evaluate(m, policy_of(m), np.linspace(0, 1, 10)) for m in (dense, found)]
        np.testing.assert_allclose(truths[0].gradient, truths[1].gradient, rtol=1e-13)
        assert truths[0].objective == pytest.approx(truths[1].objective, rel=1e-14)


def test_sparse_rows_of_terminal_states_may_be_empty():
    chain = sparse.csr_array(([1.0], ([0], [1])), shape=(2, 2))
    mdp = FiniteMDP.from_arrays([chain], [[1.0], [0.0]], [1, 0], 1.0, terminal=[False, True])
    assert evaluate(mdp, make_policy("softmax", mdp), [0.0, 0.0]).objective == 1.0


def test_wrong_sparse_matrices_are_named():
    good = sparse.eye_array(3)
    with pytest.raises(ProblemError, match=r"P\[1\] has shape \(2, 2\), must be \(3, 3\)"):
        FiniteMDP.from_arrays([good, sparse.eye_array(2)], np.zeros((3, 2)), [1, 0, 0], 0.9)
    with pytest.raises(ProblemError, match="r holds 1 matrices, must hold 2, one per action"):
        FiniteMDP.from_arrays([good, good], [good], [1, 0, 0], 0.9)
    with pytest.raises(ProblemError, match=r"P\[0, 0\] sums to 2, must sum to 1"):
        FiniteMDP.from_arrays([2 * good], np.zeros((3, 1)), [1, 0, 0], 0.9)


def test_actions_first_is_said_clearly():
    with pytest.raises(ProblemError, match=r"must be \(S, A, S\); if this is \(A, S, S\)"):
        FiniteMDP.from_arrays(np.transpose(P, (1, 0, 2)), R, MU0, 0.9)


@pytest.mark.parametrize(
    "row",
    [
        np.full(600, 0.5 / 600, np.float16),
        np.full(20_000, 0.998 / 20_000, np.float32),
        np.full(400, 0.002),
    ],
    ids=["half precision", "single precision", "three decimals"],
)
def test_many_entries_are_no_excuse(row):
    """Their errors cancel, so the sum is off by far less than their number times one of them."""
    table = row.astype(float)[None]
    with pytest.raises(ProblemError, match=r"P\[0\] sums to"):
        normalise("P", table, row[None])


@pytest.mark.parametrize(("dtype", "n"), [(np.float16, 600), (np.float32, 50)])
def test_many_entries_that_were_rounded_are_accepted(dtype, n):
    row = np.random.default_rng(0).dirichlet(np.ones(n)).astype(dtype)[None]
    table = row.astype(float)
    with pytest.warns(Renormalised):
        normalise("P", table, row)
    np.testing.assert_allclose(table.sum(), 1.0, rtol=1e-12)


def test_warnings_name_the_line_that_gave_the_arrays():
    """However the arrays are given, and however deep in the package they are looked at."""
    P, r = np.full((3, 1, 3), 0.333333), np.zeros((3, 1))
    P[2, 0, 2] = 0.333334
    makers = (
        lambda: FiniteMDP.from_arrays(P, r, [1, 0, 0], 0.9),
        lambda: FiniteMDP.from_arrays([sparse.csr_array(P[:, 0])], r, [1, 0, 0], 0.9),
        lambda: FiniteMDP(np.zeros((3, 1, 3), int), P, np.zeros((3, 1, 3)), np.eye(3)[0], 0.9),
    )
    for make in makers:
        with pytest.warns(Renormalised) as caught:
            make()
        assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.5, 0.4], "row 1 of 2 sums to 0.9, must sum to 1"),
        ([1.5, -0.5], "row 1 of 2 is -0.5, must"),
    ],
)
def test_messages_call_rows_as_they_are_told(row, message):
    table = np.array([[0.5, 0.5], row])
    with pytest.raises(ProblemError, match=message):
        normalise("P", table, table, lambda place: f"row {place[0]} of 2")
