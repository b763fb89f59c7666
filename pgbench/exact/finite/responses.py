"""Classes of responses: what trajectories of at most H steps come to, and how likely each is.

A response is a trajectory from its start to its end. Its class is what is kept of it: return,
length, whether it was cut, and what the problem says of its last state. The trajectories are
unrolled forward into nodes, one per start, step, state and return so far; what is equal is one
node. Expectations given the start are then one sweep backward over the layers of nodes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.exact.remember import latest
from pgbench.exact.table_moments import SUMS_LIMIT, Size, require_fitting
from pgbench.problems import FiniteMDP
from pgbench.process.process import Process
from pgbench.process.responses import Responses

CLOSE = 1e-12
"""Returns that differ by less, relative to the largest, are one: sums in another order."""

SLOT_BYTES, SLOT_OPERATIONS = 100, 2000
"""What a slot of a node takes while it is followed, and after; measured."""

MANY_SLOTS = 10**5
"""With fewer nobody asks how many there will be."""


@dataclass(frozen=True, eq=False)
class Layer:
    """The n nodes after a number of steps.

    Attributes
    ----------
    start
        (n,) int64, which start the trajectory has.
    state
        (n,) int64.
    reach
        (n,) float64, probability of the node given its start.
    ends
        (n,) int64, the class of trajectories that end here, -1 where a step is taken.
    row
        (n,) int64, place of (start, state) in ``Unrolled.row_state``; 0 at ends.
    moves
        Sparse (n·A, n'), probabilities of the nodes that follow each action; empty rows at ends.
    """

    start: IntArray
    state: IntArray
    reach: FloatArray
    ends: IntArray
    row: IntArray
    moves: sparse.csr_array


@dataclass(frozen=True, eq=False)
class Unrolled:
    """All trajectories of at most H steps of a process, from each of K starts.

    Attributes
    ----------
    mu
        (K,) float64, probability of each start: of each start state, or 1 where these are mixed.
    classes
        The C classes; arrays are (C,), outcomes (C, c).
    probability
        (K, C) float64, P_c given the start.
    layers
        The nodes after t = 0, 1, ... steps.
    row_start, row_state
        (n,) int64, the pairs of a start and a state in which steps are taken, in order.
    """

    mu: FloatArray
    classes: Responses
    probability: FloatArray
    layers: tuple[Layer, ...]
    row_start: IntArray
    row_state: IntArray

    @property
    def size(self) -> tuple[int, int]:
        """Numbers of starts and classes (K, C)."""
        K, C = self.probability.shape
        return K, C

    @cached_property
    def once(self) -> bool:
        """Whether no trajectory takes steps in a state twice: the walk over states has no cycle."""
        pairs = [np.zeros((0, 2), np.int64)]
        for layer, after in pairwise(self.layers):
            moves = layer.moves.tocoo()
            here = layer.state[moves.row // (layer.moves.shape[0] // layer.state.size)]
            stays = after.ends[moves.col] < 0
            pairs.append(np.stack([here, after.state[moves.col]], axis=1)[stays])
        before, later = np.concatenate(pairs).T
        S = 1 + int(self.row_state.max(initial=0))
        graph = sparse.csr_array((np.ones(before.size), (before, later)), shape=(S, S))
        parts, _ = sparse.csgraph.connected_components(graph, connection="strong")
        return bool(parts == S and not (before == later).any())

    def expected(self, pi: FloatArray, ends: FloatArray) -> Iterator[tuple[Layer, FloatArray]]:
        """Each layer, last first, with E[f(c) | node, a] (n, A, r) of ends f (K, C, r)."""
        later = np.zeros((0, ends.shape[2]))
        for layer in reversed(self.layers):
            n, A = layer.state.size, pi.shape[1]
            q = (layer.moves @ later).reshape(n, A, -1)
            ended = np.flatnonzero(layer.ends >= 0)
            later = np.einsum("na,nar->nr", pi[layer.state], q)
            later[ended] = ends[layer.start[ended], layer.ends[ended]]
            yield layer, q


class _Nodes(NamedTuple):
    """Nodes of one layer as they are found, with the return so far."""

    start: IntArray
    state: IntArray
    returns: FloatArray
    reach: FloatArray


@latest(2)
def unrolled(process: Process, horizon: int, grouped: bool, limit: Size = SUMS_LIMIT) -> Unrolled:
    """All trajectories of at most ``horizon`` steps; the last two of a process are remembered.

    Parameters
    ----------
    process
        What is simulated.
    horizon
        Most steps H of a trajectory.
    grouped
        Whether each start state is a start of its own, or all are mixed by μ0 to one.
    limit
        Memory and operations allowed.

    Raises
    ------
    ValueError
        TooLarge where there are too many nodes or classes.
    """
    mdp, pi = process.mdp, process.pi
    states = np.flatnonzero(mdp.mu0)
    own = np.arange(states.size) if grouped else np.zeros(states.size, np.int64)
    reach = np.ones(states.size) if grouped else mdp.mu0[states]
    nodes = _Nodes(own, states, np.zeros(states.size), reach)
    found, slots = [nodes], [0.0]
    moves: list[sparse.csr_array] = []
    while (going := ~mdp.terminal[nodes.state] & (len(moves) < horizon)).any():
        slots.append(float(going.sum()) * pi.shape[1] * mdp.branching)
        expected = expected_slots(slots, horizon)
        require_fitting(Size(SLOT_BYTES * expected, SLOT_OPERATIONS * expected), limit)
        step, nodes = _step(mdp, pi, nodes, going, mdp.gamma ** len(moves))
        moves.append(step)
        found.append(nodes)
    moves.append(sparse.csr_array((nodes.state.size * pi.shape[1], 0)))
    mu = mdp.mu0[states] if grouped else np.ones(1)
    return _assembled(mdp, mu, horizon, found, moves, limit)


def expected_slots(slots: Sequence[float], horizon: int) -> float:
    """How many slots are followed in all if layers go on growing; those so far while they are few.

    Returns that never meet again multiply from step to step, which shows long before memory ends.
    """
    so_far = sum(slots)
    if so_far < MANY_SLOTS or slots[-3] == 0:
        return so_far
    growth = min(slots[-1] / slots[-2], slots[-2] / slots[-3])
    left = horizon - len(slots) + 1
    if growth <= 1 or left == 0:
        return so_far
    return so_far + slots[-1] * growth ** min(left, 300 / np.log2(growth))


def _step(
    mdp: FiniteMDP, pi: FloatArray, nodes: _Nodes, going: BoolArray, discount: float
) -> tuple[sparse.csr_array, _Nodes]:
    """Probabilities of the nodes that follow each node and action, and these nodes."""
    live, A = np.flatnonzero(going), pi.shape[1]
    s = nodes.state[live]
    i, a, b = np.nonzero((pi[s] > 0)[:, :, None] & (mdp.probability[s] > 0))
    place = s[i], a, b
    after = mdp.successor[place].astype(np.int64)
    values, which = close_values(nodes.returns[live[i]] + discount * mdp.reward[place])
    start = nodes.start[live[i]]
    code = (start * mdp.n_states + after) * len(values) + which
    _, first, child = np.unique(code, return_index=True, return_inverse=True)
    rows = live[i] * A + a
    shape = nodes.state.size * A, first.size
    matrix = sparse.csr_array((mdp.probability[place], (rows, child)), shape=shape)
    reach = matrix.T @ (nodes.reach[:, None] * pi[nodes.state]).ravel()
    return matrix, _Nodes(start[first], after[first], values[which[first]], reach)


def close_values(values: FloatArray) -> tuple[FloatArray, IntArray]:
    """Distinct values in order, and which of them each of (m,) is; the nearly equal are one."""
    found, which = np.unique(values, return_inverse=True)
    size = np.abs(found).max(initial=0.0)
    begins = np.append(True, np.diff(found) > CLOSE * size)[: found.size]
    return found[begins], (np.cumsum(begins) - 1)[which]


def _assembled(
    mdp: FiniteMDP,
    mu: FloatArray,
    horizon: int,
    found: list[_Nodes],
    moves: list[sparse.csr_array],
    limit: Size,
) -> Unrolled:
    steps = [np.full(nodes.state.size, t) for t, nodes in enumerate(found)]
    length, places = np.concatenate(steps), np.cumsum([s.size for s in steps])[:-1]
    start, state, returns, reach = map(np.concatenate, zip(*found, strict=True))
    done = mdp.terminal[state] | (length == horizon)
    which, classes = _classes(mdp, state[done], returns[done], length[done], horizon)
    K, C = mu.size, classes.returns.size
    require_fitting(Size(24.0 * K * C, float(K * C)), limit)
    probability = np.zeros((K, C))
    np.add.at(probability, (start[done], which), reach[done])
    ends, row = np.full(state.size, -1), np.zeros(state.size, np.int64)
    ends[done] = which
    rows, row[~done] = np.unique(start[~done] * mdp.n_states + state[~done], return_inverse=True)
    parts = [np.split(x, places) for x in (start, state, reach, ends, row)]
    return Unrolled(
        mu=mu,
        classes=classes,
        probability=probability,
        layers=tuple(Layer(*own) for own in zip(*parts, moves, strict=True)),
        row_start=rows // mdp.n_states,
        row_state=rows % mdp.n_states,
    )


def _classes(
    mdp: FiniteMDP, state: IntArray, returns: FloatArray, length: IntArray, horizon: int
) -> tuple[IntArray, Responses]:
    """Which class each end (m,) is in, and the classes."""
    cut = ~mdp.terminal[state]
    if mdp.truncated is not None:
        cut |= mdp.truncated[state]
    said = np.zeros((mdp.n_states, 1)) if mdp.outcomes is None else mdp.outcomes
    words, outcome = np.unique(said, axis=0, return_inverse=True)
    values, which = close_values(returns)
    code = ((which * (horizon + 1) + length) * 2 + cut) * len(words) + outcome.ravel()[state]
    _, first, own = np.unique(code, return_index=True, return_inverse=True)
    classes = Responses(
        returns=values[which[first]],
        lengths=length[first].astype(np.float64),
        truncated=cut[first],
        outcomes=None if mdp.outcomes is None else said[state[first]],
        limit=horizon,
    )
    return own, classes
