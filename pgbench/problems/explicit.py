"""A problem from files of an explicit model, as the model checkers PRISM and Storm write them."""

from typing import Annotated

from pgbench.problems.family import Discount, Family, content_of, said_by
from pgbench.problems.finite import FiniteMDP
from pgbench.problems.formats.explicit import arguments_in, dimensions_of

FILES = ("path", "labels", "transition_rewards", "state_rewards")


def explicit(
    path: Annotated[str, "transitions of an MDP, a file .tra, relative to the grid's file"],
    gamma: Discount,
    labels: Annotated[
        str | None, "a file .lab, of which init says where episodes start; default in state 0"
    ] = None,
    transition_rewards: Annotated[str | None, "rewards of transitions, a file .trew"] = None,
    state_rewards: Annotated[
        str | None, "rewards of states, a file .srew, paid for every action"
    ] = None,
    terminal: Annotated[str | None, "labels of terminal states, e.g. done failed"] = None,
) -> FiniteMDP:
    """Problem from an explicit model of PRISM or Storm: ``.tra``, ``.lab`` and rewards.

    Action a of a state is its choice a. States that nothing leaves, that pay nothing and in which
    no episode begins are terminal besides those of ``terminal``.
    """
    return FiniteMDP(
        **arguments_in(path, gamma, labels, transition_rewards, state_rewards, terminal)
    )


family = Family(
    "explicit",
    explicit,
    size=None,
    reference="your own; the formats are those of PRISM and Storm",
    content=content_of(*FILES),
    paths=FILES,
    named_by="path",
    dimensions=said_by(dimensions_of),
)
