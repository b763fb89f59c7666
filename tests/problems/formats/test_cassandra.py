"""Files in Cassandra's format against the same problems as arrays, and mistakes in them."""

import re

import numpy as np
import pytest

from pgbench.exact import optimal_value
from pgbench.memory import NotEnoughMemory
from pgbench.problems import FiniteMDP, ProblemError, make_problem
from pgbench.problems.distribution import Renormalised

HEAD = """\
discount: 0.9
values: reward
states: a b c
actions: stay go
"""
IDENTITY = "T: * identity\n"


@pytest.fixture
def read(tmp_path):
    """``read(text, ...)``: the problem of a file that holds a text."""

    def make(text, **given):
        path = tmp_path / "p.mdp"
        path.write_text(text, encoding="utf-8")
        return make_problem("cassandra", path=str(path), **given)

    return make


def P_of(mdp):
    return mdp.transitions.toarray().reshape(mdp.n_states, mdp.n_actions, -1)


def r_of(mdp):
    """r(s, a, s') as an array, 0 where nothing follows."""
    S, A = mdp.n_states, mdp.n_actions
    r = np.zeros((S, A, S))
    s, a, k = np.nonzero(mdp.probability)
    r[s, a, mdp.successor[s, a, k]] = mdp.reward[s, a, k]
    return r


def written(P, r, mu0, gamma):
    """A file that gives every number by itself, with names and in the form of POMDPs."""
    S, A, _ = P.shape
    states, actions = [f"s{i}" for i in range(S)], [f"a{i}" for i in range(A)]
    lines = [f"discount: {gamma!r}", "values: reward"]
    lines += [f"states: {' '.join(states)}", f"actions: {' '.join(actions)}"]
    lines += ["start: " + " ".join(map(repr, mu0.tolist()))]
    for s, a, j in np.ndindex(P.shape):
        place = f"{actions[a]} : {states[s]} : {states[j]}"
        lines += [f"T: {place} {P[s, a, j].item()!r}", f"R: {place} : * {r[s, a, j].item()!r}"]
    return "\n".join(lines)


def matrices(P, r, mu0, gamma):
    """A file of matrices, with counts and numbers, and with costs."""
    S, A, _ = P.shape
    lines = [f"discount:{gamma!r}", "values:cost", f"states:{S}", f"actions:{A}", "start:"]
    lines += map(repr, mu0.tolist())
    for a in range(A):
        lines += [f"T:{a}", *(" ".join(map(repr, row)) for row in P[:, a].tolist())]
        lines += [f"R:{a}", *(" ".join(map(repr, row)) for row in (-r[:, a]).tolist())]
    return "\n".join(lines)


def rows(P, r, mu0, gamma):
    """A file of rows, all in one line."""
    S, A, _ = P.shape
    words = [f"discount : {gamma!r} actions : {A} states : {S} start :", *map(repr, mu0.tolist())]
    for s, a in np.ndindex(S, A):
        words += [f"T : {a} : {s}", *map(repr, P[s, a].tolist())]
        words += [f"R : {a} : {s}", *map(repr, r[s, a].tolist())]
    return " ".join(words)


@pytest.mark.parametrize("write", [written, matrices, rows])
def test_what_is_written_is_read(read, write):
    rng = np.random.default_rng(3)
    P = rng.dirichlet(np.ones(4), (4, 3))
    r, mu0 = rng.standard_normal((4, 3, 4)), rng.dirichlet(np.ones(4))
    mdp = read(write(P, r, mu0, 0.75))
    assert mdp.digest == FiniteMDP.from_arrays(P, r, mu0, 0.75).digest


@pytest.mark.parametrize("write", [written, matrices, rows])
def test_sparse_files_have_no_slots_for_zeros(read, write):
    rng = np.random.default_rng(4)
    P = np.zeros((5, 2, 5))
    for s, a in np.ndindex(5, 2):
        P[s, a, rng.choice(5, 1 + a, replace=False)] = rng.dirichlet(np.ones(1 + a))
    r = np.where(P > 0, rng.standard_normal(P.shape), 0.0)
    mdp = read(write(P, r, np.eye(5)[2], 0.5))
    assert mdp.branching == 2
    np.testing.assert_array_equal(P_of(mdp), P)
    np.testing.assert_array_equal(r_of(mdp), r)
    np.testing.assert_array_equal(mdp.mu0, np.eye(5)[2])


