"""Explicit models of PRISM and Storm against the same problems as arrays, and mistakes in them."""

import re
from itertools import product

import numpy as np
import pytest

from pgbench.exact import evaluate, optimal_value
from pgbench.memory import NotEnoughMemory
from pgbench.policies import make_policy
from pgbench.problems import FiniteMDP, ProblemError, make_problem
from pgbench.problems.distribution import Renormalised

TRA = """\
3 4 6
0 0 0 0.5
0 0 1 0.5
0 1 2 1 leap
1 0 0 0.25 back
1 0 2 0.75 back
2 0 2 1
"""
"""State 0 has two choices, state 1 one, and state 2 absorbs."""

P = np.zeros((3, 2, 3))
P[0, 0, :2], P[0, 1, 2], P[1, 0, [0, 2]], P[2, 0, 2] = 0.5, 1, [0.25, 0.75], 1
ALLOWED = np.array([[True, True], [True, False], [True, False]])
ENDS = np.array([False, False, True])
LAB = '0="init" 1="deadlock" 2="done" 3="far"\n0: 0\n1: 3\n2: 2 3\n'
STORM_LAB = "#DECLARATION\ninit done\nfar\n#END\n0 init\n1 far\n2 done far\n"

FILES = {
    "path": "p.tra",
    "labels": "p.lab",
    "transition_rewards": "p.trew",
    "state_rewards": "p.srew",
}


@pytest.fixture
def read(tmp_path):
    """``read(path=text, labels=text, ...)``: the problem of files that hold these texts."""

    def make(path=TRA, terminal=None, gamma=0.9, **texts):
        given = {}
        for key, text in ({"path": path} | texts).items():
            given[key] = str(tmp_path / FILES[key])
            (tmp_path / FILES[key]).write_text(text, encoding="utf-8")
        return make_problem("explicit", gamma=gamma, terminal=terminal, **given)

    return make


def arrays(r=None, mu0=(1.0, 0.0, 0.0), terminal=ENDS, gamma=0.9):
    """The problem of the file ``TRA`` as arrays."""
    r = np.zeros((3, 2)) if r is None else np.asarray(r, float)
    return FiniteMDP.from_arrays(P, r, mu0, gamma, terminal, allowed=ALLOWED)


def same(mdp, other):
    """Whether two problems are the same but for slots that are not used."""
    assert (mdp.gamma, mdp.n_states, mdp.n_actions) == (
        other.gamma,
        other.n_states,
        other.n_actions,
    )
    for name in ("mu0", "terminal", "allowed", "expected_reward", "reward_size"):
        np.testing.assert_array_equal(getattr(mdp, name), getattr(other, name))
    np.testing.assert_array_equal(mdp.transitions.toarray(), other.transitions.toarray())


def shuffled(text):
    """The same file with its lines, but for the first, in another order."""
    first, *lines = text.splitlines()
    return "\n".join([first, *(lines[i] for i in np.random.default_rng(1).permutation(len(lines)))])


@pytest.mark.parametrize(
    "text",
    [
        TRA,
        shuffled(TRA),
        TRA.replace("3 4 6", "mdp"),
        TRA.replace("3 4 6", "mdp\n3 4 6"),
        TRA.removeprefix("3 4 6\n"),
        TRA.replace("3 4 6", "# exported\n\n 3  4\t6 ").replace("\n", "   # a comment\r\n"),
    ],
    ids=["PRISM", "shuffled", "Storm", "both", "neither", "with comments"],
)
def test_transitions_are_those_of_the_arrays(read, text):
    same(read(text), arrays())


def test_what_is_written_is_read(read):
    """Random choices and rewards of transitions: to the last bit, in the slots of sparse arrays."""
    rng = np.random.default_rng(2)
    lines, rewards, by_action = ["mdp"], [], np.zeros((2, 3, 30, 30))
    for s in range(30):
        for a in range(rng.integers(1, 4)):
            goals = np.sort(rng.choice(30, rng.integers(1, 5), replace=False))
            for j, p in zip(goals, rng.dirichlet(np.ones(goals.size)), strict=True):
                by_action[:, a, s, j] = p, rng.standard_normal()
                lines.append(f"{s} {a} {j} {p.item()!r}")
                rewards.append(f"{s} {a} {j} {by_action[1, a, s, j].item()!r}")
    table, r = by_action.transpose(0, 2, 1, 3)
    mdp = read("\n".join(lines), transition_rewards=shuffled("\n".join(["30 61 99", *rewards])))
    allowed = table.any(axis=2)
    assert not allowed.all()
    same(mdp, FiniteMDP.from_arrays(table, r, np.eye(30)[0], 0.9, allowed=allowed))
    np.testing.assert_array_equal(mdp.successor.shape, (30, 3, 4))


