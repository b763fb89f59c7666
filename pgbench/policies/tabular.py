"""Policies with one parameter per state and action."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.policies.actions import check_allowed, existing, sum_actions
from pgbench.policies.policy import ROOM, Policy, States
from pgbench.rounding import UNIT

WORTH_COMPILING = 2**16
"""Weights from which on one compiled pass, with the same numbers, is worth loading it."""


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
        """Hash of kind and size."""
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
        if states is not None:
            scale, share = scale[states], share[states]
        if scale.ndim == 2 and weights.size > WORTH_COMPILING:
            scaled = _pulled_back(scale, share, weights)
        else:
            scaled = scale * weights
            scaled -= share * sum_actions(scaled)
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


def _pulled_back(scale: FloatArray, share: FloatArray, weights: FloatArray) -> FloatArray:
    """h - share Σ_a h_a with h = scale ⊙ W of many tables W (..., rows, A)."""
    from pgbench.kernels.local import pull_back_rows

    flat = np.ascontiguousarray(weights, np.float64).reshape(-1, *scale.shape)
    out = np.empty(flat.shape)
    pull_back_rows(scale, share, flat, out)
    return out.reshape(weights.shape)