@pytest.mark.parametrize(
    ("T", "of_stay", "of_go"),
    [
        (IDENTITY, np.eye(3), np.eye(3)),
        ("T: * uniform", np.full((3, 3), 1 / 3), np.full((3, 3), 1 / 3)),
        ("T: stay identity T: go : * : c 1", np.eye(3), np.eye(3)[[2, 2, 2]]),
        ("T: * : * : 1 1.0", np.eye(3)[[1, 1, 1]], np.eye(3)[[1, 1, 1]]),
        ("T:* identity T:go:b uniform", np.eye(3), [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0, 0, 1]]),
        ("T: stay : * reset T: go identity", np.eye(3)[[0, 0, 0]], np.eye(3)),
        (
            "T: * identity T: go : a : a 0.25 T: go : a : c .75",
            np.eye(3),
            [[0.25, 0, 0.75], [0, 1, 0], [0, 0, 1]],
        ),
        (
            "T: * : * 0.5 0.5 0 T: go : * : a 0 T: go : * : b 1e0 # later ones replace",
            np.full((3, 3), [0.5, 0.5, 0]),
            np.full((3, 3), [0, 1, 0]),
        ),
        (
            "T: go\n1 0 0\n# within a matrix\n0.5 0.5 0 0\n.25 0.75\nT: stay : 2 : 0 1\n"
            "T: stay : 0 : 0 1\nT: stay : b 0 1 0",
            np.eye(3)[[0, 1, 0]],
            [[1, 0, 0], [0.5, 0.5, 0], [0, 0.25, 0.75]],
        ),
    ],
)
def test_forms_of_transitions(read, T, of_stay, of_go):
    mdp = read(f"{HEAD}start: a\n{T}\nR: * : * : * 1")
    np.testing.assert_allclose(P_of(mdp), np.stack([of_stay, of_go], axis=1), rtol=1e-15)


