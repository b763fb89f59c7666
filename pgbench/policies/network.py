"""Softmax policies whose logits are any differentiable function of θ and of features of states."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.policies.actions import (
    centre,
    centre_error,
    check_allowed,
    existing,
    softmax,
    softmax_error,
)
from pgbench.policies.noise import computational_noise, nearby
from pgbench.policies.policy import ROOM, Policy, PolicyDimensions, States
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.rounding import UNIT

MAX_PARAMETERS = 2**26
"""Most parameters of a network: θ of half a GiB."""

TOGETHER = 16
"""So many weight tables, θ or directions are differentiated at a time."""

NUMBERS_AT_A_TIME = 2**22
"""Derivatives of outputs are held for as many rows at a time as make about this many numbers."""

SURE = 16.0
"""A bound is so many standard deviations of the noise that is measured."""

STEP = 2.0**-22
"""Of the check of derivatives, beside the size of θ: a digit or two of single precision."""

MOST_AWAY = 0.02
"""Error that is allowed there, beside the length of the step of the outputs."""


class Outputs(ABC):
    """A differentiable function of θ (d,) and rows of features (n, f), to outputs (n, o) float64.

    Every row of outputs is a function of the same row of features. Many θ are (m, d), each with
    tables or directions of its own.

    Attributes
    ----------
    name
        How messages call it.
    """

    name: str

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Length d of θ."""

    @abstractmethod
    def at(self, thetas: FloatArray, rows: FloatArray) -> FloatArray:
        """Outputs (m, n, o)."""

    def traced(self, theta: Any, rows: FloatArray) -> Any:
        """Outputs (n, o) of a θ (d,) that is an array of the function's library, to differentiate.

        They are of that library too; ValueError where there is none.
        """
        raise ValueError(f"{self.name} is a function of no library of tensors")

    @abstractmethod
    def pull_back(self, theta: FloatArray, rows: FloatArray, weights: FloatArray) -> FloatArray:
        """Gradients (k, d) of Σ W ⊙ outputs at one θ (d,), of weights W (k, n, o)."""

    @abstractmethod
    def each_pull_back(
        self, thetas: FloatArray, rows: FloatArray, weights: FloatArray
    ) -> FloatArray:
        """Gradients (m, d) of Σ W ⊙ outputs, each at its own θ with weights of (m, n, o)."""

    @abstractmethod
    def each_push_forward(
        self, thetas: FloatArray, rows: FloatArray, directions: FloatArray
    ) -> FloatArray:
        """Derivatives (m, n, o) of outputs along directions (m, d), each at its own θ."""

    @abstractmethod
    def jacobian(self, theta: FloatArray, rows: FloatArray) -> FloatArray:
        """Derivatives (n, o, d) of all outputs at one θ (d,)."""

    @abstractmethod
    def initial(self, seed: int) -> FloatArray:
        """The function's own first θ (d,), drawn from a seed."""

    def read(self, path: Path) -> FloatArray:
        """θ (d,) from a file of the library's own kind; ValueError if there is none."""
        raise ValueError(f"{path} is no .npy file, in which θ of {self.name} must be")


