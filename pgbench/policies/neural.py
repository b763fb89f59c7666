"""Neural softmax: logits from a small multilayer perceptron, differentiated by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Annotated, Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.parameters import Choice, Pattern, Range
from pgbench.policies.actions import (
    centre,
    centre_error,
    check_allowed,
    existing,
    softmax,
    softmax_error,
)
from pgbench.policies.features import Inputs, network_inputs
from pgbench.policies.policy import ROOM, Policy, PolicyDimensions, PolicyKind, States
from pgbench.problems import FiniteMDP
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.rounding import FUNCTION, UNIT

MAX_PARAMETERS = 2**26
"""Most parameters of a network made by name: θ of half a GiB."""


@dataclass(frozen=True, eq=False)
class Neural(Policy):
    """π(s, ·) = softmax of the outputs of a perceptron with hidden layers.

        h_0 = x,   h_l = f(h_{l-1} W_l + b_l),   logits = h_L W_{L+1} + b_{L+1}

    θ holds W_1 (row by row), b_1, W_2, b_2 and so on. The pull-back is back-propagation of
    W - π Σ_a W (Rumelhart, Hinton & Williams 1986). Constants added to the logits of a state change
    nothing, so some directions of θ are always null, such as the last bias of a network for pairs.

    Parameters
    ----------
    inputs
        (S, n) float64, features of states, for a network with A outputs; or (S, A, n), features of
        pairs, for a network with one output that is applied to every action; or the number S, for
        one-hot states, whose first layer is a table of rows.
    hidden
        Widths of the hidden layers; none makes the logits linear in the inputs.
    activation
        f: ``tanh`` or ``relu``, whose derivative at 0 counts as 0.
    n_actions
        A; needed unless the inputs are features of pairs.
    allowed
        (S, A) bool, which actions a state has; by default all.

    Raises
    ------
    ValueError
        That names the argument, the value and what is allowed.
    """

    inputs: FloatArray | int
    hidden: tuple[int, ...] = (32, 32)
    activation: str = "tanh"
    n_actions: int | None = None
    allowed: BoolArray | None = None

    def __post_init__(self) -> None:
        if isinstance(self.inputs, np.ndarray | list | tuple):
            inputs = np.array(self.inputs, dtype=np.float64, order="C")
            if inputs.ndim not in (2, 3) or 0 in inputs.shape:
                raise ValueError(
                    f"inputs has shape {inputs.shape}, must be (S, n) or (S, A, n) without zeros"
                )
            if not np.isfinite(inputs).all():
                raise ValueError("inputs holds values that are not finite")
            if inputs.ndim == 3 and self.n_actions not in (None, inputs.shape[1]):
                raise ValueError(
                    f"n_actions is {self.n_actions} but inputs has shape {inputs.shape}"
                )
            inputs.setflags(write=False)
            object.__setattr__(self, "inputs", inputs)
            if inputs.ndim == 3:
                object.__setattr__(self, "n_actions", inputs.shape[1])
        elif _is_count(self.inputs):
            object.__setattr__(self, "inputs", int(self.inputs))
        else:
            raise ValueError(f"inputs is {self.inputs!r}, must be an array or a number of states")
        if not _is_count(self.n_actions):
            raise ValueError(f"n_actions is {self.n_actions!r}, must be an integer ≥ 1")
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if not all(map(_is_count, self.hidden)):
            raise ValueError(f"hidden is {self.hidden!r}, must be integers ≥ 1")
        if self.activation not in ("tanh", "relu"):
            raise ValueError(f"activation is {self.activation!r}, must be tanh or relu")
        check_allowed(self.allowed, self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of states and actions (S, A)."""
        assert self.n_actions is not None
        return (self.inputs if isinstance(self.inputs, int) else len(self.inputs)), self.n_actions

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of all layers, inputs and outputs included."""
        if isinstance(self.inputs, int):
            return self.inputs, *self.hidden, self.shape[1]
        outputs = 1 if self.inputs.ndim == 3 else self.shape[1]
        return self.inputs.shape[-1], *self.hidden, outputs

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases d."""
        return sum((n + 1) * m for n, m in pairwise(self.widths))

    def probabilities(self, theta: FloatArray) -> FloatArray:
        """π(s, a), shape (S, A)."""
        return self._forward(theta)[1]

    def pull_back(
        self, theta: FloatArray, weights: FloatArray, states: States | None = None
    ) -> FloatArray:
        """Back-propagation of W - π Σ_a W, shape (..., d)."""
        hidden, pi = self._forward(theta, states)
        batch = weights.shape[:-2]
        own = existing(weights, self._allowed(states))
        centred = centre(pi, own).reshape(*batch, -1, self.widths[-1])
        parts = []
        for h, delta in self._backward(theta, hidden, centred, states):
            if h is not None:
                gradient = h.T @ delta
            elif states is None:
                # The weights into one-hot states are rows of a table, and their gradient is delta.
                gradient = delta
            else:
                gradient = np.zeros((*batch, self.widths[0], delta.shape[-1]))
                gradient[..., states, :] = delta
            parts += [delta.sum(axis=-2), gradient.reshape(*batch, -1)]
        return np.concatenate(parts[::-1], axis=-1)

    def table_error(self, theta: FloatArray) -> float:
        """Bound on the relative rounding error of π(s, a)."""
        *_, (logits, _, wrong) = self._sums(theta)
        return softmax_error(logits.reshape(self.shape), wrong, self.allowed)

    def pull_back_error(self, theta: FloatArray, weights: FloatArray, error: FloatArray) -> float:
        """Bound on the length of the error of ``pull_back`` of weights (S, A).

        Errors pass backward as the derivatives do, with absolute values of everything.
        """
        *inner, (logits, _, _) = self._sums(theta)
        pi = softmax(logits.reshape(self.shape), self.allowed)
        weights, error = existing(weights, self.allowed), existing(error, self.allowed)
        delta = centre(pi, weights).reshape(logits.shape)
        wrong = centre_error(pi, weights, error, self.table_error(theta)).reshape(logits.shape)
        squares = 0.0
        for (W, _), (z, h, h_wrong) in zip([*self._layers(theta)][:0:-1], inner[::-1], strict=True):
            squares += _squares(np.abs(h), h_wrong, delta, wrong)
            slope = self._slope(h)
            slope_wrong = self._slope_error(z, h, h_wrong)
            back, size = delta @ W.T, np.abs(delta) @ np.abs(W.T)
            wrong = wrong @ np.abs(W.T) + (W.shape[1] + 2) * UNIT * size
            wrong = wrong * (slope + slope_wrong) + np.abs(back) * (slope_wrong + 4 * UNIT)
            delta = back * slope
        rows = self._rows()
        if rows is None:
            squares += float(np.sum(wrong**2))
            rows = np.zeros((len(delta), 0))
        squares += _squares(np.abs(rows), np.zeros_like(rows), delta, wrong)
        return float(np.sqrt(squares)) * ROOM

    def push_forward(self, theta: FloatArray, direction: FloatArray) -> FloatArray:
        """Derivative of the logits along ``direction`` less its mean under π, shape (S, A)."""
        hidden, pi = self._forward(theta)
        layers = zip(self._layers(theta), self._layers(direction), strict=True)
        _, (dW, db) = next(layers)
        rows = self._rows()
        moved = (dW if rows is None else rows @ dW) + db
        for ((W, _), (dW, db)), h in zip(layers, hidden, strict=True):
            moved = (moved * self._slope(h)) @ W + h @ dW + db
        v = moved.reshape(self.shape)
        return existing(v - (pi * v).sum(axis=1, keepdims=True), self.allowed)

    def scores(self, theta: FloatArray) -> FloatArray:
        """ψ(s, a), shape (S, A, d): the derivatives of the logits less their mean under π."""
        hidden, pi = self._forward(theta)
        m = self.widths[-1]
        n = pi.size // m
        parts = []
        for h, delta in self._backward(theta, hidden, np.tile(np.eye(m)[:, None], (1, n, 1))):
            # delta (m, n, width): the derivative of output m for row n of the inputs.
            if h is None:
                gradient = np.zeros((m, n, n, delta.shape[-1]))
                gradient[:, np.arange(n), np.arange(n)] = delta
            else:
                gradient = h[:, :, None] * delta[:, :, None, :]
            parts += [delta, gradient.reshape(m, n, -1)]
        jacobian = np.concatenate(parts[::-1], axis=-1).transpose(1, 0, 2)
        jacobian = jacobian.reshape(*pi.shape, self.n_parameters)
        scores = jacobian - np.einsum("sa,sak->sk", pi, jacobian)[:, None]
        return scores if self.allowed is None else scores * self.allowed[:, :, None]

    def initial(self, seed: int = 0, init: str = "normal", scale: float = 1.0) -> FloatArray:
        """A starting θ (d,): ``scale`` times N(0, 1/E‖h‖²) weights and biases 0, or zeros.

        E‖h‖² is that of the inputs, averaged over states or pairs, in the first layer, and the
        width in the others, so that sums into a unit have variance about 1. (LeCun, Bottou, Orr &
        Müller 1998, Section 4.6)
        """
        theta = super().initial(seed, init, 1.0)
        squares = 1.0
        if not isinstance(self.inputs, int):
            squares = float((self.inputs**2).sum(axis=-1).mean()) or 1.0
        for (W, b), size in zip(
            self._layers(theta), (squares, *map(float, self.hidden)), strict=True
        ):
            W /= np.sqrt(size)
            b[:] = 0.0
        return scale * theta

    def _layers(self, theta: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Views (W_l, b_l) of θ, layer by layer."""
        begin = 0
        for n, m in pairwise(self.widths):
            middle, end = begin + n * m, begin + (n + 1) * m
            yield theta[begin:middle].reshape(n, m), theta[middle:end]
            begin = end

    def _rows(self, states: States | None = None) -> FloatArray | None:
        """What enters the first layer, (S, n) or (S·A, n), or None for one-hot states."""
        if isinstance(self.inputs, int):
            return None
        inputs = self.inputs if states is None else self.inputs[states]
        return inputs.reshape(-1, inputs.shape[-1])

    def _forward(
        self, theta: FloatArray, states: States | None = None
    ) -> tuple[list[FloatArray], FloatArray]:
        """Activations of the hidden layers, (S, width) or (S·A, width), and π (S, A)."""
        layers = self._layers(theta)
        W, b = next(layers)
        rows = self._rows(states)
        z = (W + b if states is None else W[states] + b) if rows is None else rows @ W + b
        hidden = []
        for W, b in layers:
            h = self._activate(z)
            hidden.append(h)
            z = h @ W + b
        return hidden, softmax(z.reshape(-1, self.shape[1]), self._allowed(states))

    def _allowed(self, states: States | None = None) -> BoolArray | None:
        """Which actions these states have, or None where they have all."""
        return self.allowed if self.allowed is None or states is None else self.allowed[states]

    def _sums(self, theta: FloatArray) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
        """Per layer the sums z, what the next layer gets of them, f(z), and a bound on its error.

        The last layer has no f.
        """
        rows, layers = self._rows(), self._layers(theta)
        W, b = next(layers)
        if rows is None:
            z, wrong = W + b, UNIT * (np.abs(W) + np.abs(b))
        else:
            z = rows @ W + b
            wrong = (len(W) + 2) * UNIT * (np.abs(rows) @ np.abs(W) + np.abs(b))
        for W, b in layers:
            h = self._activate(z)
            # |f'| ≤ 1, and 0 where a rectifier is off for certain.
            off = (self.activation == "relu") & (z < -wrong)
            wrong = np.where(off, 0.0, wrong + FUNCTION * np.abs(h))
            yield z, h, wrong
            wrong = wrong @ np.abs(W)
            wrong += (len(W) + 2) * UNIT * (np.abs(h) @ np.abs(W) + np.abs(b))
            z = h @ W + b
        yield z, z, wrong

    def _activate(self, z: FloatArray) -> FloatArray:
        return np.tanh(z) if self.activation == "tanh" else np.maximum(z, 0.0)

    def _slope_error(self, z: FloatArray, h: FloatArray, wrong: FloatArray) -> FloatArray:
        """Bound on the error of ``_slope``, h being right to ``wrong``."""
        if self.activation == "tanh":
            return 2 * (np.abs(h) + wrong) * wrong + 4 * UNIT
        return ((np.abs(z) <= wrong) & (wrong > 0)).astype(np.float64)

    def _backward(
        self,
        theta: FloatArray,
        hidden: list[FloatArray],
        delta: FloatArray,
        states: States | None = None,
    ) -> Iterator[tuple[FloatArray | None, FloatArray]]:
        """What enters each layer and the derivative by its sums (..., width), last layer first."""
        layers = [*self._layers(theta)]
        for (W, _), h in zip(layers[:0:-1], hidden[::-1], strict=True):
            yield h, delta
            delta = (delta @ W.T) * self._slope(h)
        yield self._rows(states), delta

    def _slope(self, h: FloatArray) -> FloatArray:
        """f' as a function of the activation h = f(z)."""
        if self.activation == "tanh":
            return 1.0 - h**2
        return (h > 0).astype(np.float64)


def _squares(h: FloatArray, h_wrong: FloatArray, delta: FloatArray, wrong: FloatArray) -> float:
    """Squared length of a bound on the error of hᵀδ and Σδ, h ≥ 0 and δ being right to theirs."""
    size = np.abs(delta)
    wrong = wrong + (len(h) + 2) * UNIT * (size + wrong)
    matrix = (h + h_wrong).T @ wrong + h_wrong.T @ size
    return float(np.sum(matrix**2) + np.sum(wrong.sum(axis=0) ** 2))


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def neural(
    mdp: FiniteMDP,
    inputs: Inputs = "auto",
    hidden: Annotated[
        int | str,
        Range(1, 9999),
        Pattern(r"[1-9][0-9]{0,3}(x[1-9][0-9]{0,3}){0,7}", "widths such as 64x32"),
        "widths of the hidden layers",
    ] = "32x32",
    activation: Annotated[str, Choice(("tanh", "relu")), "of the hidden layers"] = "tanh",
) -> Policy:
    """Neural softmax: a small multilayer perceptron.

    Coordinates are scaled to [-1, 1]; a problem without any has its states' numbers as coordinate.
    Raises ValueError above 2²⁶ parameters.
    """
    widths = tuple(int(width) for width in str(hidden).split("x"))
    x = network_inputs(mdp, inputs)
    policy = Neural(x, widths, activation, n_actions=mdp.n_actions, allowed=mdp.allowed)
    if policy.n_parameters > MAX_PARAMETERS:
        raise ValueError(
            f"a network of widths {'x'.join(map(str, policy.widths))} has {policy.n_parameters}"
            f" parameters, at most {MAX_PARAMETERS} are allowed; choose fewer hidden units"
        )
    return policy


def dimensions(
    problem: FiniteDimensions, inputs: str, hidden: int | str, **other: Any
) -> PolicyDimensions:
    """How large a network is: θ is held four times, what layers make of all states seven times."""
    states, first, last = float(problem.n_states), float(problem.n_states), problem.n_actions
    if inputs == "own":
        states, first, last = problem.pairs, problem.n_features, 1
    elif inputs == "coordinates" or (inputs == "auto" and problem.n_coordinates):
        first = problem.n_coordinates or 1
    widths = [first, *map(float, str(hidden).split("x")), last]
    n_parameters = sum((n + 1) * m for n, m in pairwise(widths))
    return PolicyDimensions(n_parameters, 8 * (7 * states * sum(widths[1:]) + 4 * n_parameters))


kind = PolicyKind(
    "neural",
    neural,
    formula=r"\pi(s,a) \propto \exp f_\theta(s)_a",
    reference="Sutton & Barto 2018, Section 9.7; LeCun, Bottou, Orr & Müller 1998 (initial θ)",
    dimensions=dimensions,
)
