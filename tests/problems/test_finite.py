"""The MDP record: what it refuses and how it says so, what it keeps, and what it computes."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbench.problems import FiniteMDP, ProblemError, make_problem
from pgbench.problems.slots import merge_slots

ARRAYS = ("successor", "probability", "reward", "mu0", "terminal")


def arrays(**changes):
    """Arrays of a valid problem with three states, two actions and two slots."""
    valid = {
        "successor": np.array([[[0, 1], [1, 2]], [[0, 1], [1, 2]], [[2, 2], [2, 2]]]),
        "probability": np.full((3, 2, 2), 0.5),
        "reward": np.arange(12.0).reshape(3, 2, 2),
        "mu0": np.array([0.25, 0.75, 0.0]),
        "gamma": 0.9,
        "terminal": np.array([False, False, True]),
    }
    return valid | changes


def changed(name, index, value):
    """The valid arrays with one entry replaced."""
    table = arrays()[name].copy()
    table[index] = value
    return arrays(**{name: table})


def test_valid_arrays_are_accepted():
    assert FiniteMDP(**arrays()).n_states == 3


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        ("probability", (1, 0, 1), 0.6, r"probability\[1, 0\] sums to 1\.1, must sum to 1"),
        ("probability", (0, 1), [1.5, -0.5], r"probability\[0, 1, 1\] is -0\.5"),
        ("probability", (0, 1, 0), np.nan, r"probability\[0, 1, 0\] is nan"),
        ("reward", (1, 1, 0), np.nan, r"reward\[1, 1, 0\] is nan, must be finite"),
        ("reward", (0, 0, 1), np.inf, r"reward\[0, 0, 1\] is inf, must be finite"),
        ("reward", (0, 0, 1), -np.inf, r"reward\[0, 0, 1\] is -inf, must be finite"),
        ("successor", (0, 1, 0), 3, r"successor\[0, 1, 0\] is 3, must be in \[0, 2\]"),
        ("successor", (1, 0, 1), -1, r"successor\[1, 0, 1\] is -1, must be in \[0, 2\]"),
        ("mu0", 0, 0.3, r"mu0 sums to 1\.05, must sum to 1"),
        ("mu0", slice(None), [1.5, -0.5, 0], r"mu0\[1\] is -0\.5"),
        ("mu0", 1, np.inf, r"mu0\[1\] is inf"),
        ("mu0", slice(None), [0.25, 0.5, 0.25], r"mu0\[2\] is 0\.25 but state 2 is terminal"),
    ],
)
def test_wrong_value_is_located(name, index, value, message):
    with pytest.raises(ProblemError, match=message):
        FiniteMDP(**changed(name, index, value))


@pytest.mark.parametrize(
    "gamma", [-0.1, 1.0000001, np.nan, np.inf, -np.inf, "0.9", None, [0.9], 1j], ids=str
)
def test_wrong_gamma_is_named(gamma):
    with pytest.raises(ProblemError, match=r"gamma is .*, must be a number in"):
        FiniteMDP(**arrays(gamma=gamma))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("probability", np.ones((3, 2)), "probability has 2 dimensions, must have 3"),
        ("probability", np.ones((3, 0, 2)), "every size must be at least 1"),
        ("reward", np.ones((3, 2, 1)), r"reward has shape \(3, 2, 1\), must be \(3, 2, 2\)"),
        ("successor", np.zeros((3, 2, 1), int), r"successor has shape \(3, 2, 1\)"),
        ("successor", np.zeros((3, 2, 2)), "successor .* dtype float64, must be integers"),
        ("mu0", np.ones(1), r"mu0 has shape \(1,\), must be \(3,\)"),
        ("mu0", ["a", "b", "c"], "mu0 is not an array of numbers"),
        ("terminal", np.array([0, 0, 1]), r"terminal .* must be \(3,\) bool"),
        ("terminal", np.array([True]), r"terminal has shape \(1,\)"),
        ("features", np.ones((2, 2, 4)), r"features has shape \(2, 2, 4\), must be \(3, 2, d\)"),
        ("features", np.full((3, 2, 1), np.nan), r"features\[0, 0, 0\] is nan"),
        ("coordinates", np.ones((2, 2)), r"coordinates has shape \(2, 2\), must be \(3, c\)"),
        ("coordinates", np.ones((3, 0)), r"coordinates has shape \(3, 0\), must be \(3, c\)"),
        ("coordinates", np.ones(3), "coordinates has 1 dimensions, must have 2"),
        ("coordinates", np.full((3, 1), np.inf), r"coordinates\[0, 0\] is inf"),
    ],
)
def test_wrong_shape_is_named(name, value, message):
    with pytest.raises(ProblemError, match=message):
        FiniteMDP(**arrays(**{name: value}))


@pytest.mark.parametrize(
    ("P", "r", "message"),
    [
        (np.ones((2, 2, 1)), np.zeros((2, 2)), r"P has shape \(2, 2, 1\), must be \(S, A, S\)"),
        (np.full((2, 2, 2), 0.5), np.zeros(2), r"r has shape \(2,\), must be \(2, 2\)"),
        (np.full((2, 2, 2), np.nan), np.zeros((2, 2)), r"P\[0, 0, 0\] is nan"),
        (np.full((2, 2, 2), 0.5), np.full((2, 2), np.inf), r"r\[0, 0\] is inf"),
        (np.full((2, 2, 2), 0.4), np.zeros((2, 2)), r"\[0, 0\] sums to 0\.8"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2)), r"\[0, 0\] sums to 0, must sum to 1"),
    ],
)
def test_dense_arrays_are_checked(P, r, message):
    with pytest.raises(ProblemError, match=message):
        FiniteMDP.from_arrays(P, r, [0.5, 0.5], 0.9)


def test_gamma_one_needs_a_terminal_state():
    with pytest.raises(ProblemError, match="gamma is 1 but no state is terminal"):
        FiniteMDP(**arrays(gamma=1.0, terminal=None))


def test_gamma_one_needs_every_state_to_terminate():
    P = np.zeros((4, 1, 4))
    P[[0, 1, 2, 3], 0, [3, 2, 1, 3]] = 1.0
    with pytest.raises(ProblemError, match=r"state 1 \(2 in all\) never reaches a terminal"):
        FiniteMDP.from_arrays(P, np.zeros((4, 1)), [1, 0, 0, 0], 1.0, [False, False, False, True])


@pytest.mark.parametrize("name", [*ARRAYS, "features", "coordinates"])
def test_arrays_cannot_be_written_or_replaced(name):
    mdp = make_problem("corridor")
    with pytest.raises(ValueError, match="read-only"):
        getattr(mdp, name)[0] = 0
    with pytest.raises(FrozenInstanceError):
        setattr(mdp, name, None)


def test_the_given_arrays_are_copied():
    given_arrays = arrays()
    mdp = FiniteMDP(**given_arrays)
    before = {name: getattr(mdp, name).copy() for name in ARRAYS}
    for name in ARRAYS:
        given_arrays[name][...] = 0
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(mdp, name), before[name])


def test_terminal_rows_become_self_loops_that_pay_nothing():
    mdp = FiniteMDP(**arrays())
    assert (mdp.successor[2] == 2).all()
    assert (mdp.reward[2] == 0).all()
    assert mdp.transitions.toarray()[4:].sum() == 0
    assert (mdp.expected_reward[2] == 0).all()


@given(st.integers(0, 2**32), st.booleans(), st.integers(1, 5), st.integers(1, 3))
def test_from_arrays_reproduces_the_dense_arrays(seed, per_successor, S, A):
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.ones(S), size=(S, A)) * (rng.random((S, A, S)) < 0.7)
    P[..., 0] += P.sum(axis=2) == 0
    P /= P.sum(axis=2, keepdims=True)
    r = rng.standard_normal((S, A, S) if per_successor else (S, A))
    mdp = FiniteMDP.from_arrays(P, r, rng.dirichlet(np.ones(S)), 0.9)
    expected = (P * r).sum(axis=2) if per_successor else r
    np.testing.assert_allclose(mdp.transitions.toarray().reshape(S, A, S), P, rtol=1e-14)
    np.testing.assert_allclose(mdp.expected_reward, expected, rtol=1e-14, atol=1e-15)
    assert mdp.branching == np.count_nonzero(P, axis=2).max()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("name", "size"), [("random", {"n_states": 4}), ("garnet", {"n_states": 10})]
)
def test_npz_keeps_the_digest(name, size, seed, tmp_path):
    mdp = make_problem(name, **size, seed=seed)
    mdp.to_npz(tmp_path / "problem.npz")
    assert FiniteMDP.from_npz(tmp_path / "problem.npz").digest == mdp.digest


def test_npz_keeps_every_field(tmp_path):
    mdp = make_problem("corridor")
    mdp.to_npz(tmp_path / "problem.npz")
    copy = FiniteMDP.from_npz(tmp_path / "problem.npz")
    for name in (*ARRAYS, "gamma", "features", "coordinates"):
        np.testing.assert_array_equal(getattr(copy, name), getattr(mdp, name))
    assert copy.digest == mdp.digest
    assert FiniteMDP.from_npz(tmp_path / "problem.npz", gamma=0.5).gamma == 0.5


def test_npz_with_dense_arrays(tmp_path):
    P, r = np.full((2, 1, 2), 0.5), np.array([[1.0], [2.0]])
    np.savez(tmp_path / "dense.npz", P=P, r=r, mu0=[1.0, 0.0])
    mdp = FiniteMDP.from_npz(tmp_path / "dense.npz", gamma=0.9)
    np.testing.assert_array_equal(mdp.expected_reward, r)
    with pytest.raises(ProblemError, match="holds no gamma"):
        FiniteMDP.from_npz(tmp_path / "dense.npz")


def test_npz_with_missing_and_unknown_arrays(tmp_path):
    np.savez(tmp_path / "bad.npz", P=np.ones((1, 1, 1)), mu0=[1.0], gamma=0.9, colour=1.0)
    with pytest.raises(ProblemError, match=r"missing \['r'\], unknown \['colour'\]"):
        FiniteMDP.from_npz(tmp_path / "bad.npz")


def damaged(path: Path, how: str) -> Path:
    """A file that is no readable .npz archive."""
    make_problem("random", n_states=4).to_npz(path)
    raw = path.read_bytes()
    if how == "absent":
        path.unlink()
    elif how == "plain array":
        np.save(path.with_suffix(".npy"), np.zeros(3))
        return path.with_suffix(".npy")
    else:
        path.write_bytes(
            {
                "empty": b"",
                "binary": bytes(range(256)) * 4,
                "text": b"P = 1\n",
                "truncated": raw[: len(raw) // 2],
                "corrupt": raw[:100] + bytes(255 - x for x in raw[100:160]) + raw[160:],
            }[how]
        )
    return path


@pytest.mark.parametrize(
    "how", ["absent", "empty", "binary", "text", "truncated", "corrupt", "plain array"]
)
def test_unreadable_npz_is_named(how, tmp_path):
    path = damaged(tmp_path / "problem.npz", how)
    with pytest.raises(ProblemError, match=path.name) as error:
        FiniteMDP.from_npz(path)
    # What NumPy says of files that are no archive is about pickles, or about its own code.
    if how in ("empty", "binary", "text", "plain array"):
        assert str(error.value).endswith("is no .npz file, as numpy.savez writes it")


def test_digest_depends_on_every_array_and_on_gamma():
    variations = [
        arrays(),
        arrays(gamma=0.8),
        changed("reward", (0, 0, 0), 7.0),
        changed("probability", (0, 0), [0.25, 0.75]),
        changed("successor", (0, 0, 0), 1),
        changed("mu0", slice(None), [0.5, 0.5, 0.0]),
        arrays(terminal=None),
    ]
    assert len({FiniteMDP(**given_arrays).digest for given_arrays in variations}) == 7


def test_digest_depends_on_features_and_coordinates_where_there_are_any():
    table, places = np.ones((3, 2, 1)), np.ones((3, 2))
    variations = [
        arrays(),
        arrays(features=table),
        arrays(features=2 * table),
        arrays(coordinates=places),
        arrays(coordinates=2 * places),
        arrays(coordinates=np.ones((3, 2)), features=table),
        arrays(features=np.ones((3, 2, 2))),
    ]
    assert len({FiniteMDP(**given_arrays).digest for given_arrays in variations}) == 7


def test_coordinates_are_taken_from_dense_arrays():
    P = np.full((2, 1, 2), 0.5)
    mdp = FiniteMDP.from_arrays(P, np.zeros((2, 1)), [1, 0], 0.5, coordinates=[[0, 1], [2, 3]])
    np.testing.assert_array_equal(mdp.coordinates, [[0.0, 1.0], [2.0, 3.0]])
    assert mdp.coordinates.dtype == np.float64


def test_merge_slots_adds_equal_outcomes_and_drops_impossible_ones():
    outcomes = {(0, 0): [(0.25, 1, 2.0), (0.5, 1, 2.0), (0.25, 1, 3.0), (0.0, 0, 9.0)]}
    outcomes[1, 0] = [(1.0, 0, 0.0)]
    successor, probability, reward = merge_slots(2, 1, outcomes)
    np.testing.assert_array_equal(successor[0, 0], [1, 1])
    np.testing.assert_array_equal(probability[0, 0], [0.75, 0.25])
    np.testing.assert_array_equal(reward[0, 0], [2.0, 3.0])
    np.testing.assert_array_equal(probability[1, 0], [1.0, 0.0])


def test_repr_says_the_sizes():
    assert "3 states (1 terminal), 2 actions, 2 slots" in repr(FiniteMDP(**arrays()))


def ending(**changes):
    """The valid problem with a fourth state in which a limit ends the episode."""
    given = {
        "P": np.array([[[0.5, 0.5, 0, 0]], [[0, 0, 0.5, 0.5]], [[0, 0, 1, 0]], [[0, 0, 0, 1]]]),
        "r": np.zeros((4, 1)),
        "mu0": [1, 0, 0, 0],
        "gamma": 0.9,
        "terminal": np.array([False, False, True, True]),
        "outcomes": [[0, 0], [0, 0], [1, 0.5], [0, 2]],
        "truncated": np.array([False, False, False, True]),
    }
    return FiniteMDP.from_arrays(**(given | changes))


def test_what_is_said_of_endings_is_kept(tmp_path):
    mdp = ending()
    mdp.to_npz(tmp_path / "p.npz")
    read = FiniteMDP.from_npz(tmp_path / "p.npz")
    np.testing.assert_array_equal(read.outcomes, [[0, 0], [0, 0], [1, 0.5], [0, 2]])
    np.testing.assert_array_equal(read.truncated, [False, False, False, True])
    assert read.digest == mdp.digest
    others = [ending(outcomes=None), ending(truncated=None), ending(outcomes=[[0], [0], [0], [0]])]
    assert len({mdp.digest, *(other.digest for other in others)}) == 4


def test_nothing_is_said_of_states_in_which_no_episode_ends():
    assert ending(outcomes=[[1, 3], [0, 0], [1, 0], [0, 0]]).outcomes[0].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"outcomes": [[0], [0], [0.5], [0]]},
            r"outcomes\[2, 0\] is 0.5, must be 1 for success or 0",
        ),
        ({"outcomes": [[0], [0]]}, r"outcomes has shape \(2, 1\), must be \(4, c\)"),
        ({"outcomes": np.zeros((4, 0))}, r"outcomes has shape \(4, 0\), must be \(4, c\)"),
        ({"truncated": [0, 0, 0, 1]}, r"dtype int64, must be \(4,\) bool"),
        ({"truncated": [True, False, False, False]}, r"truncated\[0\] is true but state 0 is not"),
    ],
)
def test_what_is_said_of_endings_must_make_sense(changes, message):
    with pytest.raises(ProblemError, match=message):
        ending(**changes)
