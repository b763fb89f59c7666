"""A batch of trajectories as arrays, and what estimators compute from one.

Arrays have the shape (m, n, T): m replicates of n trajectories of at most T steps. Where ``mask``
is false no step is taken; states, actions, successors and rewards are zero there. Functions of
states and actions are tables for finite problems, and quadratic forms for linear-quadratic ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.problems.quadratic import Quadratic
from pgbench.process.process import GaussianProcess, Process
from pgbench.process.responses import Responses


@dataclass(frozen=True, eq=False)
class Trajectories(ABC):
    """m replicates of n trajectories of at most T steps, of any class of problems.

    Attributes
    ----------
    process
        What was simulated.
    rewards
        (m, n, T) float64, r_t.
    mask
        (m, n, T) bool, whether step t was taken.
    """

    process: Any
    rewards: FloatArray
    mask: BoolArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(m, n, T)."""
        m, n, T = self.rewards.shape
        return m, n, T

    @cached_property
    def lengths(self) -> IntArray:
        """Steps of each trajectory, (m, n)."""
        return self.mask.sum(axis=2)

    @cached_property
    def to_go(self) -> FloatArray:
        """Discounted rewards from step t on, Q̂_t = Σ_{l≥t} γ^{l-t} r_l, (m, n, T)."""
        return self.backward(self.rewards, self.process.mdp.gamma)

    @cached_property
    def returns(self) -> FloatArray:
        """R(τ) = Σ_t γ^t r_t, (m, n)."""
        return self.to_go[:, :, 0]

    @property
    @abstractmethod
    def endings(self) -> tuple[BoolArray, FloatArray | None]:
        """Whether trajectories were cut (m, n), and what is said of how they ended (m, n, c)."""

    def responses(self, group_size: int, limit: int) -> Responses:
        """The trajectories as a whole, (m, P, G) in groups; ``limit`` is the most steps of one."""
        m, n, _ = self.shape
        groups = m, n // group_size, group_size
        truncated, outcomes = self.endings
        return Responses(
            returns=self.returns.reshape(groups),
            lengths=self.lengths.reshape(groups).astype(np.float64),
            truncated=truncated.reshape(groups),
            outcomes=None if outcomes is None else outcomes.reshape(*groups, -1),
            limit=limit,
        )

    @abstractmethod
    def at(self, table: Any) -> FloatArray:
        """A function of state and action at the pairs visited, (m, n, T); 0 where no step is."""

    @abstractmethod
    def value(self, v: Any) -> FloatArray:
        """A function v of the state at the states visited, (m, n, T); 0 where no step is taken."""

    @abstractmethod
    def next_value(self, v: Any) -> FloatArray:
        """A function v of the state at s_{t+1}, (m, n, T); 0 where no step is taken."""

    @abstractmethod
    def tables(self, weights: ArrayLike) -> FloatArray:
        """The weights (m, r, c) whose pull-back is Σ_t weights_t ψ_t averaged over the batch.

        weights broadcasts to (m, n, T): one per step, or per trajectory with a last axis of 1.
        """

    def td_errors(self, v: Any) -> FloatArray:
        """r_t + γ v(s_{t+1}) - v(s_t), (m, n, T), of a function v of the state."""
        return self.rewards + self.process.mdp.gamma * self.next_value(v) - self.value(v)

    def backward(self, signal: FloatArray, decay: ArrayLike) -> FloatArray:
        """x_t = signal_t + decay_t x_{t+1} with x_T = 0, (m, n, T).

        signal (m, n, T), zero where no step is taken; decay (m, n, T) or scalar.
        """
        x = np.array(signal)
        factor = np.broadcast_to(np.asarray(decay, np.float64), x.shape)
        for t in range(x.shape[2] - 2, -1, -1):
            x[:, :, t] += factor[:, :, t] * x[:, :, t + 1]
        return x

    def forward(self, factor: ArrayLike) -> FloatArray:
        """D_t = Π_{l<t} factor_l, (m, n, T) with D_0 = 1, for a factor (m, n, T) or scalar."""
        D = np.empty(self.rewards.shape)
        D[:, :, 0] = 1.0
        factors = np.broadcast_to(np.asarray(factor, np.float64), D.shape)
        np.cumprod(factors[:, :, :-1], axis=2, out=D[:, :, 1:])
        return D

    def discounts(self, delta: float | None = None) -> FloatArray:
        """δ^t, (T,); by default δ is γ."""
        base = self.process.mdp.gamma if delta is None else delta
        return np.asarray(base ** np.arange(self.shape[2]), np.float64)

    def alone(self) -> Self:
        """Every trajectory as a replicate of its own, (m·n, 1, T)."""
        return self.mapped(lambda x: x.reshape(-1, 1, *x.shape[2:]))

    def select(self, trajectories: slice | IntArray) -> Self:
        """A batch of only some of each replicate's trajectories."""
        return self.mapped(lambda x: x[:, trajectories])

    def part(self, replicates: slice) -> Self:
        """A batch of only some of the replicates."""
        return self.mapped(lambda x: x[replicates])

    def mapped(self, function: Callable[[Any], Any]) -> Self:
        """A batch with a function applied to each of the arrays."""
        names = [f.name for f in fields(self) if f.name != "process"]
        return replace(self, **{name: function(getattr(self, name)) for name in names})