@pytest.mark.parametrize("labels", [LAB, STORM_LAB])
def test_labels_give_starts_and_ends(read, labels):
    same(read(labels=labels), arrays())
    same(read(labels=labels, terminal="done"), arrays())
    same(read(labels=labels, terminal="far"), arrays(terminal=[False, True, True]))
    same(read(labels=labels, terminal="done far"), arrays(terminal=[False, True, True]))


@pytest.mark.parametrize("labels", [LAB + "1: 0\n", STORM_LAB + "1 init\n"])
def test_several_initial_states_are_equally_likely(read, labels):
    same(read(labels=labels), arrays(mu0=[0.5, 0.5, 0.0]))


def test_an_absorbing_state_is_terminal_unless_it_pays_or_is_a_start(read):
    assert read().terminal.tolist() == [False, False, True]
    assert not read(state_rewards="2 1").terminal.any()
    assert not read(transition_rewards="2 0 2 -1").terminal.any()
    assert not read(labels=LAB + "2: 0").terminal.any()
    same(read(state_rewards="2 1", labels=LAB, terminal="done"), arrays())


def test_a_state_without_transitions_is_a_deadlock(read):
    text = TRA.replace("3 4 6", "3 3 5").replace("2 0 2 1\n", "")
    same(read(text), arrays())
    mdp = read(text, state_rewards="2 7")
    assert (mdp.terminal.any(), mdp.expected_reward[2].tolist()) == (False, [7, 0])


@pytest.mark.parametrize("head", ["", "3 2\n", '# Reward structure "r"\n3 2\n'])
def test_state_rewards_are_paid_for_every_action(read, head):
    r = [[2, 2], [-0.5, 0], [0, 0]]
    same(read(state_rewards=f"{head}1 -0.5\n0 2\n"), arrays(r))


@pytest.mark.parametrize("head", ["", "3 4 3\n", "# Transition rewards\n3 4 3\n"])
def test_transition_rewards_are_paid_on_their_transitions(read, head):
    r = np.zeros((3, 2, 3))
    r[0, 0, 1], r[0, 1, 2], r[1, 0, 0] = 1.5, -2, 4
    same(read(transition_rewards=f"{head}0 1 2 -2\n0 0 1 1.5\n1 0 0 4"), arrays(r))


@pytest.mark.parametrize("head", ["", "3 4 2\n"])
def test_rewards_of_a_choice_are_paid_whatever_follows(read, head):
    same(read(transition_rewards=f"{head}0 0 3\n1 0 -1"), arrays([[3, 0], [-1, 0], [0, 0]]))


def test_rewards_add_up(read):
    mdp = read(transition_rewards="0 0 1 1", state_rewards="0 10")
    r = np.zeros((3, 2, 3))
    r[0], r[0, 0, 1] = 10, 11
    same(mdp, arrays(r))


@pytest.mark.parametrize("file", ["transition_rewards", "state_rewards"])
def test_files_without_rewards_pay_nothing(read, file):
    same(read(**{file: "# nothing\n"}), arrays())
    header = "3 4 0" if file == "transition_rewards" else "3 0"
    same(read(**{file: header}), arrays())


def die():
    """Steps of Knuth & Yao 1976 for a fair die by fair coins: states 0 to 6, ends 7 to 12."""
    return [(1, 2), (3, 4), (5, 6), (1, 7), (8, 9), (10, 11), (2, 12)]


