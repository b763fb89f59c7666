"""Arrays of MDPtoolbox in all their forms against the same problems with states first."""

import h5py
import numpy as np
import pytest
import scipy.io
from scipy import sparse

from pgbench.exact import optimal_value
from pgbench.problems import FiniteMDP, ProblemError, make_problem
from pgbench.problems.distribution import Renormalised

S, A = 4, 3
RNG = np.random.default_rng(0)
P = RNG.dirichlet(np.ones(S), (A, S))
R = {
    "S": RNG.standard_normal(S),
    "SA": RNG.standard_normal((S, A)),
    "ASS": RNG.standard_normal(P.shape),
}
START = np.full(S, 1 / S)
BY_STATE = {
    "S": np.repeat(R["S"][:, None], A, axis=1),
    "SA": R["SA"],
    "ASS": R["ASS"].transpose(1, 0, 2),
}
"""The same rewards as ``FiniteMDP.from_arrays`` takes them."""

FORMS = {
    "array": np.array,
    "list": lambda array: [np.array(matrix) for matrix in array],
    "sparse": lambda array: tuple(sparse.csr_matrix(matrix) for matrix in array),
    "objects": lambda array: objects([sparse.csc_array(matrix) for matrix in array]),
    "mixed": lambda array: [sparse.coo_array(array[0]), *array[1:]],
}


def objects(matrices):
    """An array of objects, as MDPtoolbox makes of sparse matrices."""
    array = np.empty(len(matrices), object)
    array[:] = matrices
    return array


def reference(kind):
    return FiniteMDP.from_arrays(P.transpose(1, 0, 2), BY_STATE[kind], START, 0.9)


@pytest.mark.parametrize("of_P", FORMS)
@pytest.mark.parametrize("kind", R)
def test_every_form_is_the_same_problem(of_P, kind):
    mdp = FiniteMDP.from_mdptoolbox(FORMS[of_P](P), R[kind], 0.9)
    assert mdp.digest == reference(kind).digest


@pytest.mark.parametrize("of_P", FORMS)
@pytest.mark.parametrize("of_R", FORMS)
def test_rewards_of_transitions_come_in_every_form_too(of_P, of_R):
    mdp = FiniteMDP.from_mdptoolbox(FORMS[of_P](P), FORMS[of_R](R["ASS"]), 0.9)
    assert mdp.digest == reference("ASS").digest


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.coo_array])
def test_rewards_of_pairs_may_be_sparse(make):
    mdp = FiniteMDP.from_mdptoolbox(FORMS["sparse"](P), make(R["SA"]), 0.9)
    assert mdp.digest == reference("SA").digest


def test_as_many_actions_as_states_are_not_taken_for_those():
    square = P[:, :3, :3] / P[:, :3, :3].sum(axis=2, keepdims=True)
    mdp = FiniteMDP.from_mdptoolbox(square, np.arange(9.0).reshape(3, 3), 0.9)
    np.testing.assert_allclose(mdp.transitions.toarray().reshape(3, 3, 3)[1, 2], square[2, 1])
    np.testing.assert_allclose(mdp.expected_reward, np.arange(9.0).reshape(3, 3))


def test_episodes_start_where_they_are_told_or_anywhere_that_is_not_terminal():
    ends = np.array([False, True, False, False])
    mdp = FiniteMDP.from_mdptoolbox(P, R["SA"], 0.9, terminal=ends)
    np.testing.assert_array_equal(mdp.mu0, [1 / 3, 0, 1 / 3, 1 / 3])
    assert mdp.terminal.tolist() == ends.tolist()
    told = FiniteMDP.from_mdptoolbox(P, R["SA"], 0.9, mu0=[0, 0, 1, 0], name="told")
    np.testing.assert_array_equal(told.mu0, [0, 0, 1, 0])
    assert told.name == "told"


def forest(S=3, r1=4, r2=2, p=0.1):
    """The forest of MDPtoolbox: wait or cut, fire with probability p (Chadès et al. 2014)."""
    P = np.zeros((2, S, S))
    P[0, :, 0] = p
    P[0, np.arange(S), np.minimum(np.arange(S) + 1, S - 1)] = 1 - p
    P[1, :, 0] = 1
    R = np.zeros((S, 2))
    R[-1, 0], R[1:, 1], R[-1, 1] = r1, 1, r2
    return P, R


