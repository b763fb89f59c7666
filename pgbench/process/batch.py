"""A batch of trajectories as arrays, and what estimators compute from one.

Arrays have the shape (m, n, T): m replicates of n trajectories of at most T steps. Where ``mask``
is false no step is taken; states, actions, successors and rewards are zero there. Functions of
states and actions are tables for finite problems, and quadratic forms for linear-quadratic ones.

A batch of a finite problem holds which pair and which slot every step took, and makes all else of
them when it is asked for.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from pgbench.arrays import BoolArray, FloatArray, IntArray, SmallIntArray
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
    """

    process: Any

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(m, n, T)."""

    @property
    @abstractmethod
    def rewards(self) -> FloatArray:
        """r_t, (m, n, T)."""

    @property
    @abstractmethod
    def mask(self) -> BoolArray:
        """Whether step t was taken, (m, n, T)."""

    @property
    @abstractmethod
    def lengths(self) -> IntArray:
        """Steps of each trajectory, (m, n)."""

    @property
    @abstractmethod
    def to_go(self) -> FloatArray:
        """Discounted rewards from step t on, Q̂_t = Σ_{l≥t} γ^{l-t} r_l, (m, n, T)."""

    @property
    @abstractmethod
    def returns(self) -> FloatArray:
        """R(τ) = Σ_t γ^t r_t, (m, n)."""

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
        from pgbench.kernels.recorded import accumulate_backward

        x = np.empty(self.shape)
        accumulate_backward(np.ascontiguousarray(signal), self._factors(decay), x)
        return x

    def forward(self, factor: ArrayLike) -> FloatArray:
        """D_t = Π_{l<t} factor_l, (m, n, T) with D_0 = 1, for a factor (m, n, T) or scalar."""
        from pgbench.kernels.recorded import multiply_forward

        D = np.empty(self.shape)
        multiply_forward(self._factors(factor), D)
        return D

    def _factors(self, factor: ArrayLike) -> FloatArray:
        """Factors (m, n, T), or (1, 1, 1) of a scalar; ValueError for another shape."""
        found = np.ascontiguousarray(factor, np.float64)
        if found.shape not in (self.shape, (), (1,)):
            raise ValueError(f"a factor has shape {found.shape}, must be {self.shape} or a number")
        return found if found.ndim == 3 else found.reshape(1, 1, 1)

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
    pairs, slots
        (m, n, T) int32, flat indices s_t·A + a_t, and (s_t·A + a_t)·B + k_t of the slot that was
        drawn; zero where no step is taken.
    steps
        (m, n) int64, steps of each trajectory.
    policies
        (m, n) int64, which policy's rewards a trajectory brings where every one is paid
        differently; else zero.
    """

    process: Process
    pairs: SmallIntArray
    slots: SmallIntArray
    steps: IntArray
    policies: IntArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(m, n, T)."""
        m, n, T = self.pairs.shape
        return m, n, T

    @property
    def lengths(self) -> IntArray:
        """Steps of each trajectory, (m, n)."""
        return self.steps

    @cached_property
    def mask(self) -> BoolArray:
        """Whether step t was taken, (m, n, T)."""
        return np.arange(self.shape[2]) < self.lengths[:, :, None]

    @cached_property
    def states(self) -> SmallIntArray:
        """s_t, (m, n, T)."""
        return self.pairs // np.int32(self.process.mdp.n_actions)

    @cached_property
    def actions(self) -> SmallIntArray:
        """a_t, (m, n, T)."""
        return self.pairs - self.states * np.int32(self.process.mdp.n_actions)

    @cached_property
    def successors(self) -> SmallIntArray:
        """s_{t+1}, (m, n, T)."""
        return np.where(self.mask, self.process.mdp.successor.ravel().take(self.slots), np.int32(0))

    @cached_property
    def rewards(self) -> FloatArray:
        """r_t, (m, n, T)."""
        return self._looked_up(self._paid, self.policies, self.slots)

    @cached_property
    def to_go(self) -> FloatArray:
        """Discounted rewards from step t on, Q̂_t = Σ_{l≥t} γ^{l-t} r_l, (m, n, T)."""
        return self._discounted(self.shape[2])

    @cached_property
    def returns(self) -> FloatArray:
        """R(τ) = Σ_t γ^t r_t, (m, n)."""
        return self._discounted(1)[:, :, 0]

    @property
    def _paid(self) -> FloatArray:
        """Rewards of slots, (1, S·A·B), or of each policy."""
        return self.process.mdp.reward.reshape(-1, self.process.mdp.numbers)

    def _discounted(self, kept: int) -> FloatArray:
        """Reward-to-go of the first steps, (m, n, kept)."""
        from pgbench.kernels.recorded import sum_backward

        out = np.empty((*self.shape[:2], kept))
        gamma = float(self.process.mdp.gamma)
        sum_backward(self._paid, self.policies, self.slots, self.steps, gamma, out)
        return out

    @property
    def endings(self) -> tuple[BoolArray, FloatArray | None]:
        """Whether trajectories were cut (m, n), and what is said of how they ended (m, n, c)."""
        mdp, last = self.process.mdp, np.maximum(self.lengths - 1, 0)[:, :, None]
        slot = np.take_along_axis(self.slots, last, axis=2)[:, :, 0]
        # Of a trajectory without a step the state is the first one, as of every step not taken.
        final = np.where(self.lengths > 0, mdp.successor.ravel()[slot], 0)
        cut = ~mdp.terminal[final]
        if mdp.truncated is not None:
            cut |= mdp.truncated[final]
        return cut, None if mdp.outcomes is None else mdp.outcomes[final]

    def at(self, table: ArrayLike, otherwise: float = 0.0) -> FloatArray:
        """A table (S, A) or (m, S, A) at the pairs visited, (m, n, T); else where no step is."""
        return self._of_each(np.asarray(table), 2, self.pairs, otherwise)

    def value(self, v: ArrayLike) -> FloatArray:
        """v (S,) or (m, S) at the states visited, (m, n, T); 0 where no step is taken."""
        return self._of_each(np.asarray(v), 1, self.states)

    def next_value(self, v: ArrayLike) -> FloatArray:
        """v (S,) or (m, S) at s_{t+1}, (m, n, T); 0 where no step is taken."""
        return self._of_each(np.asarray(v), 1, self.successors)

    def _of_each(
        self, table: FloatArray, ndim: int, index: SmallIntArray, otherwise: float = 0.0
    ) -> FloatArray:
        """A table of ``ndim`` axes, or one of each replicate, at the indices."""
        m, n, _ = self.shape
        own = np.arange(m) if table.ndim > ndim else np.zeros(m, np.int64)
        rows = table.reshape(len(table) if table.ndim > ndim else 1, -1)
        return self._looked_up(rows, np.repeat(own[:, None], n, axis=1), index, otherwise)

    def _looked_up(
        self, table: ArrayLike, rows: IntArray, index: SmallIntArray, otherwise: float = 0.0
    ) -> FloatArray:
        from pgbench.kernels.recorded import look_up

        out = np.empty(self.shape)
        table = np.ascontiguousarray(table, np.float64)
        look_up(table, rows, index, self.steps, otherwise, out)
        return out

    def of_pairs(self, states: ArrayLike, actions: ArrayLike) -> Self:
        """The same steps with other states and actions (m, n, T), zero where none is taken."""
        pairs = np.asarray(states) * self.process.mdp.n_actions + actions
        return replace(self, pairs=np.where(self.mask, pairs, 0).astype(np.int32))

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

    def _gather(self, weights: ArrayLike, index: SmallIntArray, size: int) -> FloatArray:
        from pgbench.kernels.recorded import add_up

        w = np.asarray(weights, np.float64)
        w = np.ascontiguousarray(w.reshape((1,) * (3 - w.ndim) + w.shape))
        if w.ndim > 3 or not all(k in (1, K) for k, K in zip(w.shape, self.shape, strict=True)):
            raise ValueError(f"weights have shape {w.shape}, must broadcast to {self.shape}")
        total = np.zeros((self.shape[0], size))
        add_up(w, index, self.steps, total)
        total /= self.shape[1]
        return total


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

    @property
    def shape(self) -> tuple[int, int, int]:
        """(m, n, T)."""
        m, n, T = self.ratios.shape
        return m, n, T

    @cached_property
    def rewards(self) -> FloatArray:
        """r_t, (m, n, T)."""
        return self._values(self.process.mdp.reward, 0)

    @cached_property
    def mask(self) -> BoolArray:
        """That every step was taken, (m, n, T)."""
        return np.ones(self.shape, bool)

    @cached_property
    def lengths(self) -> IntArray:
        """T of every trajectory, (m, n)."""
        return np.full(self.shape[:2], self.shape[2])

    @cached_property
    def to_go(self) -> FloatArray:
        """Discounted rewards from step t on, (m, n, T)."""
        return self.backward(self.rewards, self.process.mdp.gamma)

    @cached_property
    def returns(self) -> FloatArray:
        """R(τ) = Σ_t γ^t r_t, (m, n)."""
        return self.to_go[:, :, 0]

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
        """A form at (x_t, u_t), (m, n, T); of several forms each replicate's own."""
        return self._values(table, 0)

    def value(self, v: Quadratic) -> FloatArray:
        """A form of the state at x_t, (m, n, T)."""
        return self._values(v, 0)

    def next_value(self, v: Quadratic) -> FloatArray:
        """A form of the state at x_{t+1}, (m, n, T)."""
        return self._values(v, 1)

    def _values(self, form: Quadratic, first: int) -> FloatArray:
        from pgbench.kernels.forms import evaluate

        out = np.empty(self.shape)
        evaluate(form.matrix.reshape(-1, *form.matrix.shape[-2:]), self.z, first, out)
        return out

    def tables(self, weights: ArrayLike) -> FloatArray:
        """(m, m_u+1, n_x+1+m_u): mean over trajectories of Σ_t weights_t (e_t, 1)(x̃_t, e_t)ᵀ."""
        left = np.empty((*self.shape, self.process.mdp.m + 1))
        left[..., -1] = weights
        np.multiply(self.noise, left[..., -1:], out=left[..., :-1])
        return self.moments(left, self.noise)

    def moments(self, left: FloatArray, noise: FloatArray) -> FloatArray:
        """Mean over trajectories of Σ_t left_t (x̃_t, noise_t)ᵀ, for left (m, n, T, k)."""
        from pgbench.kernels.forms import add_moments

        m, n, _ = self.shape
        total = np.zeros((m, left.shape[3], self.process.mdp.n + 1 + noise.shape[3]))
        add_moments(np.ascontiguousarray(left), self.z, self.process.mdp.n + 1, noise, total)
        return total / n