@pytest.mark.parametrize("gamma", [1.0, 0.8])
def test_two_dice_take_the_flips_of_knuth_and_yao(read, gamma):
    """Whichever die is flipped, two take 2·11/3 flips, and double six has the chance 1/36.

    Knuth & Yao 1976: a die takes 11/3 flips; the model is that of PRISM's case study of dice.
    """
    step, states = die(), list(product(range(13), repeat=2))
    lines, rewards = ["mdp"], []
    for s, (x, y) in enumerate(states):
        moves = [[(n, y) for n in step[x]]] if x < 7 else []
        moves += [[(x, n) for n in step[y]]] if y < 7 else []
        for a, goals in enumerate(moves or [[(x, y)]]):
            for goal in goals:
                p = 1 / len(goals)
                lines.append(f"{s} {a} {states.index(goal)} {p!r}")
                rewards += [f"{s} {a} {states.index(goal)} 1"] if moves else []
    mdp = read("\n".join(lines), transition_rewards="\n".join(rewards), gamma=gamma)
    policy = make_policy("softmax", mdp)
    found = evaluate(mdp, policy, policy.initial(init="normal", seed=0)).objective
    assert (mdp.n_states, mdp.n_actions, int(mdp.terminal.sum())) == (169, 2, 36)
    if gamma == 1:
        assert found == pytest.approx(22 / 3, rel=1e-12)
        assert optimal_value(mdp).objective == pytest.approx(22 / 3, rel=1e-12)
    else:  # E[1 - γ^N]/(1 - γ) with N the flips of both
        chances, left = [1.0], {0: 1.0}
        for _ in range(200):
            after: dict[int, float] = {}
            for s, p in left.items():
                for n in step[s]:
                    after[n] = after.get(n, 0) + p / 2
            left = {s: p for s, p in after.items() if s < 7}
            chances.append(sum(left.values()))
        ends = -np.diff(chances)
        once = (ends * gamma ** np.arange(1, 201)).sum()
        assert found == pytest.approx((1 - once**2) / (1 - gamma), rel=1e-12)


def test_decimals_of_a_file_are_divided_by_their_sum(read):
    with pytest.warns(Renormalised, match=r"p\.tra: rows sum to 1 within 0\.001"):
        mdp = read("0 0 0 0.333\n0 0 1 0.333\n0 0 2 0.333\n1 0 1 1\n2 0 2 1\n")
    np.testing.assert_allclose(mdp.probability[0, 0], 1 / 3, rtol=1e-15)


def test_many_lines_are_read_in_blocks(read, monkeypatch):
    monkeypatch.setattr("pgbench.problems.formats.table.BLOCK", 2)
    same(read(transition_rewards="3 4 1\n0 0 0 0\n1 0 0 0\n0 1 2 0"), arrays())
    with pytest.raises(ProblemError, match=r"p\.tra:7: '2x' is not a finite number"):
        read(TRA.replace("2 0 2 1", "2 0 2x 1"))


