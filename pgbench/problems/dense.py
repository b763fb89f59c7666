"""Dense random MDPs: every state can follow every other."""

from typing import Annotated, Any

import numpy as np

from pgbench.declared.parameters import Range
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.family import Count, Discount, Family, Seed
from pgbench.problems.finite import FiniteMDP


def random(
    n_states: Annotated[int, Range(1), "number of states S"],
    n_actions: Count = 3,
    gamma: Discount = 0.9,
    seed: Seed = 0,
) -> FiniteMDP:
    """Dense random MDP: Dirichlet(1) rows, rewards r(s, a, s') ~ N(0, 1), Dirichlet(1) start."""
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.ones(n_states), size=(n_states, n_actions))
    r = rng.standard_normal((n_states, n_actions, n_states))
    return FiniteMDP.from_arrays(P, r, rng.dirichlet(np.ones(n_states)), gamma)


def dimensions(n_states: int, n_actions: int, **other: Any) -> FiniteDimensions:
    """How large a dense problem is."""
    return FiniteDimensions(n_states, n_actions, branching=n_states)


family = Family(
    "random",
    random,
    size="n_states",
    reference="the usual dense test problem",
    dimensions=dimensions,
)
