"""Token sequences: every response of small problems, judged once more in plain Python."""

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from pgbench.exact import evaluate
from pgbench.grid.reader import parse_grid
from pgbench.policies import LogLinear, Softmax, make_policy
from pgbench.problems import ProblemError, families, make_problem
from pgbench.problems.sequences import sequences
from pgbench.problems.verifiers import VERIFIERS

BOTH = pytest.mark.parametrize("states", ["merged", "prefixes"])
EVERY = pytest.mark.parametrize("verifier", VERIFIERS)
PATTERN = "0.1"


def without_pairs(text):
    """Brackets 0 and 1, of which 01 is deleted as long as there is one."""
    text = "".join(token for token in text if token in "01")
    while "01" in text:
        text = text.replace("01", "")
    return text


def right(verifier, p, r):
    """Whether the response r is right, both strings of digits."""
    together = [int(token) for token in p + r]
    match verifier:
        case "modulo":
            return sum(together) % 5 == 0
        case "parity":
            return (p + r).count("1") % 2 == 0
        case "copy":
            return p == r
        case "sorted":
            rising = (together[i] >= max(together[:i], default=0) for i in range(len(together)))
            return len(r) >= len(p) and all(list(rising)[len(p) :])
        case "balanced":
            return without_pairs(without_pairs(p).lstrip("1") + r) == ""
        case "pattern":
            ends = (m.start() + len(PATTERN) for m in re.finditer(f"(?={PATTERN})", p + r))
            return any(end > len(p) for end in ends)


def responses(K, length):
    """All responses: content, and whether the end token follows."""
    for n in range(length):
        yield from ((content, True) for content in product(range(K), repeat=n))
    yield from ((content, False) for content in product(range(K), repeat=length))


def made(verifier, **given):
    """All nine prompts of two tokens, of three, and responses of at most four, unless said."""
    own = {"vocabulary": 3, "prompts": 9, "prompt_length": 2, "length": 4, "pattern": PATTERN}
    return make_problem("sequences", verifier=verifier, **own | given)


def uniform(mdp):
    return evaluate(mdp, Softmax(mdp.n_states, mdp.n_actions), np.zeros(mdp.terminal.size * 4))


@EVERY
@BOTH
@pytest.mark.parametrize("truncated", ["wrong", "judged"])
def test_every_response_ends_as_the_verifier_says_and_is_paid(verifier, states, truncated):
    mdp = made(verifier, states=states, truncated=truncated, length_cost=0.25, format_reward=0.5)
    after, paid = mdp.successor[:, :, 0].tolist(), mdp.reward[:, :, 0].tolist()
    np.testing.assert_array_equal(mdp.mu0[:9], 1 / 9)
    for start, prompt in enumerate(product("012", repeat=2)):
        for content, ended in responses(3, 4):
            actions = [*content, 3] if ended else content
            s, total = start, 0.0
            for a in actions:
                assert not mdp.terminal[s]
                s, total = after[s][a], total + paid[s][a]
            verdict = right(verifier, "".join(prompt), "".join(map(str, content)))
            verdict = verdict and (ended or truncated == "judged")
            assert mdp.terminal[s]
            assert mdp.outcomes[s].tolist() == [verdict, ended]
            assert mdp.truncated[s] == (not ended)
            assert total == verdict + 0.5 * ended - 0.25 * len(actions)


@EVERY
def test_success_of_the_uniform_policy_is_that_of_all_right_responses(verifier):
    expected = sum(
        right(verifier, "".join(p), "".join(map(str, content))) / 4 ** (len(content) + 1) / 9
        for p in product("012", repeat=2)
        for content, ended in responses(3, 4)
        if ended
    )
    assert 0 < expected < 0.5
    for states in ("merged", "prefixes"):
        assert uniform(made(verifier, states=states)).objective == pytest.approx(
            expected, rel=1e-13
        )


@EVERY
@BOTH
def test_every_state_is_reached_and_prefixes_are_all_told_apart(verifier, states):
    mdp = made(verifier, states=states)
    assert mdp.reachable.all()
    if states == "prefixes":
        unfinished = mdp.successor[~mdp.terminal, :, 0]
        followers = unfinished[unfinished < (~mdp.terminal).sum()]
        np.testing.assert_array_equal(np.bincount(followers)[9:], 1)
        assert (~mdp.terminal).sum() == 9 * (1 + 3 + 9 + 27)
    else:
        places = mdp.coordinates[~mdp.terminal]
        assert len(np.unique(places, axis=0)) == len(places)


