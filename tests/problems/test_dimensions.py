"""What problems will take is said before they are built, and is what they take, about."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from pgbench.exact import evaluate
from pgbench.policies import make_policy
from pgbench.problems import LinearQuadratic, families, make_problem
from pgbench.problems.dimensions import FiniteDimensions

FIXED = {"gymnasium", "lqg", "sign_flip", "three_armed", "two_state"}
"""Families whose problems are small, or as large as another package, or a matrix, says."""

SIZES = [
    ("acrobot", {"resolution": 9}),
    ("bandit", {"n_actions": 20_000}),
    ("cartpole", {"resolution": 9, "repeat": 3}),
    ("chain", {"length": 10_000}),
    ("chain", {"length": 3000, "n_actions": 30, "gamma": 0.99}),
    ("corridor", {"length": 10_000, "gamma": 0.99}),
    ("garnet", {"n_states": 5000}),
    ("garnet", {"n_states": 1000, "n_actions": 2, "branching": 60}),
    ("garnet", {"n_states": 500, "n_actions": 30, "branching": 10}),
    ("gridworld", {"size": 80}),
    ("gridworld", {"size": 200, "walls": 0.9}),
    ("lqg_chain", {"masses": 60}),
    ("lqg_random", {"n": 150, "m": 3}),
    ("lqg_random", {"n": 10, "m": 200}),
    ("mountain_car", {"resolution": 80}),
    ("pendulum", {"resolution": 80, "n_actions": 11}),
    ("random", {"n_states": 200}),
    ("random", {"n_states": 60, "n_actions": 40}),
    ("riverswim", {"n_states": 10_000}),
    ("sequences", {"length": 500, "features": False}),
    ("sequences", {"length": 500}),
    ("sequences", {"length": 7, "states": "prefixes", "window": 1}),
    ("sequences", {"verifier": "balanced", "length": 150, "prompts": 1, "features": False}),
    ("sequences", {"verifier": "copy", "prompts": 99, "prompt_length": 9, "length": 12}),
    ("sequences", {"verifier": "sorted", "prompts": 99, "vocabulary": 9, "features": False}),
]


def solved(name, given):
    """The problem, and a policy of it evaluated with what is proven."""
    mdp = make_problem(name, **given)
    policy = make_policy("gaussian" if isinstance(mdp, LinearQuadratic) else "softmax", mdp)
    truth = evaluate(mdp, policy, policy.initial())
    return mdp, truth.resolved


def most_held(call):
    """Bytes that numpy and Python held during a call, once it has imported what it needs."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def expected(name, given):
    return families()[name].expected(Path(), given)


@pytest.fixture(scope="module", autouse=True)
def _imported():
    for name, given in [("garnet", {"n_states": 20}), ("chain", {"length": 1000}), ("lqg", {})]:
        solved(name, given)


@pytest.mark.parametrize(("name", "given"), SIZES, ids=str)
def test_memory_is_what_building_and_solving_take(name, given):
    held = most_held(lambda: solved(name, given))
    assert held > 2e6
    assert held / 3 < expected(name, given).memory < 3 * held


@pytest.mark.parametrize("arrays", ["dense", "slots"])
def test_memory_of_a_file_is_known_from_its_shapes(tmp_path, arrays):
    path = tmp_path / "a.npz"
    mdp = make_problem("random", n_states=150)
    if arrays == "slots":
        mdp.to_npz(path)
    else:
        P = mdp.transitions.toarray().reshape(150, 3, 150)
        np.savez(path, P=P, r=mdp.expected_reward, mu0=mdp.mu0, gamma=0.9)
    given = {"path": str(path)}
    assert expected("file", given) == FiniteDimensions(150, 3, 150)
    held = most_held(lambda: solved("file", given))
    assert held / 3 < expected("file", given).memory < 3 * held


def test_a_file_that_makes_no_sense_is_left_to_who_reads_it(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, P=np.zeros((2, 2)))
    assert expected("file", {"path": str(path)}) is None
    path.write_text("no archive", encoding="utf-8")
    assert expected("file", {"path": str(path)}) is None


def big_cassandra(folder):
    """200 states that follow each other in matrices, and 200 that do so entry by entry."""
    rng = np.random.default_rng(0)
    lines = ["discount: 0.9", "states: 200", "actions: 2", "T: 0"]
    lines += [" ".join(map(str, row)) for row in rng.dirichlet(np.ones(200), 200)]
    lines += [f"T: 1 : {s} : {j} 0.005" for s in range(200) for j in range(200)]
    (folder / "big.mdp").write_text("\n".join([*lines, "R: * : * : 0 1"]), encoding="utf-8")
    return {"path": str(folder / "big.mdp")}, FiniteDimensions(200, 2, 200)


def big_explicit(folder):
    """5000 states with three choices, four successors each, and one with four choices."""
    lines = [
        f"{s} {a} {(7 * s + a + j) % 5000} 0.25 go"
        for s in range(5000)
        for a in range(3)
        for j in range(4)
    ]
    (folder / "big.tra").write_text("\n".join(["mdp", *lines, "9 3 9 1"]), encoding="utf-8")
    return {"path": str(folder / "big.tra"), "gamma": 0.9}, FiniteDimensions(5000, 4, 4)


def big_mdptoolbox(folder):
    """150 states that all follow each other, in MATLAB's order."""
    P = np.random.default_rng(0).dirichlet(np.ones(150), (3, 150))
    scipy.io.savemat(folder / "big.mat", {"P": np.moveaxis(P, 0, 2), "R": P[:, 0].T})
    return {"path": str(folder / "big.mat"), "gamma": 0.9}, FiniteDimensions(150, 3, 150)


IN_FILES = {"cassandra": big_cassandra, "explicit": big_explicit, "mdptoolbox": big_mdptoolbox}


@pytest.mark.parametrize("name", IN_FILES)
def test_memory_of_files_of_other_tools_is_known_beforehand(tmp_path, name):
    given, said = IN_FILES[name](tmp_path)
    assert expected(name, given) == said
    assert make_problem(name, **given).dimensions.numbers == said.numbers
    held = most_held(lambda: solved(name, given))
    assert held / 3 < said.memory < 3 * held


@pytest.mark.parametrize("name", IN_FILES)
def test_files_of_other_tools_are_counted_again_once_they_have_changed(tmp_path, name):
    given, said = IN_FILES[name](tmp_path)
    path = Path(given["path"])
    assert expected(name, given) == said
    path.write_bytes(b"mdp")
    assert expected(name, given) is None
    path.unlink()
    assert expected(name, given) is None


def test_every_family_that_grows_says_so():
    assert {name for name, _ in SIZES} | {"file", *IN_FILES} | FIXED == set(families())
    for name, family in families().items():
        if family.size:
            assert name not in FIXED


@pytest.mark.parametrize(("name", "given"), SIZES, ids=str)
def test_dimensions_are_those_of_the_problem_at_most(name, given):
    said, found = expected(name, given), make_problem(name, **given).dimensions
    assert said.kind == found.kind
    if name not in ("gridworld", "sequences"):
        assert found.numbers == said.numbers
    assert found.numbers <= said.numbers
    if found.kind == "finite":
        assert found.n_features <= said.n_features
        assert found.n_coordinates == said.n_coordinates


@pytest.mark.parametrize("name", [name for name, f in families().items() if f.size])
def test_dimensions_of_anything_that_can_be_asked_for(name):
    family = families()[name]
    most = family.parameters[family.size].range.maximum or 10**300
    assert expected(name, {family.size: int(most)}).memory > 1e6
