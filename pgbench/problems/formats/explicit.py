"""Explicit models of the probabilistic model checkers PRISM and Storm, of several files each.

Sources: PRISM manual, appendix "Explicit Model Files"; Hensel, Junges, Katoen, Quatmann & Volk 2022
(Storm).
"""

from pathlib import Path
from typing import Any

import numpy as np

from pgbench.declared.messages import shown
from pgbench.declared.parameters import did_you_mean
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.formats.absorbing import absorbing
from pgbench.problems.formats.labels import Labels, labels_in
from pgbench.problems.formats.rewards import state_rewards_in, transition_rewards_in
from pgbench.problems.formats.text import once
from pgbench.problems.formats.transitions import transitions_in
from pgbench.problems.problem import ProblemError


def arguments_in(
    path: str | Path,
    gamma: float,
    labels: str | Path | None = None,
    transition_rewards: str | Path | None = None,
    state_rewards: str | Path | None = None,
    terminal: str | None = None,
) -> dict[str, Any]:
    """Arguments of ``FiniteMDP`` as the files say them.

    Parameters
    ----------
    path
        Transitions. A state without any is a deadlock: it stays as it is.
    gamma
        Discount in [0, 1].
    labels
        Labels: the states of ``init`` are equally likely starts. Without the file it is state 0.
    transition_rewards, state_rewards
        Rewards; that of a state is paid for every action in it.
    terminal
        Labels of terminal states, with spaces between them; nothing is paid there. States that
        nothing leaves, that pay nothing and in which no episode begins are terminal besides.

    Raises
    ------
    ProblemError
        With the file, the line, the value and what is allowed.
    """
    moves = transitions_in(Path(path))
    S = moves.n_states
    successor, probability, reward = moves.slots()
    if transition_rewards is not None:
        reward[moves.place] = transition_rewards_in(Path(transition_rewards), moves)
    if state_rewards is not None:
        paid = state_rewards_in(Path(state_rewards), S)
        reward += np.where(probability > 0, paid[:, None, None], 0.0)
    labelled = {"init": [0]} if labels is None else labels_in(Path(labels), S)
    mu0 = np.zeros(S)
    mu0[_states(labelled, "init", labels)] = 1.0
    mu0 /= mu0.sum()
    ends = absorbing(successor, probability, reward, mu0)
    for name in (terminal or "").split():
        ends[_states(labelled, name, labels)] = True
    return {
        "successor": successor,
        "probability": probability,
        "reward": reward,
        "mu0": mu0,
        "gamma": gamma,
        "terminal": ends,
        "name": Path(path).stem,
        "allowed": moves.allowed,
    }


@once
def dimensions_of(path: Path) -> FiniteDimensions:
    """How large the problem of a file is, for which all of it is read; ProblemError as there."""
    return transitions_in(path).dimensions


def _states(labels: Labels, name: str, path: str | Path | None) -> list[int]:
    """The states of a label, of which there must be some."""
    if labels.get(name):
        return labels[name]
    if path is None:
        raise ProblemError(f"terminal is {shown(name)} but no file of labels is given")
    if name in labels:
        raise ProblemError(f"{path} gives no state the label {name}, must give it to one at least")
    hint = did_you_mean(name, labels)
    raise ProblemError(
        f"{path} has no label {shown(name)}{hint}, must be one of {', '.join(labels)}"
    )