@EVERY
def test_shared_parameters_have_one_gradient_however_states_are_told_apart(verifier):
    """Without last tokens, features know what merged states know."""
    truths = []
    for states in ("merged", "prefixes"):
        mdp = made(verifier, states=states, window=0, length_cost=0.1)
        policy = make_policy("loglinear", mdp)
        truths.append(evaluate(mdp, policy, policy.initial(seed=2)))
    one, other = truths
    assert one.objective == pytest.approx(other.objective, rel=1e-13)
    np.testing.assert_allclose(one.gradient, other.gradient, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("kind", ["softmax", "loglinear"])
@BOTH
def test_gradient_is_that_of_finite_differences(kind, states):
    mdp = make_problem(
        "sequences", states=states, length=3, prompts=2, length_cost=0.1, format_reward=0.3
    )
    policy = make_policy(kind, mdp)
    theta = policy.initial(seed=1)
    exact = evaluate(mdp, policy, theta).gradient
    chosen = np.argsort(-np.abs(exact))[:12]
    for k in chosen:
        step = 1e-5 * np.eye(theta.size)[k]
        high, low = (evaluate(mdp, policy, theta + sign * step).objective for sign in (1, -1))
        assert exact[k] == pytest.approx((high - low) / 2e-5, rel=1e-6, abs=1e-10)


@EVERY
@BOTH
def test_own_features_suffice_to_be_right(verifier, states):
    """θ that does what a shortest right response does; all prompts can be answered in time."""
    mdp = made(verifier, states=states, length=6, window=1)
    theta = np.zeros((4, mdp.features.shape[2] // 4))
    theta[np.arange(4), 1 + np.arange(4)] = 100.0
    policy = LogLinear(mdp.features)
    assert evaluate(mdp, policy, theta.ravel()).objective == pytest.approx(1, abs=1e-12)


@EVERY
def test_to_end_at_once_is_not_enough(verifier):
    """Neither with all prompts of the defaults' length nor with those of the defaults."""
    for prompts in (4, 27):
        mdp = make_problem("sequences", verifier=verifier, prompts=prompts)
        ended = mdp.successor[mdp.mu0 > 0, 3, 0]
        assert mdp.outcomes[ended, 0].mean() < 0.8


def test_coordinates_and_features_of_prefixes_hold_the_last_tokens():
    mdp = made("modulo", states="prefixes", window=3)
    start = mdp.coordinates[:9]
    np.testing.assert_array_equal(start[:, 3], -1)
    np.testing.assert_array_equal(start[:, 4:], list(product(range(3), repeat=2)))
    s = mdp.successor[5, [2, 0], 0][0]
    assert mdp.coordinates[s].tolist()[::2] == [1, 5, 2]
    assert mdp.coordinates[s, 3:].tolist() == [1, 2, 2]
    s = mdp.successor[s, 0, 0]
    assert mdp.coordinates[s, 3:].tolist() == [2, 2, 0]
    x = mdp.features[s, 1].reshape(4, -1)
    assert not x[[0, 2, 3]].any()
    assert x[1, 0] == 2 / 4
    np.testing.assert_array_equal(x[1, 6:].reshape(3, 3), np.eye(3)[[2, 2, 0]])
    assert not mdp.features[mdp.terminal].any()
    assert not mdp.coordinates[mdp.terminal].any()
    assert not mdp.features[0, 0].reshape(4, -1)[0, 6:9].any()


def test_prompts_are_different_and_all_of_them_where_they_are_few():
    def prompts(**given):
        mdp = made("modulo", states="prefixes", window=4, length=1, prompt_length=4, **given)
        return mdp.coordinates[mdp.mu0 > 0, 3:].tolist()

    everything = [list(map(float, p)) for p in product(range(3), repeat=4)]
    assert prompts(prompts=81) == prompts(prompts=1000) == everything
    some = prompts(prompts=40, seed=1)
    assert len(some) == 40
    assert sorted(map(tuple, some)) == sorted({tuple(p) for p in some})
    assert prompts(prompts=40, seed=2) != some
    assert made("copy", prompt_length=0, length=2).mu0.tolist() == [1, 0, 0, 0, 0]


def test_prompts_are_drawn_uniformly():
    counts = np.zeros(27)
    for seed in range(600):
        mdp = make_problem("sequences", verifier="copy", states="prefixes", length=1, window=3,
                           prompts=9, seed=seed, features=False)  # fmt: skip
        counts[(mdp.coordinates[:9, 3:] @ [9, 3, 1]).astype(int)] += 1
    z = (counts - 200) / np.sqrt(600 * 1 / 3 * 2 / 3)
    assert np.abs(z).max() < 4


def test_a_response_of_one_step_ends_or_is_cut():
    mdp = made("parity", length=1, truncated="judged")
    assert mdp.n_states == 9 + 4
    assert mdp.terminal[mdp.successor[:9]].all()
    np.testing.assert_array_equal(mdp.outcomes[9:], [[0, 1], [1, 1], [0, 0], [1, 0]])
    np.testing.assert_array_equal(mdp.truncated[9:], [False, False, True, True])


def test_own_automaton_is_the_named_one_written_out(tmp_path):
    """Prompts 00 01 .. 22; parity."""
    path = tmp_path / "parity.json"
    tables = {
        "transition": [[0, 1, 0], [1, 0, 1]],
        "accept": [True, False],
        "start": [(i + j) % 2 for i, j in product([0, 1, 0], repeat=2)],
    }
    path.write_text(json.dumps(tables), encoding="utf-8")
    for states in ("merged", "prefixes"):
        given = {"length": 4, "states": states, "window": 0}
        own = make_problem("sequences", automaton=str(path), **given)
        assert own.digest == made("parity", **given).digest
    own = make_problem("sequences", automaton=str(path), length=4, states="prefixes", window=1)
    np.testing.assert_array_equal(own.coordinates[:9, 3], -1)
    said = families()["sequences"].expected(Path(), {"automaton": str(path), "length": 4})
    assert said.n_states >= make_problem("sequences", automaton=str(path), length=4).n_states


def test_an_automaton_lies_beside_the_grid_and_its_bytes_are_part_of_the_identity(tmp_path):
    tables = {"transition": [[0, 1], [1, 0]], "accept": [True, False], "start": [0]}
    (tmp_path / "own.json").write_text(json.dumps(tables), encoding="utf-8")
    text = "{name: own, problems: [{problem: sequences, automaton: own.json}, sequences],"
    text += " policies: [softmax], estimators: [rloo], batch_sizes: [2]}"

    def read():
        return parse_grid(text, str(tmp_path / "grid.yaml")).problems

    (own, named), family = read(), families()["sequences"]
    assert named.content == ""
    assert len(own.content) == 32
    assert family.made_in(tmp_path, own.values).n_actions == 3
    assert family.expected(tmp_path, own.values).n_actions == 3
    (tmp_path / "own.json").write_text(json.dumps(tables | {"start": [1]}), encoding="utf-8")
    assert read()[0].content != own.content
    assert read()[0].label == own.label == "sequences[automaton=own.json]"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"verifier": "pattern", "pattern": "0.3"},
            "sequences.pattern is '0.3', whose token 3 must be less than vocabulary = 3",
        ),
        (
            {"prompt_length": 60},
            "sequences.prompt_length is 60 with vocabulary = 3, vocabulary^prompt_length must be",
        ),
        ({"automaton": "none.json"}, "none.json cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_made_is_said(given, message):
    with pytest.raises(ProblemError, match=re.escape(message)):
        make_problem("sequences", **given)


def test_sizes_of_what_cannot_be_made_are_left_to_who_makes_it():
    expected = families()["sequences"].expected
    assert expected(Path(), {"automaton": "none.json"}) is None
    assert expected(Path(), {"verifier": "pattern", "pattern": "9"}) is None


def test_a_pattern_has_to_be_quoted():
    with pytest.raises(ValueError, match=r'must be digits and dots in quotes, such as "01"'):
        make_problem("sequences", pattern=1)
    with pytest.raises(ValueError, match=r'must be digits and dots in quotes, such as "01"'):
        make_problem("sequences", pattern="a")


@pytest.mark.parametrize(("length", "states"), [(1, 7), (2, 20), (10, 179), (1000, 19_979)])
def test_sizes(length, states):
    mdp = sequences(length=length, features=False)
    assert mdp.n_states == pytest.approx(states, abs=1)
    assert mdp.gamma == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {"length": 50_000},
        {"length": 100, "prompts": 150, "modulus": 100, "prompt_length": 10},
        {"length": 19, "prompts": 2, "vocabulary": 2, "states": "prefixes", "verifier": "balanced"},
    ],
    ids=str,
)
def test_a_million_states(given):
    mdp = make_problem("sequences", features=False, **given)
    assert 0.9e6 < mdp.n_states < 1.2e6
    assert mdp.dimensions.numbers <= families()["sequences"].expected(Path(), given).numbers
