"""Garnet: generic random MDPs with a fixed number of successors."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from pgbench.declared.parameters import Range
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.family import Count, Discount, Family, Seed
from pgbench.problems.finite import FiniteMDP
from pgbench.problems.problem import ProblemError


def garnet(
    n_states: Annotated[int, Range(1), "number of states S"],
    n_actions: Count = 4,
    branching: Annotated[int, Range(1), "distinct successors per state-action pair"] = 3,
    gamma: Discount = 0.99,
    seed: Seed = 0,
) -> FiniteMDP:
    """Random MDP: ``branching`` distinct successors per (s, a), uniform rewards, uniform start.

    Successors are a uniform subset; probabilities are the spacings of sorted uniforms, that is
    Dirichlet(1, ..., 1); r(s, a) ~ U[0, 1]. (A second convention in the literature draws and
    normalises uniforms; the two are not compatible.)
    """
    if branching > n_states:
        raise ProblemError(
            f"garnet.branching is {branching}, must be at most n_states = {n_states}"
        )
    rng = np.random.default_rng(seed)
    rows = n_states * n_actions
    successor = _distinct(rng, rows, n_states, branching)
    cuts = np.sort(rng.random((rows, branching - 1)), axis=1)
    probability = np.diff(cuts, axis=1, prepend=0.0, append=1.0)
    shape = (n_states, n_actions, branching)
    reward = rng.random((n_states, n_actions, 1))
    return FiniteMDP(
        successor=successor.reshape(shape),
        probability=probability.reshape(shape),
        reward=np.broadcast_to(reward, shape),
        mu0=np.full(n_states, 1 / n_states),
        gamma=gamma,
    )


def _by_keys(n: int, k: int) -> bool:
    """Whether subsets are drawn by a random key for every element: redrawing would take long."""
    return 4 * k * k > n


def _distinct(rng: np.random.Generator, rows: int, n: int, k: int) -> NDArray[np.int32]:
    """Uniform k-subsets of {0..n-1}, one per row: redraw the rows that hold a repetition."""
    if _by_keys(n, k):
        keys = rng.random((rows, n))
        return np.argpartition(keys, k - 1, axis=1)[:, :k].astype(np.int32)
    chosen = rng.integers(n, size=(rows, k), dtype=np.int32)
    todo = np.arange(rows)
    while todo.size:
        ordered = np.sort(chosen[todo], axis=1)
        todo = todo[(ordered[:, 1:] == ordered[:, :-1]).any(axis=1)]
        chosen[todo] = rng.integers(n, size=(todo.size, k), dtype=np.int32)
    return chosen


def dimensions(n_states: int, n_actions: int, branching: int, **other: Any) -> FiniteDimensions:
    """How large a garnet is; keys and their order take 16 bytes each."""
    keys = 16.0 * n_states * n_actions * n_states if _by_keys(n_states, branching) else 0.0
    return FiniteDimensions(n_states, n_actions, branching, building=keys)


family = Family(
    "garnet",
    garnet,
    size="n_states",
    reference="Archibald, McKinnon & Thomas 1995; Bhatnagar, Sutton, Ghavamzadeh & Lee 2009",
    dimensions=dimensions,
)
