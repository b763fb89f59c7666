"""The finite Markov decision process: an immutable, validated record.

States ``s ∈ {0..S-1}``, actions ``a ∈ {0..A-1}``. Each pair (s, a) has up to B *slots*; a slot
holds a successor state, its probability and the reward paid on that transition. Unused slots have
probability 0. Two slots may name the same successor with different rewards, which is how a random
reward is written. A terminal state ends the episode: nothing is paid or scored in it.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from pgbench.arrays import BoolArray, FloatArray
from pgbench.problems.absent import blanked, existing_actions
from pgbench.problems.checks import endings, floats, successors
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.distribution import normalise
from pgbench.problems.formats.mdptoolbox import by_state
from pgbench.problems.npz import arrays_in
from pgbench.problems.problem import Problem, ProblemError, require_size
from pgbench.problems.slots import slots_from


@dataclass(frozen=True, eq=False, repr=False)
class FiniteMDP(Problem):
    """A finite discounted MDP with sparse successors.

    Parameters
    ----------
    successor
        (S, A, B) int32, successor state of each slot.
    probability
        (S, A, B) float64, its probability; each (s, a) sums to 1, or as nearly as single precision
        or the decimals of a file allow, and is divided by its sum, with a warning.
    reward
        (S, A, B) float64, r(s, a, s') of the slot, in units of reward, at most 1e30 in size.
    mu0
        (S,) float64, start distribution; no mass on terminal states.
    gamma
        Discount in [0, 1]. 1 is admitted only where every state can reach a terminal one, so that
        every policy that gives each action positive probability terminates with probability one.
    terminal
        (S,) bool, default none. Rows of terminal states are replaced by a self-loop that pays 0.
    features
        Optional (S, A, d) float64, the problem's own features for linear function classes.
    coordinates
        Optional (S, c) float64, where each state lies, such as row and column, for function classes
        that generalise over neighbours. Part of the digest where given, as features are.
    name
        Label in messages and results.
    allowed
        (S, A) bool, which actions a state has; None where every state has all, terminal ones
        included. By default those that have a row: a row of zeros or NaN is no action, which the
        warning ``AbsentActions`` counts. What does not exist holds a self-loop that pays 0, and
        policies give it probability zero.
    outcomes
        Optional (S, c) float64, what is said of an episode that ends in a state, such as a
        verifier's verdict; zero elsewhere. The first column is 1 for success and 0 for failure.
    truncated
        Optional (S,) bool, terminal states in which a limit has cut the episode short. Part of the
        digest where given, as outcomes are.

    Raises
    ------
    ProblemError
        A ValueError that names the array, the place, the value and what is allowed.
    """

    successor: NDArray[np.int32]
    probability: FloatArray
    reward: FloatArray
    mu0: FloatArray
    gamma: float
    terminal: BoolArray = None  # type: ignore[assignment]  # never None once built
    features: FloatArray | None = None
    coordinates: FloatArray | None = None
    name: str = "mdp"
    allowed: BoolArray | None = None
    outcomes: FloatArray | None = None
    truncated: BoolArray | None = None
    kind: ClassVar[str] = "finite"  # type: ignore[misc]

    def __post_init__(self) -> None:
        exists = existing_actions("probability", self.probability, self.terminal, self.allowed)
        probability = floats("probability", blanked(self.probability, exists), 3)
        S, A, B = probability.shape
        if min(S, A, B) < 1:
            raise ProblemError(f"probability has shape {(S, A, B)}, every size must be at least 1")
        successor = successors(self.successor, (S, A, B))
        reward = floats("reward", blanked(self.reward, exists), 3, (S, A, B))
        if exists is not None:
            probability[~exists] = np.eye(B)[0]
            successor[~exists] = np.nonzero(~exists)[0][:, None]
        mu0 = floats("mu0", self.mu0, 1, (S,))
        terminal = np.zeros(S, bool) if self.terminal is None else np.array(self.terminal)
        if terminal.shape != (S,) or terminal.dtype != bool:
            raise ProblemError(
                f"terminal has shape {terminal.shape} and dtype {terminal.dtype},"
                f" must be ({S},) bool"
            )
        if terminal.any():
            probability[terminal], reward[terminal] = 0.0, 0.0
            probability[terminal, :, 0] = 1.0
            successor[terminal] = np.flatnonzero(terminal)[:, None, None]
        require_size("reward", reward)
        number = isinstance(self.gamma, Real) and not isinstance(self.gamma, bool)
        if not (number and 0 <= self.gamma <= 1):
            raise ProblemError(f"gamma is {self.gamma!r}, must be a number in [0, 1]")
        normalise("probability", probability, self.probability)
        normalise("mu0", mu0, self.mu0)
        starts = np.flatnonzero(terminal & (mu0 > 0))
        if starts.size:
            raise ProblemError(
                f"mu0[{starts[0]}] is {mu0[starts[0]]:g} but state {starts[0]} is terminal;"
                " an episode must start in a state that is not terminal"
            )
        values: dict[str, Any] = {
            "successor": successor,
            "probability": probability,
            "reward": reward,
            "mu0": mu0,
            "terminal": terminal,
            "gamma": float(self.gamma),
            "allowed": exists,
        }
        if self.features is not None:
            values["features"] = features = floats("features", self.features, 3)
            if features.shape[:2] != (S, A):
                raise ProblemError(f"features has shape {features.shape}, must be ({S}, {A}, d)")
        if self.coordinates is not None:
            values["coordinates"] = places = floats("coordinates", self.coordinates, 2)
            if len(places) != S or places.shape[1] < 1:
                raise ProblemError(f"coordinates has shape {places.shape}, must be ({S}, c)")
        values |= endings(self.outcomes, self.truncated, terminal)
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)
        if self.gamma == 1:
            self._require_termination()

    @classmethod
    def from_arrays(
        cls,
        P: ArrayLike | Sequence[Any],
        r: ArrayLike | Sequence[Any],
        mu0: ArrayLike,
        gamma: float,
        terminal: ArrayLike | None = None,
        features: ArrayLike | None = None,
        coordinates: ArrayLike | None = None,
        name: str = "mdp",
        allowed: ArrayLike | None = None,
        outcomes: ArrayLike | None = None,
        truncated: ArrayLike | None = None,
    ) -> Self:
        """An MDP from dense arrays, or from a sparse matrix per action.

        Parameters
        ----------
        P
            (S, A, S) float64, P(s' | s, a), or a list of A sparse matrices (S, S) of SciPy. Rows
            sum to 1, or as nearly as single precision or the decimals of a file allow; they are
            divided by their sums then, with the warning ``distribution.Renormalised``.
        r
            (S, A) or (S, A, S) float64, reward, or a list of A sparse matrices (S, S).
        mu0
            (S,) float64, start distribution.
        gamma
            Discount in [0, 1].
        terminal
            (S,) bool, default none.
        features
            Optional (S, A, d) float64.
        coordinates
            Optional (S, c) float64.
        name
            Label in messages and results.
        allowed
            (S, A) bool, which actions a state has; by default those whose rows of P hold anything
            but zeros or NaN. Of the others P and r are not read.
        outcomes
            Optional (S, c) float64.
        truncated
            Optional (S,) bool.

        Raises
        ------
        ProblemError
            If the shapes, values or sums are not those of an MDP.
        """
        given: dict[str, Any] = {
            "mu0": mu0,
            "gamma": gamma,
            "terminal": terminal,
            "features": features,
            "coordinates": coordinates,
            "outcomes": outcomes,
            "truncated": truncated,
            "name": name,
        }
        slots, exists = slots_from(P, r, terminal, allowed)
        return cls._from_slots(*slots, **given, allowed=exists)

    @classmethod
    def _from_slots(
        cls, successor: NDArray[np.int32], probability: FloatArray, reward: FloatArray, **given: Any
    ) -> Self:
        """An MDP whose other arrays are as users give them."""
        arrays = {
            key: None if given[key] is None else np.asarray(given[key])
            for key in ("mu0", "terminal", *_OPTIONAL)
        }
        return cls(successor, probability, reward, **given | arrays)

    @classmethod
    def from_mdptoolbox(
        cls,
        P: ArrayLike | Sequence[Any],
        R: ArrayLike | Sequence[Any],
        gamma: float,
        mu0: ArrayLike | None = None,
        terminal: ArrayLike | None = None,
        name: str = "mdp",
    ) -> Self:
        """An MDP from P and R as MDPtoolbox has them in Python, with actions first.

        Parameters
        ----------
        P
            (A, S, S) float64, P(s' | s, a), or A matrices (S, S), dense or sparse. Rows sum to 1,
            or are divided by their sums, as ``from_arrays`` says.
        R
            (S,), (S, A) or (A, S, S) float64, reward, or A matrices (S, S), dense or sparse.
        gamma
            Discount in [0, 1].
        mu0
            (S,) float64, start distribution, by default uniform on the states that are not
            terminal.
        terminal
            (S,) bool, default none.
        name
            Label in messages and results.

        Raises
        ------
        ProblemError
            If the shapes, values or sums are not those of an MDP.
        """
        table, r = by_state(P, R)
        slots, exists = slots_from(table, r, terminal, None, lambda at: f"P[{at[1]}, {at[0]}]")
        S = len(slots[0])
        if mu0 is None:
            ends = np.zeros(S, bool) if terminal is None else np.asarray(terminal, bool)
            mu0 = np.full(S, 1 / S) if ends.shape != (S,) or ends.all() else ~ends / (~ends).sum()
        return cls(
            *slots,
            mu0=np.asarray(mu0),
            gamma=gamma,
            terminal=terminal if terminal is None else np.asarray(terminal),  # type: ignore[arg-type]
            name=name,
            allowed=exists,
        )

    @classmethod
    def from_npz(cls, path: str | Path, gamma: float | None = None) -> Self:
        """An MDP from an ``.npz`` file with P, r, mu0 or successor, probability, reward, mu0.

        The file may also hold ``gamma``, ``terminal``, ``features``, ``coordinates``, ``allowed``,
        ``outcomes`` and ``truncated``; ``gamma`` given here wins.
        """
        arrays = arrays_in(Path(path))
        discount = arrays.pop("gamma", None) if gamma is None else gamma
        arrays.pop("gamma", None)
        if discount is None:
            raise ProblemError(f"{path} holds no gamma and none was given")
        builder = cls.from_arrays if "P" in arrays else cls
        needed = (
            ("P", "r", "mu0") if "P" in arrays else ("successor", "probability", "reward", "mu0")
        )
        allowed = {*needed, "terminal", *_OPTIONAL}
        missing, extra = sorted(set(needed) - arrays.keys()), sorted(arrays.keys() - allowed)
        if missing or extra:
            raise ProblemError(f"{path}: missing {missing}, unknown {extra}; needs {list(needed)}")
        if np.size(discount) != 1 or np.asarray(discount).dtype.kind not in "fiu":
            raise ProblemError(f"{path}: gamma is {discount!r}, must be one number in [0, 1]")
        return builder(**arrays, gamma=float(np.ravel(discount)[0]), name=Path(path).stem)

    def to_npz(self, path: str | Path) -> None:
        """Write the record so that ``from_npz`` reads the same MDP back."""
        arrays: dict[str, Any] = {key: getattr(self, key) for key in _ARRAYS}
        for key in _OPTIONAL:
            if getattr(self, key) is not None:
                arrays[key] = getattr(self, key)
        np.savez_compressed(path, gamma=np.float64(self.gamma), **arrays)

    def paying(self, reward: FloatArray) -> Self:
        """A copy of the problem with other rewards (S, A, B), 0 where it is terminal.

        Rewards (m, S, A, B) pay m policies differently; only rollouts take those.
        """
        other = copy(self)
        for name in ("expected_reward", "reward_size", "digest"):
            other.__dict__.pop(name, None)
        own = np.where(self.terminal[:, None, None], 0.0, reward)
        own.setflags(write=False)
        object.__setattr__(other, "reward", own)
        return other

    def starting(self, state: int) -> Self:
        """A copy of the problem in which every episode begins in one state, not a terminal one."""
        other = copy(self)
        for name in ("reachable", "digest"):
            other.__dict__.pop(name, None)
        mu0 = np.zeros(self.n_states)
        mu0[state] = 1.0
        mu0.setflags(write=False)
        object.__setattr__(other, "mu0", mu0)
        return other

    @property
    def facts(self) -> Mapping[str, Any]:
        """Sizes and discount by the names of the dataset's coordinates."""
        return {"n_states": self.n_states, "n_actions": self.n_actions, "gamma": self.gamma}

    @property
    def numbers(self) -> int:
        """Number of slots S·A·B."""
        return self.probability.size

    @property
    def dimensions(self) -> FiniteDimensions:
        """How large the problem is."""
        S, A, B = self.probability.shape
        return FiniteDimensions(
            S,
            A,
            B,
            n_features=0 if self.features is None else self.features.shape[2],
            n_coordinates=0 if self.coordinates is None else self.coordinates.shape[1],
        )

    @property
    def n_states(self) -> int:
        """Number of states S, terminal ones included."""
        return self.probability.shape[0]

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        return self.probability.shape[1]

    @property
    def one_start(self) -> bool:
        """Whether all episodes begin in one state."""
        return np.count_nonzero(self.mu0) == 1

    @property
    def choices(self) -> BoolArray:
        """Which actions a state has, (S, A)."""
        everything = np.ones((self.n_states, self.n_actions), bool)
        return everything if self.allowed is None else self.allowed

    @property
    def branching(self) -> int:
        """Number of slots B per state-action pair."""
        return self.probability.shape[2]

    @cached_property
    def expected_reward(self) -> FloatArray:
        """r(s, a) = Σ_s' P(s'|s,a) r(s,a,s'), shape (S, A), unit reward."""
        table = self.mean(self.reward)
        table.setflags(write=False)
        return table

    @cached_property
    def reward_size(self) -> FloatArray:
        """Σ_s' P(s'|s,a) |r(s,a,s')|, shape (S, A), unit reward: nothing cancels in it."""
        table = self.mean(np.abs(self.reward))
        table.setflags(write=False)
        return table

    @cached_property
    def transitions(self) -> sparse.csr_array:
        """P(s' | s, a) as a sparse (S·A, S) matrix; rows of terminal states are empty."""
        S, A, B = self.probability.shape
        live = np.repeat(~self.terminal, A)
        data = (self.probability.reshape(S * A, B) * live[:, None]).ravel()
        rows = np.arange(0, S * A * B + 1, B)
        # A copy, because adding up duplicates works in place.
        matrix = sparse.csr_array((data, self.successor.ravel(), rows), shape=(S * A, S), copy=True)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return matrix

    @cached_property
    def reachable(self) -> BoolArray:
        """Which states some policy visits, (S,); terminal ones count where episodes end there."""
        moves = self.transitions.tocoo()
        shape = (self.n_states + 1, self.n_states + 1)
        # One more node, from which every start is a step away.
        starts = np.flatnonzero(self.mu0)
        rows = np.append(moves.row // self.n_actions, np.full(starts.size, self.n_states))
        columns = np.append(moves.col, starts)
        graph = sparse.csr_array((np.ones(rows.size), (rows, columns)), shape=shape)
        found = sparse.csgraph.breadth_first_order(graph, self.n_states, return_predecessors=False)
        reached = np.zeros(self.n_states + 1, bool)
        reached[found] = True
        return reached[:-1]

    @cached_property
    def digest(self) -> str:
        """Hash of everything that defines the MDP, for provenance."""
        state = blake2b(np.float64(self.gamma).tobytes(), digest_size=16)
        for name in _ARRAYS:
            state.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        if self.features is not None:
            state.update(self.features.tobytes())
        if self.allowed is not None:
            state.update(b"allowed" + self.allowed.tobytes())
        if self.coordinates is not None:
            # The name tells coordinates from features of the same bytes.
            state.update(b"coordinates" + self.coordinates.tobytes())
        if self.outcomes is not None:
            state.update(b"outcomes" + self.outcomes.tobytes())
        if self.truncated is not None:
            state.update(b"truncated" + self.truncated.tobytes())
        return state.hexdigest()

    def mean(self, table: FloatArray) -> FloatArray:
        """Expectation over the successor of a (S, A, B) table, shape (S, A)."""
        weighted: FloatArray = np.einsum("sab,sab->sa", self.probability, table)
        return weighted

    def __repr__(self) -> str:
        return (
            f"<FiniteMDP {self.name}: {self.n_states} states ({int(self.terminal.sum())} terminal),"
            f" {self.n_actions} actions, {self.branching} slots, gamma={self.gamma:g}>"
        )

    def _require_termination(self) -> None:
        """Raise ProblemError unless every state leads to a terminal one, as γ = 1 needs."""
        if not self.terminal.any():
            raise ProblemError(
                "gamma is 1 but no state is terminal; use gamma < 1 or mark terminal states"
            )
        S, A, _ = self.probability.shape
        source, target = self.transitions.nonzero()
        source = source // A
        # One extra node stands for "terminated"; search backwards from it.
        ends = np.flatnonzero(self.terminal)
        rows = np.concatenate([target, np.full(ends.size, S)])
        columns = np.concatenate([source, ends])
        graph = sparse.csr_array((np.ones(rows.size), (rows, columns)), shape=(S + 1, S + 1))
        reached = sparse.csgraph.breadth_first_order(graph, S, return_predecessors=False)
        trapped = np.setdiff1d(np.arange(S), reached)
        if trapped.size:
            raise ProblemError(
                f"gamma is 1 but state {trapped[0]} ({trapped.size} in all) never reaches a"
                " terminal state; use gamma < 1 or make every state lead to a terminal one"
            )


_ARRAYS = ("successor", "probability", "reward", "mu0", "terminal")
_OPTIONAL = ("features", "coordinates", "allowed", "outcomes", "truncated")