@dataclass(frozen=True, eq=False)
class Network(Policy):
    """π(s, ·) = softmax of a function's outputs f_θ(x(s)), differentiated automatically.

    The pull-back is that of W - π Σ_a W through the function. Kinks of a function, such as a
    rectifier's at 0, have whatever derivative its library gives them.

    Parameters
    ----------
    outputs
        f.
    inputs
        x: (S, n) float64, features of states, for a function with A outputs; or (S, A, n), features
        of pairs, for a function with one output that is applied to every action.
    n_actions
        A.
    allowed
        (S, A) bool, which actions a state has; by default all.

    Raises
    ------
    ValueError
        Where the outputs have another shape, are not finite or not of double precision, or where
        those of a state hang on other states; it names the function.
    """

    outputs: Outputs
    inputs: FloatArray
    n_actions: int
    allowed: BoolArray | None = None

    def __post_init__(self) -> None:
        check_allowed(self.allowed, self.shape)
        if not 1 <= self.n_parameters <= MAX_PARAMETERS:
            raise ValueError(
                f"{self.outputs.name} has {self.n_parameters} trainable parameters, must have from"
                f" 1 to {MAX_PARAMETERS}"
            )
        own = self.outputs.initial(0)
        with np.errstate(all="ignore"):
            self._logits(own[None])
            self._check_derivative(own)
            self._check_rows(own)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of states and actions (S, A)."""
        return len(self.inputs), self.n_actions

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters d."""
        return self.outputs.n_parameters

    @property
    def _n_outputs(self) -> int:
        return 1 if self.inputs.ndim == 3 else self.n_actions

    def probabilities(self, theta: FloatArray) -> FloatArray:
        """π(s, a), shape (S, A)."""
        return self.each_probabilities(theta[None])[0]

    def each_probabilities(self, thetas: FloatArray) -> FloatArray:
        """π(s, a) of m policies θ (m, d), shape (m, S, A)."""
        return softmax(self._logits(thetas), self.allowed)

    def pull_back(
        self, theta: FloatArray, weights: FloatArray, states: States | None = None
    ) -> FloatArray:
        """The function's pull-back of W - π Σ_a W, shape (..., d)."""
        if weights.size == 0:
            return np.zeros((*weights.shape[:-2], self.n_parameters))
        allowed = self.allowed if self.allowed is None or states is None else self.allowed[states]
        pi = softmax(self._logits(theta[None], states)[0], allowed)
        centred = self._columns(centre(pi, existing(weights, allowed)))
        flat = centred.reshape(-1, *centred.shape[-2:])
        rows = self._rows(states)
        found = _joined(len(flat), lambda own: self.outputs.pull_back(theta, rows, flat[own]))
        return found.reshape(*weights.shape[:-2], self.n_parameters)

    def each_pull_back(self, thetas: FloatArray, weights: FloatArray) -> FloatArray:
        """The pull-backs (m, d) of weights (m, S, A), each at its own θ of (m, d)."""
        own_weights = existing(weights, self.allowed)
        centred = self._columns(centre(self.each_probabilities(thetas), own_weights))
        rows = self._rows()
        return _joined(
            len(thetas), lambda own: self.outputs.each_pull_back(thetas[own], rows, centred[own])
        )

    def push_forward(self, theta: FloatArray, direction: FloatArray) -> FloatArray:
        """Derivative of the logits along ``direction`` less its mean under π, shape (S, A)."""
        return self.each_push_forward(theta[None], direction[None])[0]

    def push_forwards(self, theta: FloatArray, directions: FloatArray) -> FloatArray:
        """Derivatives of log π (m, S, A) along directions (m, d)."""
        return self.each_push_forward(np.broadcast_to(theta, directions.shape), directions)

    def each_push_forward(self, thetas: FloatArray, directions: FloatArray) -> FloatArray:
        """Derivatives of log π (m, S, A) along directions (m, d), each at its own θ of (m, d)."""
        rows = self._rows()
        moved = _joined(
            len(thetas),
            lambda own: self.outputs.each_push_forward(thetas[own], rows, directions[own]),
        ).reshape(-1, *self.shape)
        mean = (self.each_probabilities(thetas) * moved).sum(axis=-1, keepdims=True)
        return existing(moved - mean, self.allowed)

    def scores(self, theta: FloatArray) -> FloatArray:
        """ψ(s, a), shape (S, A, d): the derivatives of the logits less their mean under π."""
        pi, scores = self.probabilities(theta), np.empty((*self.shape, self.n_parameters))
        for states, jacobian in self._jacobians(theta):
            mean = np.einsum("sa,sak->sk", pi[states], jacobian)
            scores[states] = jacobian - mean[:, None]
        return scores if self.allowed is None else scores * self.allowed[:, :, None]

    def table_error(self, theta: FloatArray) -> float:
        """Bound on the relative rounding error of π(s, a), estimated and not proven.

        The rounding of the logits is 16 times the largest standard deviation of their noise between
        θ that differ in the last digits. (Moré & Wild 2011; ``noise.py``)
        """
        logits = self._logits(theta[None])[0]
        noise = self._noise(theta, lambda moved, rows: self.outputs.at(moved[None], rows)[0])
        wrong = SURE * float(noise.max()) + 4 * UNIT * np.abs(logits)
        return softmax_error(logits, existing(wrong, self.allowed), self.allowed)

    def pull_back_error(self, theta: FloatArray, weights: FloatArray, error: FloatArray) -> float:
        """Bound on the length of the error of ``pull_back`` of weights (S, A).

        What errs in W - π Σ_a W passes through absolute derivatives of the logits; the rounding of
        the pull-back itself is estimated as that of ``table_error`` is.
        """
        pi = self.probabilities(theta)
        weights, error = existing(weights, self.allowed), existing(error, self.allowed)
        wrong = centre_error(pi, weights, error, self.table_error(theta))
        centred = self._columns(centre(pi, weights))[None]
        noise = self._noise(theta, lambda moved, rows: self.outputs.pull_back(moved, rows, centred))
        own = SURE * float(np.sqrt(np.sum(noise**2)))
        own += (
            4 * UNIT * float(np.linalg.norm(self.outputs.pull_back(theta, self._rows(), centred)))
        )
        through = np.zeros(self.n_parameters)
        for states, jacobian in self._jacobians(theta):
            through += np.tensordot(wrong[states], np.abs(jacobian), axes=2)
        return (float(np.linalg.norm(through)) + own) * ROOM

    def initial(self, seed: int = 0, init: str = "normal", scale: float = 1.0) -> FloatArray:
        """A starting θ (d,): ``scale`` times the function's own, standard normals, or zeros."""
        if init == "own":
            return scale * self.outputs.initial(seed)
        return super().initial(seed, init, scale)

    def read(self, path: Path) -> FloatArray:
        """θ (d,) from an .npy file, or from what the function's library writes."""
        return super().read(path) if path.suffix == ".npy" else self.outputs.read(path)

    def traced(self, theta: Any) -> Any:
        """Logits (S, A) of a θ (d,) of the function's library, to differentiate in that library.

        What a state does not have is not masked.
        """
        return self.outputs.traced(theta, self._rows()).reshape(self.shape)

    def _rows(self, states: States | None = None) -> FloatArray:
        """What enters the function, (S, n) or (S·A, n)."""
        inputs = self.inputs if states is None else self.inputs[states]
        return inputs.reshape(-1, inputs.shape[-1])

    def _columns(self, table: FloatArray) -> FloatArray:
        """A table (..., S, A) as that of outputs (..., rows, o)."""
        rows = table.shape[-2] * self.n_actions // self._n_outputs
        return table.reshape(*table.shape[:-2], rows, self._n_outputs)

    def _logits(self, thetas: FloatArray, states: States | None = None) -> FloatArray:
        """Logits (m, S, A); ValueError where one is not finite."""
        rows = self._rows(states)
        found = _joined(len(thetas), lambda own: self.outputs.at(thetas[own], rows))
        needed = (len(thetas), len(rows), self._n_outputs)
        if found.shape != needed:
            raise ValueError(
                f"{self.outputs.name} makes {found.shape[1:]} of features {rows.shape}, must make"
                f" {needed[1:]}: one row of logits per row of features"
            )
        if not np.isfinite(found).all():
            _, row, output = np.argwhere(~np.isfinite(found))[0]
            raise ValueError(
                f"{self.outputs.name}: output {output} of row {row} of the features is"
                f" {found[~np.isfinite(found)][0]}, must be finite"
            )
        return found.reshape(len(thetas), -1, self.n_actions)

    def _jacobians(self, theta: FloatArray) -> Iterator[tuple[States, FloatArray]]:
        """States, some at a time, with the derivatives (states, A, d) of their logits."""
        S, A = self.shape
        most = max(1, NUMBERS_AT_A_TIME // (A * self.n_parameters))
        for begin in range(0, S, most):
            states = np.arange(begin, min(begin + most, S))
            jacobian = self.outputs.jacobian(theta, self._rows(states))
            yield states, jacobian.reshape(len(states), A, self.n_parameters)

    def _noise(
        self, theta: FloatArray, f: Callable[[FloatArray, FloatArray], FloatArray]
    ) -> FloatArray:
        """Standard deviations of the noise of numbers f(θ, rows)."""
        moved = zip(nearby(theta), nearby(self._rows()), strict=True)
        return computational_noise(np.stack([f(*own) for own in moved]))

    def _check_rows(self, theta: FloatArray) -> None:
        """ValueError where outputs of a row hang on other rows, as those of a batch norm may."""
        rows = self._rows()
        half = len(rows) // 2
        other = np.concatenate([rows[: len(rows) - half], np.repeat(rows[:1], half, axis=0)])
        kept = slice(len(rows) - half)
        own, mixed = (self.outputs.at(theta[None], x)[0, kept] for x in (rows, other))
        if np.abs(own - mixed).max() > 1e-9 * np.abs(own).max():
            raise ValueError(
                f"{self.outputs.name}: logits of a state hang on which other states are asked for"
                " with it; they must be a function of its own features"
            )

    def _check_derivative(self, theta: FloatArray) -> None:
        """ValueError where outputs are random, detached, or of less than double precision.

        A step along a direction is to move them as their derivative says; a kink that lies between
        moves few of them.
        """
        size = max(float(np.sqrt(np.mean(theta**2))), 1e-3)
        step = STEP * size * np.random.default_rng(0).standard_normal(theta.size)
        ends = [self.outputs.at(own[None], self._rows()) for own in (theta - step, theta + step)]
        told = 2 * self.outputs.each_push_forward(theta[None], self._rows(), step[None])
        away, length = np.linalg.norm(ends[1] - ends[0] - told), np.linalg.norm(told)
        if not away <= MOST_AWAY * length:
            raise ValueError(
                f"{self.outputs.name}: logits do not move as their derivatives say where θ moves a"
                f" little, by {length:.1e} with an error of {away:.1e}: they are random (dropout?),"
                " detached from parameters, or computed in less than double precision"
            )


def _joined(n: int, f: Callable[[slice], FloatArray]) -> FloatArray:
    """What f makes of n things, some at a time, in one array."""
    parts = [f(slice(begin, begin + TOGETHER)) for begin in range(0, n, TOGETHER)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def dimensions(problem: FiniteDimensions, inputs: str, **other: Any) -> PolicyDimensions:
    """How large a network is at least: only making it tells d, but its features are known."""
    rows, n = float(problem.n_states), float(problem.n_states)
    if inputs == "own":
        rows, n = problem.pairs, problem.n_features
    elif inputs == "coordinates" or (inputs == "auto" and problem.n_coordinates):
        n = problem.n_coordinates or 1
    return PolicyDimensions(n, 8 * 4 * rows * n)
