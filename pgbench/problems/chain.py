"""The chain with exponentially vanishing gradients."""

from typing import Annotated, Any

import numpy as np

from pgbench.declared.parameters import Choice, Range
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.family import Family
from pgbench.problems.finite import FiniteMDP


def chain(
    length: Annotated[int, Range(1), "H; the chain has H + 2 states"],
    n_actions: Annotated[int, Range(2), "one action advances, the others fall back"] = 4,
    gamma: Annotated[
        float | str, Range(0, 1), Choice(("auto",)), "discount γ; auto is H/(H+1), as in the source"
    ] = "auto",
) -> FiniteMDP:
    """Deterministic chain of H + 2 states; only the last one pays (1 per step).

    Action 0 moves up, all others move down one state (state 0 has no lower one: they stay). The
    last state keeps to itself. Start in state 0. With γ = H/(H+1) and π(s, 0) < 1/4 everywhere the
    gradient's norm falls exponentially in H.
    """
    S = length + 2
    states = np.arange(S)
    successor = np.empty((S, n_actions, 1), np.int32)
    successor[:, :, 0] = np.maximum(states - 1, 0)[:, None]
    successor[:, 0, 0] = np.minimum(states + 1, S - 1)
    successor[-1] = S - 1
    reward = np.zeros(successor.shape)
    reward[-1] = 1.0
    mu0 = np.zeros(S)
    mu0[0] = 1.0
    return FiniteMDP(
        successor=successor,
        probability=np.ones(successor.shape),
        reward=reward,
        mu0=mu0,
        gamma=length / (length + 1) if gamma == "auto" else float(gamma),
        coordinates=states[:, None].astype(float),
    )


def dimensions(length: int, n_actions: int, **other: Any) -> FiniteDimensions:
    """How large a chain is."""
    return FiniteDimensions(length + 2, n_actions, n_coordinates=1)


family = Family(
    "chain",
    chain,
    size="length",
    reference="Agarwal, Kakade, Lee & Mahajan 2021, Proposition 4.1 and Figure 2",
    dimensions=dimensions,
)