OF_TRANSITIONS = [
    ("", 1, "the file ends, must have lines source choice target probability"),
    ("mdp\n", 1, "the file ends, must have lines"),
    ("dtmc\n0 0 1", 1, "the model is 'dtmc', must be mdp"),
    ("2 2\n0 0 1", 1, "'2 2' has 2 fields, must be source choice target probability or source"),
    ("1 1 1\n0 0 1", 2, "'0 0 1' has 3 fields, must be source choice"),
    ("1 1 1\n0 0 0 1 a b", 2, "'0 0 0 1 a b' has 6 fields"),
    ("mdp\n# x\n\n0 0 0 one", 4, "'one' is not a finite number"),
    ("0 0 0 nan", 1, "'nan' is not a finite number"),
    ("0 0 0.5 1", 1, "target is 0.5, must be an integer ≥ 0"),
    ("1234567.5 0 0 1", 1, "source is 1234567.5, must be an integer ≥ 0"),
    ("0 -1 0 1", 1, "choice is -1, must be an integer ≥ 0"),
    ("1e17 0 0 1", 1, "source is 1e+17, must be an integer ≥ 0"),
    ("1 1 1\n1 0 0 1", 2, "source is 1, must be less than 1, of line 1"),
    ("1 1 1\n0 0 1 1", 2, "target is 1, must be less than 1, of line 1"),
    ("0 0 0 1.5", 1, "probability is 1.5, must be in [0, 1]"),
    ("0 0 0 1\n1 0 0 -0.5", 2, "probability is -0.5, must be in [0, 1]"),
    ("0 0 0 0.5\n1 0 1 1\n0 0 0 0.5", 3, "the transition of line 1 is given again"),
    (
        "0 0 0 1\n0 2 0 1",
        2,
        "choice is 2, must be one of 0, 1, 2, ... in each state, none left out",
    ),
    (
        "mdp\n2 3 2\n0 0 1 1\n1 0 0 1",
        2,
        "3 choices and 2 transitions are announced, 2 and 2 follow",
    ),
    ("2 2 3\n0 0 1 1\n1 0 0 1", 1, "2 choices and 3 transitions are announced, 2 and 2 follow"),
    ("1 0 0 0.5\n0 0 1 1\n1 0 1 0.4", 1, "choice 0 of state 1 sums to 0.9, must sum to 1"),
    ("0 0 0 1\n0 1 0 0", 2, "choice 1 of state 0 sums to 0, must sum to 1"),
]
OF_LABELS = [
    ("", 1, "'' must be #DECLARATION, as Storm begins, or 0="),
    ("init 0", 1, "'init 0' must be #DECLARATION"),
    (LAB + "3: 1", 5, "state is '3', must be in [0, 2]"),
    (LAB + "x: 1", 5, "state is 'x', must be in [0, 2]"),
    (LAB + "1: 4", 5, "label '4' must be one of 0, 1, 2, 3"),
    ("#DECLARATION\ninit", 2, "the file ends before #END, must have it after the labels"),
    (STORM_LAB + "1 doen", 8, "label 'doen', did you mean done? must be one of init, done, far"),
    (STORM_LAB + "7 done", 8, "state is '7', must be in [0, 2]"),
    ('0="done"\n1: 0', None, "has no label 'init', must be one of done"),
    (
        '0="init" 1="done"\n1: 1',
        None,
        "gives no state the label init, must give it to one at least",
    ),
]
OF_STATES = [
    ("0 0 0 1", 1, "'0 0 0 1' has 4 fields, must be state reward"),
    ("0 1\n1 x", 2, "'x' is not a finite number"),
    ("4 1", 1, "state is 4, must be in [0, 2]"),
    ("0 1\n3 1", 2, "state is 3, must be in [0, 2]"),
    ("0 1\n1 1\n0 2", 3, "the reward of line 1 is given again"),
]
OF_REWARDS = [
    ("0 1", 1, "'0 1' has 2 fields, must be source choice reward or source choice target reward"),
    ("0 0 0 1\n0 0 1", 2, "'0 0 1' has 3 fields, must be source choice target reward"),
    ("0 0 2 1", 1, "source is 0, choice 0, target 2, must be a transition of"),
    ("0 2 0 1", 1, "source is 0, choice 2, target 0, must be a transition of"),
    ("5 0 1", 1, "source is 5, choice 0, must be a transition of"),
    ("2 1 1", 1, "source is 2, choice 1, must be a transition of"),
    ("0 0 0 1\n0 0 1 1\n0 0 0 1", 3, "the reward of line 1 is given again"),
    ("0 0 1\n0 0 1", 2, "the reward of line 1 is given again"),
]
MISTAKES = [
    *(("path", *case) for case in OF_TRANSITIONS),
    *(("labels", *case) for case in OF_LABELS),
    *(("state_rewards", *case) for case in OF_STATES),
    *(("transition_rewards", *case) for case in OF_REWARDS),
]


@pytest.mark.parametrize(("file", "text", "line", "message"), MISTAKES)
def test_mistakes_are_named_with_their_line(read, file, text, line, message):
    where = f"{FILES[file]} " if line is None else f"{FILES[file]}:{line}: "
    with pytest.raises(ProblemError, match=re.escape(where + message)):
        read(**{file: text})


def test_labels_of_ends_must_be_there(read):
    with pytest.raises(ProblemError, match="terminal is 'done' but no file of labels is given"):
        read(terminal="done")
    with pytest.raises(ProblemError, match=r"no label 'doen', did you mean done\?, must be one of"):
        read(labels=LAB, terminal="doen")
    with pytest.raises(ProblemError, match="gives no state the label deadlock"):
        read(labels=LAB, terminal="deadlock")
    with pytest.raises(ProblemError, match="state 0 is terminal"):
        read(labels=LAB + "0: 2", terminal="done")


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_not_there_is_named(tmp_path, file):
    (tmp_path / "p.tra").write_text(TRA, encoding="utf-8")
    given = {"path": str(tmp_path / "p.tra")} | {file: str(tmp_path / "none")}
    with pytest.raises(ProblemError, match="none cannot be read: No such file"):
        make_problem("explicit", gamma=0.9, **given)


@pytest.mark.parametrize("text", ["90000000000000 1 1\n0 0 0 1", "0 0 90000000000000 1"])
def test_what_does_not_fit_in_memory_is_refused_before_it_is_built(read, text):
    with pytest.raises(NotEnoughMemory, match=r"p\.tra takes about .* of memory"):
        read(text)
