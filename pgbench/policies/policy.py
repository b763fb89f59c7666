"""What every policy offers: a pull-back and a start; those of finite problems a table besides.

A rollout needs the table π (S, A). An estimator needs the pull-back, the linear map from a weight
table W to Σ_{s,a} W(s,a) ∇_θ log π(s,a). Nothing else of a policy is visible to them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.parameters import bind
from pgbench.declared.registry import Made
from pgbench.problems import FiniteMDP, NotApplicable, Problem
from pgbench.rounding import FUNCTION, UNIT

States = NDArray[np.integer[Any]]

ROOM = 1 + 1e-6
"""For the rounding of the bounds themselves."""


class Parameterised(ABC):
    """A differentiable family of policies: θ, and how weights of what was seen become a gradient.

    Weights are a table per estimate: W (S, A) over pairs for finite problems, moments of states and
    noise for continuous ones. The pull-back is linear in them.
    """

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Length d of θ."""

    @abstractmethod
    def pull_back(
        self, theta: FloatArray, weights: FloatArray, states: States | None = None
    ) -> FloatArray:
        """What weights (..., r, c) make of the scores, (..., d).

        With ``states`` (n,), distinct, weights hold the rows (..., n, c) of these; all others are
        zero.
        """

    def local_pull_back(self, theta: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """How a row of weights becomes a row of the gradient, where θ reads as (S, A), or None.

        scale and share (S, A): the row w becomes h - share Σ_a h_a with h = scale ⊙ w.
        """
        return None

    def retract(self, thetas: FloatArray) -> FloatArray:
        """The admissible θ nearest to each of (m, d): itself, unless θ is constrained."""
        return thetas

    def given(self, values: Sequence[float]) -> FloatArray:
        """θ (d,) from its values; ValueError if they do not fit."""
        return self.check(values)

    def initial(self, seed: int = 0, init: str = "normal", scale: float = 1.0) -> FloatArray:
        """A starting θ (d,): ``scale`` times standard normals drawn from ``seed``, or zeros."""
        if init == "zeros":
            return np.zeros(self.n_parameters)
        if init == "normal":
            return scale * np.random.default_rng(seed).standard_normal(self.n_parameters)
        raise ValueError(f"init is {init!r}, must be normal or zeros")

    def check(self, theta: Any) -> FloatArray:
        """θ as a float64 vector; ValueError names a wrong shape or a value that is not finite."""
        if np.iscomplexobj(theta):
            raise ValueError("theta holds complex numbers, must hold real ones")
        array = np.asarray(theta, dtype=np.float64)
        if array.shape != (self.n_parameters,):
            raise ValueError(f"theta has shape {array.shape}, must be ({self.n_parameters},)")
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            raise ValueError(f"theta[{bad[0]}] is {array[bad[0]]}, must be finite")
        return array

    def tangent(self, direction: FloatArray) -> FloatArray:
        """The part of directions (..., d) along which θ may move: all, unless θ is constrained."""
        return direction

    def local_scores(self, theta: FloatArray) -> FloatArray | None:
        """ψ(s, a) with respect to the parameters of state s alone, shape (S, A, k), or None.

        Only for policies whose every parameter belongs to one state, so that θ reads as (S, k) and
        ψ(s, a) is zero outside row s; None for all others.
        """
        return None


class Policy(Parameterised):
    """A differentiable family of policies over finite states and actions."""

    allowed: BoolArray | None
    """Which actions a state has, (S, A), or None where every state has all.

    What a state does not have has probability 0, and nothing of it a derivative: scores are zero.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Numbers of states and actions (S, A)."""

    @abstractmethod
    def probabilities(self, theta: FloatArray) -> FloatArray:
        """π(s, a), shape (S, A), from θ (d,)."""

    @abstractmethod
    def pull_back(
        self, theta: FloatArray, weights: FloatArray, states: States | None = None
    ) -> FloatArray:
        """Σ_{s,a} W(s,a) ∇_θ log π(s,a), shape (..., d), from W (..., S, A).

        With ``states`` (n,), distinct, W is (..., n, A) and holds the rows of these states; all
        others are zero.
        """

    @abstractmethod
    def push_forward(self, theta: FloatArray, direction: FloatArray) -> FloatArray:
        """Derivative of log π along ``direction`` (d,), shape (S, A): pull_back's transpose."""

    @abstractmethod
    def table_error(self, theta: FloatArray) -> float:
        """Bound on the relative rounding error of π(s, a), where that is 2.3e-308 at least."""

    @abstractmethod
    def pull_back_error(self, theta: FloatArray, weights: FloatArray, error: FloatArray) -> float:
        """Bound on the length of the error of ``pull_back`` of weights (S, A).

        ``error`` (S, A) bounds that of the weights; what the pull-back itself rounds comes to it.
        """

    def derivative(
        self, theta: FloatArray, worth: FloatArray, visits: FloatArray | None = None
    ) -> FloatArray:
        """Σ_s d(s) Σ_a C(s,a) ∇_θ π(s,a) (d,), from the worth C (S, A) of pairs and visits d (S,).

        With C = Q, or A, that is ∇J (Sutton et al. 2000, Theorem 1). It is the pull-back of d π C,
        unless actions that are never taken have a say in it: see ``unseen``. Visits that are not
        given count as 1.
        """
        pi = self.probabilities(theta)
        return self.pull_back(theta, (pi if visits is None else visits[:, None] * pi) * worth)

    def derivative_error(self, theta: FloatArray, worth: FloatArray, error: FloatArray) -> float:
        """Bound on the length of the error of ``derivative``, ``error`` (S, A) being that of C."""
        pi, relative = self.probabilities(theta), self.table_error(theta) + 4 * UNIT
        weights = pi * worth
        return self.pull_back_error(
            theta, weights, pi * error * (1 + relative) + relative * np.abs(weights)
        )

    def unseen(self, theta: FloatArray) -> BoolArray | None:
        """Pairs (S, A) that are never taken and have a say in ∇J all the same, or None.

        There are none where θ moves freely: what has probability zero then has no derivative.
        """
        return None

    def each_probabilities(self, thetas: FloatArray) -> FloatArray:
        """π(s, a) of m policies θ (m, d), shape (m, S, A)."""
        return np.stack([self.probabilities(theta) for theta in thetas])

    def each_pull_back(self, thetas: FloatArray, weights: FloatArray) -> FloatArray:
        """The pull-backs (m, d) of weights (m, S, A), each at its own θ of (m, d)."""
        pairs = zip(thetas, weights, strict=True)
        return np.stack([self.pull_back(theta, table) for theta, table in pairs])

    def each_push_forward(self, thetas: FloatArray, directions: FloatArray) -> FloatArray:
        """Derivatives of log π (m, S, A) along directions (m, d), each at its own θ of (m, d)."""
        pairs = zip(thetas, directions, strict=True)
        return np.stack([self.push_forward(theta, direction) for theta, direction in pairs])

    def local_solve(self, theta: FloatArray, g: FloatArray) -> FloatArray | None:
        """F_s† g_s of each state (S, k), where it has a closed form, else None.

        F_s = E_{a~π(s,·)}[ψ ψᵀ] in the parameters of state s alone. Rows of g (S, k) are in its
        range and, in every closed form here, sum to zero.
        """
        return None

    def scores(self, theta: FloatArray) -> FloatArray:
        """ψ(s, a) = ∇_θ log π(s, a) as a table (S, A, d); S·A·d numbers, for small problems."""
        S, A = self.shape
        local = self.local_scores(theta)
        if local is None:
            tables = np.eye(S * A).reshape(S * A, S, A)
            return self.pull_back(theta, tables).reshape(S, A, self.n_parameters)
        table = np.zeros((S, A, S, local.shape[2]))
        states = np.arange(S)
        table[states, :, states] = local
        return table.reshape(S, A, self.n_parameters)


@dataclass(frozen=True, eq=False)
class Tabular(Policy):
    """A policy with one parameter per state and action: θ (S·A,), read row by row.

    Parameters of actions that a state does not have change nothing.
    """

    n_states: int
    n_actions: int
    allowed: BoolArray | None = None

    def __post_init__(self) -> None:
        check_allowed(self.allowed, self.shape)

    def __eq__(self, other: object) -> bool:
        """Whether both are of one kind, size and mask."""
        if not isinstance(other, Tabular) or type(self) is not type(other):
            return NotImplemented
        own, others = (existing(np.ones(p.shape), p.allowed) for p in (self, other))
        return np.array_equal(own, others)

    def __hash__(self) -> int:
        """Of kind and size."""
        return hash((type(self), self.shape))

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of states and actions (S, A)."""
        return self.n_states, self.n_actions

    @property
    def n_parameters(self) -> int:
        """d = S·A."""
        return self.n_states * self.n_actions

    @abstractmethod
    def local_pull_back(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """scale and share (S, A): a row of weights w becomes h - share Σ_a h_a, h = scale ⊙ w.

        Like ``probabilities``, ``push_forward`` and ``local_solve`` of these policies it takes any
        number of θ (..., d) at once.
        """

    def table(self, theta: FloatArray) -> FloatArray:
        """θ (..., d) as (..., S, A)."""
        return theta.reshape(*theta.shape[:-1], *self.shape)

    def given(self, values: Sequence[float]) -> FloatArray:
        """θ (d,) from its values, or from the row of one state, which all states then share."""
        row = np.asarray(values, np.float64)
        return self.check(np.tile(row, self.n_states) if row.size == self.n_actions else row)

    def each_probabilities(self, thetas: FloatArray) -> FloatArray:
        """π(s, a) of m policies θ (m, d), shape (m, S, A)."""
        return self.probabilities(thetas)

    def each_push_forward(self, thetas: FloatArray, directions: FloatArray) -> FloatArray:
        """Derivatives of log π (m, S, A) along directions (m, d), each at its own θ of (m, d)."""
        return self.push_forward(thetas, directions)

    def each_pull_back(self, thetas: FloatArray, weights: FloatArray) -> FloatArray:
        """The pull-backs (m, d) of weights (m, S, A), each at its own θ of (m, d)."""
        return self.pull_back(thetas, weights)

    def pull_back(
        self, theta: FloatArray, weights: FloatArray, states: States | None = None
    ) -> FloatArray:
        """h - share Σ_a h_a with h = scale ⊙ W, flattened: shape (..., S·A)."""
        scale, share = self.local_pull_back(theta)
        rows = slice(None) if states is None else states
        scaled = scale[rows] * weights
        scaled -= share[rows] * sum_actions(scaled)
        if states is not None:
            every = np.zeros((*weights.shape[:-2], *self.shape))
            every[..., states, :] = scaled
            scaled = every
        return scaled.reshape(*weights.shape[:-2], self.n_parameters)

    def pull_back_error(self, theta: FloatArray, weights: FloatArray, error: FloatArray) -> float:
        """Bound on the length of the error of ``pull_back`` of weights (S, A)."""
        scale, share = self.local_pull_back(theta)
        relative = self.table_error(theta) + (self.n_actions + 8) * UNIT
        size = scale * np.abs(weights)
        own = scale * error + relative * size
        own += share * sum_actions(own + relative * size)
        return float(np.linalg.norm(own)) * ROOM


@dataclass(frozen=True)
class PolicyKind(Made):
    """A named kind of policy and the function that makes it for a problem of class ``on``."""

    name: str
    maker: Callable[..., Parameterised]
    formula: str
    reference: str
    on: type[Problem] = FiniteMDP

    leading = 1

    def make(self, mdp: Problem, **given: Any) -> Any:
        """The policy on a problem; ValueError lists what is wrong with the parameters.

        NotApplicable for a problem of another class.
        """
        values = bind(self.name, self.parameters, given)
        if not isinstance(mdp, self.on):
            raise NotApplicable(
                f"{self.name} is a policy for {self.on.kind} problems, {mdp.name} is {mdp.kind}"
            )
        return self.maker(mdp, **values)


def sum_actions(table: FloatArray) -> FloatArray:
    """Σ_a of a (..., A) table, shape (..., 1), added up action by action.

    NumPy's own reduction over a short last axis takes several times as long.
    """
    total = table[..., :1].copy()
    for a in range(1, table.shape[-1]):
        total += table[..., a : a + 1]
    return total


def check_allowed(allowed: BoolArray | None, shape: tuple[int, int]) -> None:
    """ValueError if a mask of actions does not fit, or leaves a state without any."""
    if allowed is None:
        return
    if np.shape(allowed) != shape or np.asarray(allowed).dtype != bool:
        raise ValueError(f"allowed has shape {np.shape(allowed)}, must be {shape} bool")
    if not allowed.any(axis=1).all():
        raise ValueError(f"allowed leaves state {int(np.argmin(allowed.any(axis=1)))} no action")


def existing(table: FloatArray, allowed: BoolArray | None) -> FloatArray:
    """The table (..., S, A), zero at actions that a state does not have."""
    return table if allowed is None else np.where(allowed, table, 0.0)


def softmax(logits: FloatArray, allowed: BoolArray | None = None) -> FloatArray:
    """exp(x_a) / Σ_b exp(x_b) along the last axis, for any finite input; over what is allowed."""
    if allowed is not None:
        logits = np.where(allowed, logits, -np.inf)
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / sum_actions(shifted)


def softmax_error(
    logits: FloatArray,
    error: FloatArray | float = 0.0,
    allowed: BoolArray | None = None,
) -> float:
    """Bound on the relative rounding error of ``softmax`` of logits whose own error is bounded."""
    if allowed is not None:
        # The largest in place of what does not count: the spread is that of the others.
        largest = np.where(allowed, logits, -np.inf).max(axis=-1, keepdims=True)
        logits = np.where(allowed, logits, largest)
    spread = float(np.ptp(logits, axis=-1).max())
    wrong = float(np.max(error)) + spread * UNIT
    return float(np.expm1(2 * wrong)) + 2 * FUNCTION + (logits.shape[-1] + 2) * UNIT


def centre_error(
    pi: FloatArray, weights: FloatArray, error: FloatArray, relative: float
) -> FloatArray:
    """Bound on the error of ``centre`` entry by entry, π being right to ``relative``."""
    relative += (pi.shape[-1] + 8) * UNIT
    own = error + relative * np.abs(weights)
    return own + pi * sum_actions(own + relative * np.abs(weights))


def centre(pi: FloatArray, weights: FloatArray) -> FloatArray:
    """D(s,a) = W(s,a) - π(s,a) Σ_b W(s,b): the pull-back of a softmax to its logits."""
    return weights - pi * sum_actions(weights)