@pytest.mark.parametrize(
    ("R", "place", "values"),
    [
        ("R: * : * : * -1", np.s_[:], -1),
        ("R: * : * : * : * -1", np.s_[:], -1),
        ("R: go : * : * 2", np.s_[:, 1], 2),
        ("R: * : b : * 2", np.s_[1], 2),
        ("R: * : * : c 2", np.s_[:, :, 2], 2),
        ("R: go : b : c 2", np.s_[1, 1, 2], 2),
        ("R: go : b : c : * 2", np.s_[1, 1, 2], 2),
        ("R: go : * : c 2", np.s_[:, 1, 2], 2),
        ("R: * : b 1 2 3", np.s_[1], [1, 2, 3]),
        ("R: go : * 1 2 3", np.s_[:, 1], [1, 2, 3]),
        ("R: go 1 2 3 4 5 6 7 8 9", np.s_[:, 1], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        ("R: * 1 2 3 4 5 6 7 8 9", np.s_[:, :], [[[1, 2, 3]], [[4, 5, 6]], [[7, 8, 9]]]),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_forms_of_rewards(read, R, place, values, sign):
    head = HEAD if sign == 1 else HEAD.replace("reward", "cost")
    expected = np.zeros((3, 2, 3))
    expected[place] = values
    mdp = read(f"{head}T: * uniform\n{R}")
    np.testing.assert_array_equal(r_of(mdp), sign * expected)
    assert not np.signbit(mdp.reward[mdp.reward == 0]).any()


def test_a_later_reward_replaces_an_earlier_one(read):
    mdp = read(f"{HEAD}T: * uniform R: * : * : * 1 R: go : * : * 2 R: go : b : c 3 R: * : c : * 4")
    expected = np.ones((3, 2, 3))
    expected[:, 1], expected[1, 1, 2], expected[2] = 2, 3, 4
    np.testing.assert_array_equal(r_of(mdp), expected)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("", [1 / 3, 1 / 3, 1 / 3]),
        ("start: uniform", [1 / 3, 1 / 3, 1 / 3]),
        ("start: b", [0, 1, 0]),
        ("start: 2", [0, 0, 1]),
        ("start: 0.5 0.25 0.25", [0.5, 0.25, 0.25]),
        ("start: 0 1 0", [0, 1, 0]),
        ("start include: a c", [0.5, 0, 0.5]),
        ("start include : 1", [0, 1, 0]),
        ("start exclude: 0", [0, 0.5, 0.5]),
        ("start exclude: a b", [0, 0, 1]),
    ],
)
def test_forms_of_starts(read, start, expected):
    mdp = read(f"{HEAD}{start}\n{IDENTITY}R: * : * : * 1")
    np.testing.assert_allclose(mdp.mu0, expected, rtol=1e-15)


@pytest.mark.parametrize("start", ["", "start: 0", "start: 1.0", "start: uniform"])
def test_a_single_state_is_the_start(read, start):
    mdp = read(f"discount: 0.5 states: 1 actions: 2 {start} T: * : 0 : 0 1 R: 1 : 0 : 0 : * 3")
    assert mdp.mu0.tolist() == [1]
    np.testing.assert_array_equal(mdp.expected_reward, [[0, 3]])


def test_absorbing_states_without_reward_are_terminal_where_no_episode_begins(read):
    """a begins, b pays, c neither; of what b pays on leaving nothing is paid."""
    text = f"{HEAD}{{}}\n{IDENTITY}R: * : b : b 1 R: * : c : a 5"
    np.testing.assert_array_equal(read(text.format("start: a")).terminal, [False, False, True])
    assert not read(text.format("")).terminal.any()


def test_the_discount_given_wins(read):
    assert read(HEAD + IDENTITY).gamma == 0.9
    assert read(HEAD + IDENTITY, gamma=0.5).gamma == 0.5
    bare = HEAD.replace("discount: 0.9", "")
    assert read(bare + IDENTITY, gamma=0.5).gamma == 0.5
    with pytest.raises(ProblemError, match=r"p\.mdp gives no discount and no gamma was given"):
        read(bare + IDENTITY)


def test_decimals_of_a_file_are_divided_by_their_sum(read):
    """A third that is written as a word hides none of the rounding of the digits beside it."""
    text = f"{HEAD}T: stay uniform\nT: go identity\nT: go : a 0.333 0.333 0.333"
    with pytest.warns(Renormalised, match=r"p\.mdp: T: rows sum to 1 within 0\.001"):
        mdp = read(text)
    np.testing.assert_allclose(P_of(mdp)[0, 1], 1 / 3, rtol=1e-15)


GRID = """\
# The 4 x 3 world: cells of the rows from the top, without the wall; an end after both goals.
discount: 1.0
values: reward
states: 12
actions: north south east west
start: 7
"""


def test_the_4x3_world_has_its_published_utilities(read):
    """Russell & Norvig 2010, Figure 17.3: R = -0.04, no discount, slips aside with 0.1 each."""
    cells = [(x, y) for y in (3, 2, 1) for x in (1, 2, 3, 4) if (x, y) != (2, 2)]
    moves = {"north": (0, 1), "south": (0, -1), "east": (1, 0), "west": (-1, 0)}
    aside = {"north": "ew", "south": "ew", "east": "ns", "west": "ns"}
    lines = [GRID, "R: * : * : * -0.04", "T: * : 3 : 11 1", "T: * : 6 : 11 1", "T: * : 11 : 11 1"]
    lines += ["R: * : 3 : * 1", "R: * : 6 : * -1", "R: * : 11 : * 0"]
    for s, (x, y) in enumerate(cells):
        for action in moves if s not in (3, 6) else ():
            chance = np.zeros(12)
            for name in moves:
                p = 0.8 if name == action else 0.1 if name[0] in aside[action] else 0.0
                to = (x + moves[name][0], y + moves[name][1])
                chance[cells.index(to) if to in cells else s] += p
            lines += [f"T: {action} : {s} : {j} {chance[j]:.1f}" for j in np.flatnonzero(chance)]
    mdp = read("\n".join(lines))
    np.testing.assert_array_equal(np.flatnonzero(mdp.terminal), [11])
    published = [0.812, 0.868, 0.918, 1, 0.762, 0.660, -1, 0.705, 0.655, 0.611, 0.388]
    np.testing.assert_allclose(optimal_value(mdp).v[:11], published, atol=5e-4)


MISTAKES = [
    ("discount 0.9", 1, "'0.9' stands where ':' must be"),
    ("discount: 1.5", 1, "'1.5' stands where a discount in [0, 1] must be"),
    ("discount: nan", 1, "'nan' stands where a discount in [0, 1] must be"),
    ("discount: 1\ndiscount: 1", 2, "discount is given again, after line 1"),
    ("# none\nvalues: gain", 2, "'gain' stands where reward or cost must be"),
    (
        "states: 0",
        1,
        "'0' stands where states, a count ≥ 1 or names that begin with a letter, must",
    ),
    ("states:\nactions: 2", 2, "'actions' stands where states, a count"),
    ("states: a\n 2b", 2, "'2b' stands where states, a count"),
    ("actions: a b\n a", 2, "actions holds 'a' twice"),
    ("states: 2\nstates: 2", 2, "states is given again, after line 1"),
    ("states: 2\nT: 0 identity", 2, "'T' stands where actions must be"),
    ("actions: 2\nstart: uniform", 2, "'start' stands where states must be"),
    ("states: 2\n", 1, "the end of the file stands where actions must be"),
    ("", 1, "the end of the file stands where states must be"),
    (HEAD, 4, "the end of the file stands where T must be"),
    (
        "discuont: 0.9",
        1,
        "'discuont' stands where one of discount, values, .* did you mean discount?",
    ),
    (
        f"{HEAD}observations: 2\n",
        5,
        "'observations' is about observations, which are not supported, for policies see",
    ),
    (f"{HEAD}{IDENTITY}O: * uniform\n", 6, "'O' is about observations, which are not supported"),
    (
        f"{HEAD}{IDENTITY}R: * : * : * : o1 3\n",
        6,
        "'o1' is about observations, which are not supported",
    ),
    (f"{HEAD}start: d", 5, "'d' is none of the states, must be a name or a number in [0, 2]"),
    (f"{HEAD}start: 3", 5, "'3' is none of the states, must be"),
    (f"{HEAD}start: 0.5 0.5", 5, "start has 2 entries, must be a state or 3 numbers"),
    (f"{HEAD}start:\n0.5 0.4 0.2", 6, "start sums to 1.1, must sum to 1"),
    (f"{HEAD}start: 1.5 -0.5 0", 5, "start[1] is -0.5, must not be negative"),
    (f"{HEAD}start include:", 5, "start has 0 entries, must be states"),
    (f"{HEAD}start exclude: a b c", 5, "start excludes every state, must leave one"),
    (f"{HEAD}{IDENTITY}start: a", 6, "start comes after T, of line 5"),
    (f"{HEAD}T: walk identity", 5, "'walk' is none of the actions, must be a name or a number in"),
    (f"{HEAD}T: styy identity", 5, "'styy', did you mean stay? is none of the actions"),
    (
        "states: 3 actions: 2 T: 2 identity",
        1,
        "'2' is none of the actions, must be a number in [0, 1]",
    ),
    (f"{HEAD}T: stay : a : b 1.25", 5, "'1.25' stands where a probability in [0, 1] must be"),
    (f"{HEAD}T: stay : a : b -0.25", 5, "'-0.25' stands where a probability in [0, 1] must be"),
    (f"{HEAD}T: stay : a : b\n x", 6, "'x' stands where a probability in [0, 1] must be"),
    (f"{HEAD}T: stay : a\n0.5 0.5\nR: * : * : * 1", 7, "'R' stands where a probability .*(3 of 3)"),
    (
        f"{HEAD}T: stay : a\n0.5 0.5 0 0.1\n",
        6,
        "'0.1' stands where one of discount, values, states",
    ),
    (f"{HEAD}T: stay : a : b : c 1", 5, "':' stands where a probability in [0, 1] must be"),
    (
        f"{HEAD}T: stay\n1 0 0",
        6,
        "the end of the file stands where a probability in [0, 1] (1 of 3)",
    ),
    (
        f"{HEAD}T: * identity\nT: go : b : a 0.1\n",
        6,
        "T of action go in state b sums to 1.1, must sum",
    ),
    (f"{HEAD}T: stay identity\n", None, "T of action go in state a sums to 0, must sum to 1"),
    (f"{HEAD}{IDENTITY}R: * : * : * inf", 6, "'inf' stands where a reward must be"),
    (
        f"{HEAD}{IDENTITY}R: * : *\n1 2",
        7,
        "the end of the file stands where a reward (3 of 3) must be",
    ),
    (f"{HEAD}{IDENTITY}R: * : a : x 1", 6, "'x' is none of the states"),
    ("states: \x00", 1, "'\\x00' stands where states"),
]


@pytest.mark.parametrize(("text", "line", "message"), MISTAKES)
def test_mistakes_are_named_with_their_line(read, text, line, message):
    where = "p.mdp: " if line is None else f"p.mdp:{line}: "
    pattern = ".*".join(map(re.escape, message.split(".*")))
    with pytest.raises(ProblemError, match=re.escape(where) + pattern):
        read(text)


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "p.mdp"
    path.write_bytes(b"discount: \xff\xfe")
    with pytest.raises(ProblemError, match=r"p\.mdp:1: '\ufffd\ufffd' stands where a discount"):
        make_problem("cassandra", path=str(path))
    with pytest.raises(ProblemError, match=r"none\.mdp cannot be read: No such file"):
        make_problem("cassandra", path=str(tmp_path / "none.mdp"))
    with pytest.raises(ProblemError, match="cannot be read: Is a directory"):
        make_problem("cassandra", path=str(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "states: 99999999999999999",
        "actions: 99999999999999 states: 2",
        "states: 99999 actions: 99999",
        "states: 100000 actions: 2 T: * uniform",
    ],
)
def test_what_does_not_fit_in_memory_is_refused_before_it_is_built(read, text):
    with pytest.raises(NotEnoughMemory, match=r"p\.mdp.* of memory"):
        read(f"discount: 0.9 {text}")
