"""Gridworld: a square room with walls, slippery moves, a goal and a pit."""

from typing import Annotated, Any

import numpy as np

from pgbench.declared.parameters import Range
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.family import Discount, Family, Probability, Seed
from pgbench.problems.finite import FiniteMDP

_MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])  # up, right, down, left


def gridworld(
    size: Annotated[int, Range(2), "side of the square; at most size² states"],
    slip: Annotated[Probability, "chance that a move goes sideways, half to each side"] = 0.1,
    walls: Annotated[float, Range(0, 0.9), "fraction of inner cells that are walls"] = 0.1,
    pit: Annotated[bool, "whether a pit lies on the diagonal"] = True,
    step_reward: Annotated[float, "paid on every step"] = -0.01,
    gamma: Discount = 0.99,
    seed: Seed = 0,
) -> FiniteMDP:
    """Gridworld: start top left, goal (+1) bottom right, a pit (-1), walls, slippery moves.

    A move into a wall or over the edge stays. The top row and the right column are kept free, so
    the goal is always reachable. Cells cut off from the start are not states. The pit, absent for
    size < 4, lies at (size//2, size//2). Goal and pit are terminal. Coordinates: row, column.
    """
    rng = np.random.default_rng(seed)
    cells = np.arange(size * size)
    row, column = cells // size, cells % size
    pit_cell = (size // 2) * size + size // 2 if pit and size >= 4 else -1
    inner = cells[(row > 0) & (column < size - 1) & (cells != pit_cell)]
    blocked = np.zeros(size * size, bool)
    blocked[rng.permutation(inner)[: round(walls * inner.size)]] = True

    target = np.empty((size * size, 4), np.int64)
    for a, (dr, dc) in enumerate(_MOVES):
        r, c = row + dr, column + dc
        inside = (r >= 0) & (r < size) & (c >= 0) & (c < size)
        there = np.where(inside, r * size + c, cells)
        target[:, a] = np.where(blocked[there], cells, there)

    goal_cell = size * size - 1
    stops = np.isin(cells, [goal_cell, pit_cell])
    keep = np.flatnonzero(_reachable(np.where(stops[:, None], cells[:, None], target)))
    state = np.full(size * size, -1)
    state[keep] = np.arange(keep.size)

    # Slots: the intended move, then the two sideways ones.
    turns = (np.arange(4)[:, None] + np.array([0, 1, 3])) % 4
    there = target[keep][:, turns]
    reward = step_reward + (there == goal_cell) * 1.0 - (there == pit_cell) * 1.0
    mu0 = np.zeros(keep.size)
    mu0[state[0]] = 1.0
    return FiniteMDP(
        # A terminal cell may lead to a cell that is no state; its row is replaced anyway.
        successor=np.maximum(state[there], 0).astype(np.int32),
        probability=np.broadcast_to([1 - slip, slip / 2, slip / 2], there.shape),
        reward=reward,
        mu0=mu0,
        gamma=gamma,
        terminal=stops[keep],
        coordinates=np.stack([row[keep], column[keep]], axis=1),
    )


def _reachable(target: np.ndarray) -> np.ndarray:
    """Cells that can be reached from cell 0 over the (cells, moves) table of targets."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order

    n, k = target.shape
    graph = csr_array((np.ones(n * k), target.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    found = np.zeros(n, bool)
    found[breadth_first_order(graph, 0, return_predecessors=False)] = True
    return found


def dimensions(size: int, walls: float, **other: Any) -> FiniteDimensions:
    """How large a gridworld is if no cell is cut off."""
    cells = float(size) * size
    free = (1 - walls) * cells + walls * 2 * size
    return FiniteDimensions(free, 4, branching=3, n_coordinates=2, building=180 * cells)


family = Family(
    "gridworld",
    gridworld,
    size="size",
    reference="Russell & Norvig 2020, Figure 17.1, generalised",
    dimensions=dimensions,
)