def iterated(P, R, gamma, n=5000):
    """Values by value iteration, V ← max_a R + γ P V."""
    V = np.zeros(P.shape[1])
    for _ in range(n):
        V = (R + gamma * np.einsum("asj,j->sa", P, V)).max(axis=1)
    return V


SMALL = np.array([[[0.5, 0.5], [0.8, 0.2]], [[0, 1], [0.1, 0.9]]]), np.array([[5, 10], [-1, 2]])


@pytest.mark.parametrize(
    ("problem", "documented"),
    [(forest(), [26.244, 29.484, 33.484]), (SMALL, [42.441860465116, 36.046511627907])],
    ids=["forest", "small"],
)
def test_values_are_those_that_the_toolbox_documents(problem, documented):
    """Policy iteration with discount 0.9, pymdptoolbox's documentation of ``PolicyIteration``."""
    V = optimal_value(FiniteMDP.from_mdptoolbox(*problem, 0.9)).v
    np.testing.assert_allclose(V, iterated(*problem, 0.9), rtol=1e-12)
    np.testing.assert_allclose(V, documented, rtol=1e-12)


@pytest.mark.parametrize(
    ("P", "R", "message"),
    [
        (P[0], R["SA"], r"P has shape \(4, 4\), must be \(A, S, S\)"),
        (P.transpose(1, 2, 0), R["SA"], r"P has shape \(4, 4, 3\), must be \(A, S, S\)"),
        (P, R["SA"].T, r"R has shape \(3, 4\), must be \(4,\), \(4, 3\) or \(3, 4, 4\)"),
        (P, R["S"][:3], r"R has shape \(3,\), must be"),
        (P, "none", "R is not an array of numbers"),
        (2 * P, R["SA"], r"P\[0, 0\] sums to 2, must sum to 1"),
        (P - np.eye(S)[[1]] * (np.arange(A) == 2)[:, None, None], R["SA"], r"P\[2, 0\] is -"),
        (np.where(np.arange(S) == 1, np.nan, P), R["SA"], r"P\[0, 0, 1\] is nan, must be finite"),
        ([P[0], P[1, :3]], R["SA"], "P is not an array of numbers"),
        ([sparse.eye_array(4), sparse.eye_array(3)], R["S"], r"P\[1\] has shape \(3, 3\)"),
        (FORMS["sparse"](P), FORMS["sparse"](R["ASS"])[:2], "r holds 2 matrices, must hold 3"),
    ],
)
def test_other_arrays_are_refused(P, R, message):
    with pytest.raises(ProblemError, match=message):
        FiniteMDP.from_mdptoolbox(P, R, 0.9)


@pytest.mark.parametrize("form", ["array", "sparse"])
def test_messages_name_the_action_first_as_the_arrays_do(form):
    wrong = np.array(P)
    wrong[2, 1] *= 0.9
    with pytest.raises(ProblemError, match=r"P\[2, 1\] sums to 0\.9, must sum to 1"):
        FiniteMDP.from_mdptoolbox(FORMS[form](wrong), R["SA"], 0.9)


def test_decimals_are_divided_by_their_sum():
    with pytest.warns(Renormalised):
        mdp = FiniteMDP.from_mdptoolbox(np.full((1, 3, 3), 0.333), np.zeros(3), 0.9)
    np.testing.assert_allclose(mdp.probability, 1 / 3, rtol=1e-15)


def cell(matrices):
    """A cell of matrices, as MATLAB has one row of them."""
    return objects(matrices)[None]


IN_MATLAB = {
    "last": lambda: {"P": np.moveaxis(P, 0, 2), "R": np.moveaxis(R["ASS"], 0, 2)},
    "cells": lambda: {
        "P": cell([sparse.csc_array(matrix) for matrix in P]),
        "R": cell([sparse.csc_array(matrix) for matrix in R["ASS"]]),
    },
    "dense cells": lambda: {"P": cell(list(P)), "R": cell(list(R["ASS"]))},
}


@pytest.mark.parametrize("form", IN_MATLAB)
def test_files_of_matlab(tmp_path, form):
    path = tmp_path / "p.mat"
    scipy.io.savemat(path, IN_MATLAB[form]() | {"discount": 0.9})
    mdp = make_problem("mdptoolbox", path=str(path))
    assert mdp.digest == reference("ASS").digest


