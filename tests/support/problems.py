"""Tiny problems, all of whose trajectories can be listed, and small ones of every family."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pgbench.problems import FiniteMDP, families, make_problem


def dense() -> FiniteMDP:
    """Every state follows every other; rewards r(s, a, s')."""
    return make_problem("random", n_states=3, n_actions=2, gamma=0.8, seed=1)


def ending() -> FiniteMDP:
    """Random transitions and rewards with a terminal state."""
    rng = np.random.default_rng(5)
    P = rng.dirichlet(np.ones(3), size=(3, 2))
    r = rng.standard_normal((3, 2, 3))
    return FiniteMDP.from_arrays(P, r, [0.6, 0.4, 0.0], 0.9, terminal=[False, False, True])


def coins() -> FiniteMDP:
    """Random rewards: two slots of a pair lead to the same state and pay differently."""
    rng = np.random.default_rng(7)
    return FiniteMDP(
        successor=np.broadcast_to([0, 0, 1], (2, 2, 3)),
        probability=rng.dirichlet(np.ones(3), size=(2, 2)),
        reward=rng.standard_normal((2, 2, 3)),
        mu0=np.array([0.3, 0.7]),
        gamma=0.7,
    )


def fewer() -> FiniteMDP:
    """States that do not have every action, and not the same; one has a single action."""
    rng = np.random.default_rng(9)
    P = np.zeros((3, 3, 3))
    for s in range(3):
        P[s, :, [s, (s + 1) % 3]] = rng.dirichlet(np.ones(2), size=3).T
    allowed = np.array([[True, False, True], [False, True, True], [True, False, False]])
    r = np.where(allowed, rng.standard_normal((3, 3)), np.nan)
    return FiniteMDP.from_arrays(P, r, [0.6, 0.4, 0.0], 0.9, allowed=allowed)


def corridor() -> FiniteMDP:
    """The short corridor, undiscounted."""
    return make_problem("corridor")


TINY: dict[str, tuple[Callable[[], FiniteMDP], int]] = {
    "dense": (dense, 3),
    "ending": (ending, 4),
    "coins": (coins, 3),
    "corridor": (corridor, 7),
    "fewer": (fewer, 3),
}
"""Problems whose trajectories of that many steps can all be listed."""

DISCOUNTED = [name for name, (make, _) in TINY.items() if make().gamma < 1]
"""Those on which a horizon can be drawn at random."""


FAMILIES = [name for name in families() if not name.startswith("lqg")]
"""Families of finite problems."""


CASSANDRA = """\
discount: 0.9
states: here there
actions: stay go
T: stay identity
T: go uniform
R: * : * : there 1
"""
"""A file of the family ``cassandra``."""

TRANSITIONS = """\
2 3 5
0 0 0 1
0 1 0 0.5
0 1 1 0.5
1 0 0 0.25
1 0 1 0.75
"""
"""A file of the family ``explicit``; state 1 has one choice."""

REWARDS = """\
2 3 2
0 1 1 2
1 0 1 1
"""
"""Its rewards."""


def written(path: Path, text: str) -> str:
    """The path of a file that holds a text."""
    path.write_text(text, encoding="utf-8")
    return str(path)


def make_small(name: str, folder: Path, **given: Any) -> FiniteMDP:
    """A problem of few states, whatever the family needs for that."""
    family = families()[name]
    if name == "file":
        dense().to_npz(folder / "dense.npz")
        given["path"] = str(folder / "dense.npz")
    elif name == "cassandra":
        given["path"] = written(folder / "two.mdp", CASSANDRA)
    elif name == "explicit":
        given |= {"path": written(folder / "two.tra", TRANSITIONS), "gamma": 0.9}
        given["transition_rewards"] = written(folder / "two.trew", REWARDS)
    elif name == "mdptoolbox":
        P = np.moveaxis(dense().transitions.toarray().reshape(3, 2, 3), 1, 0)
        np.savez(folder / "toolbox.npz", P=P, R=dense().expected_reward, discount=0.9)
        given["path"] = str(folder / "toolbox.npz")
    elif name == "gymnasium":
        given["id"] = "FrozenLake-v1"
    elif family.size:
        given.setdefault(family.size, 3 if name in ("acrobot", "cartpole") else 4)
    return family.make(**given)


@cache
def small_gamma(name: str) -> float:
    """The discount of a small problem of a family."""
    with TemporaryDirectory() as folder:
        return make_small(name, Path(folder)).gamma