@dataclass(frozen=True, eq=False)
class Batch(Trajectories):
    """m replicates of n trajectories of at most T steps of a finite problem.

    Attributes
    ----------
    states, actions, successors
        (m, n, T) int64, s_t, a_t and s_{t+1}.
    """

    process: Process
    states: IntArray
    actions: IntArray
    successors: IntArray

    @property
    def endings(self) -> tuple[BoolArray, FloatArray | None]:
        """Whether trajectories were cut (m, n), and what is said of how they ended (m, n, c)."""
        mdp, last = self.process.mdp, np.maximum(self.lengths - 1, 0)[:, :, None]
        final = np.take_along_axis(self.successors, last, axis=2)[:, :, 0]
        cut = ~mdp.terminal[final]
        if mdp.truncated is not None:
            cut |= mdp.truncated[final]
        return cut, None if mdp.outcomes is None else mdp.outcomes[final]

    @cached_property
    def pairs(self) -> IntArray:
        """Flat indices s_t·A + a_t, (m, n, T)."""
        return self.states * self.process.mdp.n_actions + self.actions

    def at(self, table: ArrayLike) -> FloatArray:
        """A table (S, A) or (m, S, A) at the pairs visited, (m, n, T); 0 where no step is taken."""
        return self._pick(np.asarray(table), 2, self.states, self.actions)

    def value(self, v: ArrayLike) -> FloatArray:
        """v (S,) or (m, S) at the states visited, (m, n, T); 0 where no step is taken."""
        return self._pick(np.asarray(v), 1, self.states)

    def next_value(self, v: ArrayLike) -> FloatArray:
        """v (S,) or (m, S) at s_{t+1}, (m, n, T); 0 where no step is taken."""
        return self._pick(np.asarray(v), 1, self.successors)

    def _pick(self, table: FloatArray, ndim: int, *index: IntArray) -> FloatArray:
        if table.ndim > ndim:
            index = (np.arange(table.shape[0])[:, None, None], *index)
        return np.where(self.mask, table[index], 0.0)

    def tables(self, weights: ArrayLike) -> FloatArray:
        """(m, S, A): mean over trajectories of Σ_t weights_t at the pairs visited.

        weights broadcasts to (m, n, T): one per step, or per trajectory with a last axis of 1. The
        pull-back is Σ_t w_t ψ_t averaged over the batch.
        """
        S, A = self.process.mdp.n_states, self.process.mdp.n_actions
        return self._gather(weights, self.pairs, S * A).reshape(-1, S, A)

    def state_tables(self, weights: ArrayLike) -> FloatArray:
        """(m, S): mean over trajectories of Σ_t weights_t at the states visited."""
        return self._gather(weights, self.states, self.process.mdp.n_states)

    def _gather(self, weights: ArrayLike, place: IntArray, size: int) -> FloatArray:
        m, n, _ = self.shape
        w = np.where(self.mask, weights, 0.0)
        rows = place + size * np.arange(m)[:, None, None]
        total = np.bincount(rows.ravel(), w.ravel(), minlength=m * size)
        return np.asarray(total.reshape(m, size) / n, np.float64)


