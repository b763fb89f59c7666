"""Import of any Gymnasium environment that exposes its transition table."""

from typing import Annotated, Any

import numpy as np

from pgbench.arrays import FloatArray, IndexArray
from pgbench.problems.family import Discount, Family
from pgbench.problems.finite import FiniteMDP
from pgbench.problems.problem import ProblemError
from pgbench.problems.slots import merge_slots


def gymnasium(
    id: Annotated[str, "registered environment, e.g. FrozenLake-v1"],
    gamma: Discount = 0.99,
    options: Annotated[
        dict[str, Any] | None, "arguments of the environment, e.g. {map_name: 8x8}"
    ] = None,
) -> FiniteMDP:
    """Gymnasium environment with a transition table ``P[s][a] = [(p, s', reward, done), ...]``.

    A state entered with ``done`` becomes terminal. If an episode can also enter such a state
    without ``done``, transitions with ``done`` go to one added terminal state instead. Time limits
    are not part of the problem. Coordinates are those that the environment itself tells: row and
    column of FrozenLake and CliffWalking, and Taxi's decoded state.
    """
    import gymnasium as gym

    try:
        environment = gym.make(id, **(options or {})).unwrapped
    except Exception as error:  # gymnasium raises many kinds, all of them about the request
        raise ProblemError(
            f"gymnasium cannot make {id!r} with options {options}: {error}"
        ) from error
    table: Any = getattr(environment, "P", None)
    start: Any = getattr(environment, "initial_state_distrib", None)
    environment.close()
    if table is None or start is None:
        raise ProblemError(
            f"gymnasium environment {id!r} exposes no transition table P with a start"
        )

    S, A = len(table), len(table[0])
    places = _coordinates(environment, S)
    flat = [
        (s, a, float(p), int(successor), float(reward), bool(done))
        for s in range(S)
        for a in range(A)
        for p, successor, reward, done in table[s][a]
        if p > 0
    ]
    ends = {successor for _, _, _, successor, _, done in flat if done}
    extra = bool(ends & _continuing(flat, np.flatnonzero(start)))
    n = S + extra
    outcomes: dict[tuple[int, int], list[tuple[float, int, float]]] = {}
    for s, a, p, successor, reward, done in flat:
        goal = S if extra and done else successor
        outcomes.setdefault((s, a), []).append((p, goal, reward))
    terminal = np.zeros(n, bool)
    terminal[[S] if extra else sorted(ends)] = True
    for a in range(A) if extra else ():
        outcomes[S, a] = [(1.0, S, 0.0)]
    successor_table, probability, reward_table = merge_slots(n, A, outcomes)
    return FiniteMDP(
        successor=successor_table,
        probability=probability,
        reward=reward_table,
        mu0=np.append(np.asarray(start, float), np.zeros(n - S)),
        gamma=gamma,
        terminal=terminal,
        coordinates=None if places is None else np.concatenate([places, _centre(places, n - S)]),
    )


def _coordinates(environment: Any, S: int) -> FloatArray | None:
    """What the environment itself says of its states, shape (S, c): ``decode``, or a grid's size.

    ``decode`` gives Taxi's row, column, passenger and destination; ``shape`` or ``nrow`` and
    ``ncol`` give the row and column of a state numbered row by row.
    """
    if hasattr(environment, "encode") and hasattr(environment, "decode"):
        return np.array([list(environment.decode(s)) for s in range(S)], float)
    size = getattr(environment, "shape", None)
    if size is None and hasattr(environment, "nrow") and hasattr(environment, "ncol"):
        size = environment.nrow, environment.ncol
    if size is None or int(np.prod(size)) != S:
        return None
    return np.stack(np.unravel_index(np.arange(S), size), axis=1).astype(float)


def _centre(places: FloatArray, n: int) -> FloatArray:
    """Coordinates (n, c) of added states: the mean place, which leaves the ranges as they are."""
    return np.broadcast_to(places.mean(axis=0), (n, places.shape[1]))


def _continuing(
    flat: list[tuple[int, int, float, int, float, bool]], starts: IndexArray
) -> set[int]:
    """States in which an episode goes on: reached from the start without passing a ``done``."""
    follows: dict[int, set[int]] = {}
    for s, _, _, successor, _, done in flat:
        if not done:
            follows.setdefault(s, set()).add(successor)
    found: set[int] = set()
    todo = {int(s) for s in starts}
    while todo:
        found |= todo
        todo = {successor for s in todo for successor in follows.get(s, ())} - found
    return found


family = Family(
    "gymnasium",
    gymnasium,
    size=None,
    reference="Towers et al. 2024 (Gymnasium)",
    named_by="id",
)