@pytest.mark.parametrize("kind", ["S", "SA"])
@pytest.mark.parametrize("wide", ["row", "column"])
def test_rewards_in_files_of_matlab(tmp_path, kind, wide):
    path = tmp_path / "p.mat"
    arrays = {"P": np.moveaxis(P, 0, 2), "R": R[kind], "mu0": [[0, 0, 1, 0]], "discount": 0.5}
    arrays["terminal"] = np.array([[False, True, False, False]])
    scipy.io.savemat(path, arrays, oned_as=wide)
    ends = [False, True, False, False]
    expected = FiniteMDP.from_arrays(
        P.transpose(1, 0, 2), BY_STATE[kind], [0, 0, 1, 0], 0.9, terminal=ends
    )
    assert make_problem("mdptoolbox", path=str(path), gamma=0.9).digest == expected.digest


@pytest.mark.parametrize("name", ["P", "R"])
def test_actions_first_are_refused_in_files_of_matlab(tmp_path, name):
    scipy.io.savemat(tmp_path / "p.mat", IN_MATLAB["last"]() | {name: P})
    message = rf"p\.mat: {name} has shape \(3, 4, 4\), must be \(S, S, A\), with actions last"
    with pytest.raises(ProblemError, match=message):
        make_problem("mdptoolbox", path=str(tmp_path / "p.mat"), gamma=0.9)


def test_one_action_has_no_axis_in_matlab(tmp_path):
    scipy.io.savemat(tmp_path / "p.mat", {"P": P[0], "R": R["S"][:, None]})
    mdp = make_problem("mdptoolbox", path=str(tmp_path / "p.mat"), gamma=0.9)
    assert mdp.digest == FiniteMDP.from_mdptoolbox(P[:1], R["S"], 0.9).digest


def test_actions_come_last_in_matlab_where_there_are_as_many_as_states(tmp_path):
    square = P[:, :3, :3] / P[:, :3, :3].sum(axis=2, keepdims=True)
    scipy.io.savemat(tmp_path / "p.mat", {"P": np.moveaxis(square, 0, 2), "R": np.zeros(3)})
    mdp = make_problem("mdptoolbox", path=str(tmp_path / "p.mat"), gamma=0.9)
    assert mdp.digest == FiniteMDP.from_mdptoolbox(square, np.zeros(3), 0.9).digest


@pytest.mark.parametrize("kind", R)
def test_files_of_numpy(tmp_path, kind):
    path = tmp_path / "p.npz"
    np.savez(path, P=P, R=R[kind], discount=0.9, mu0=START)
    mdp = make_problem("mdptoolbox", path=str(path))
    assert mdp.digest == reference(kind).digest
    assert make_problem("mdptoolbox", path=str(path), gamma=0.5).gamma == 0.5


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"P": P}, r"missing \['R'\], unknown \[\]; must hold P and R"),
        ({"P": P, "R": R["S"], "r": 1.0}, r"missing \[\], unknown \['r'\]"),
        ({"P": P, "R": R["S"]}, "holds no discount and no gamma was given"),
        ({"P": P, "R": R["S"], "discount": [0.9, 0.9]}, "must be one number in"),
        ({"P": P, "R": R["S"], "discount": 1.5}, r"gamma is 1\.5, must be a number in \[0, 1\]"),
    ],
)
@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_files_that_hold_something_else_are_refused(tmp_path, kind, arrays, message):
    path = tmp_path / f"p.{kind}"
    if kind == "npz":
        np.savez(path, **arrays)
    else:
        scipy.io.savemat(path, arrays | {"P": np.moveaxis(P, 0, 2)})
    with pytest.raises(ProblemError, match=message):
        make_problem("mdptoolbox", path=str(path))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    path = tmp_path / "p.mat"
    with pytest.raises(ProblemError, match=r"p\.mat cannot be read: No such file"):
        make_problem("mdptoolbox", path=str(path))
    path.write_bytes(b"not of MATLAB, but longer than its header is" * 10)
    with pytest.raises(ProblemError, match=r"p\.mat is not a readable \.mat file"):
        make_problem("mdptoolbox", path=str(path))
    with h5py.File(path, "w", userblock_size=512) as file:
        file["P"] = P
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    with path.open("r+b") as raw:
        raw.write(header)
    with pytest.raises(ProblemError, match=r"p\.mat is of MATLAB's version 7\.3, must be saved"):
        make_problem("mdptoolbox", path=str(path))