@dataclass(frozen=True, eq=False)
class QuadraticBatch(Trajectories):
    """m replicates of n trajectories of T steps of a linear-quadratic problem.

    Attributes
    ----------
    z
        (m, n, T+1, n_x+1+m_u) float64, (x_t, 1, u_t); the last one holds x_T, its action is zero.
    noise
        (m, n, T, m_u) float64, e_t = u_t less its mean.
    ratios
        (m, n, T) float64, density of the policy over that of what drew the action.
    """

    process: GaussianProcess
    z: FloatArray
    noise: FloatArray
    ratios: FloatArray

    @classmethod
    def of(
        cls, process: GaussianProcess, z: FloatArray, noise: FloatArray, ratios: FloatArray
    ) -> "QuadraticBatch":
        """A batch whose rewards follow from its states and actions, with every step taken."""
        rewards = process.mdp.reward(z[:, :, :-1])
        mask = np.ones(rewards.shape, bool)
        return cls(process, rewards, mask, z=z, noise=noise, ratios=ratios)

    @property
    def endings(self) -> tuple[BoolArray, FloatArray | None]:
        """That every trajectory was cut (m, n), and that nothing is said of it."""
        return np.ones(self.shape[:2], bool), None

    @property
    def states(self) -> FloatArray:
        """x_t (m, n, T, n_x)."""
        return self.z[:, :, :-1, : self.process.mdp.n]

    @property
    def actions(self) -> FloatArray:
        """u_t (m, n, T, m_u)."""
        return self.z[:, :, :-1, self.process.mdp.n + 1 :]

    @property
    def lifted(self) -> FloatArray:
        """x̃_t = (x_t, 1), (m, n, T, n_x+1)."""
        return self.z[:, :, :-1, : self.process.mdp.n + 1]

    def at(self, table: Quadratic) -> FloatArray:
        """A form at (x_t, u_t), (m, n, T)."""
        return table(self.z[:, :, :-1])

    def value(self, v: Quadratic) -> FloatArray:
        """A form of the state at x_t, (m, n, T)."""
        return v(self.z[:, :, :-1])

    def next_value(self, v: Quadratic) -> FloatArray:
        """A form of the state at x_{t+1}, (m, n, T)."""
        return v(self.z[:, :, 1:])

    def tables(self, weights: ArrayLike) -> FloatArray:
        """(m, m_u+1, n_x+1+m_u): mean over trajectories of Σ_t weights_t (e_t, 1)(x̃_t, e_t)ᵀ."""
        w = np.broadcast_to(np.asarray(weights, np.float64), self.shape)[..., None]
        ones = np.ones((*self.shape, 1))
        return self.moments(w * np.concatenate([self.noise, ones], axis=3), self.noise)

    def moments(self, left: FloatArray, noise: FloatArray) -> FloatArray:
        """Mean over trajectories of Σ_t left_t (x̃_t, noise_t)ᵀ, for left (m, n, T, k)."""
        m, n, T = self.shape
        right = np.concatenate([self.lifted, noise], axis=3).reshape(m, n * T, -1)
        total = np.swapaxes(left.reshape(m, n * T, -1), 1, 2) @ right
        return np.asarray(total / n, np.float64)
