"""What every policy offers: a pull-back and a start; those of finite problems a table besides.

A rollout needs the table π (S, A). An estimator needs the pull-back, the linear map from a weight
table W to Σ_{s,a} W(s,a) ∇_θ log π(s,a). Nothing else of a policy is visible to them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.parameters import bind
from pgbench.declared.registry import Made
from pgbench.problems import FiniteMDP, NotApplicable, Problem
from pgbench.problems.dimensions import Dimensions
from pgbench.rounding import UNIT

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

    def read(self, path: Path) -> FloatArray:
        """θ (d,) from an .npy file; ValueError names the file, what it holds and what is needed."""
        if path.suffix != ".npy":
            raise ValueError(f"{path} is no .npy file, in which θ of this policy must be")
        try:
            return self.check(np.load(path, allow_pickle=False))
        except FileNotFoundError:
            raise ValueError(f"{path}: there is no such file") from None
        except (OSError, ValueError, TypeError, EOFError) as error:
            raise ValueError(f"{path} holds no θ of this policy: {error}") from error

    def initial(self, seed: int = 0, init: str = "normal", scale: float = 1.0) -> FloatArray:
        """A starting θ (d,): ``scale`` times standard normals drawn from ``seed``, or zeros.

        ``own`` is what a policy has of its own, such as a module's initialisation, else normals.
        """
        if init == "zeros":
            return np.zeros(self.n_parameters)
        if init in ("normal", "own"):
            return scale * np.random.default_rng(seed).standard_normal(self.n_parameters)
        raise ValueError(f"init is {init!r}, must be normal, zeros or own")

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

    def push_forwards(self, theta: FloatArray, directions: FloatArray) -> FloatArray:
        """Derivatives of log π (m, S, A) along directions (m, d)."""
        return np.stack([self.push_forward(theta, direction) for direction in directions])

    def each_probabilities(self, thetas: FloatArray) -> FloatArray:
        """π(s, a) of m policies θ (m, d), shape (m, S, A)."""
        return np.stack([self.probabilities(theta) for theta in thetas])

    def each_pull_back(self, thetas: FloatArray, weights: FloatArray) -> FloatArray:
        """The pull-backs (m, d) of weights (m, S, A), each at its own θ of (m, d)."""
        pairs = zip(thetas, weights, strict=True)
        return np.stack([self.pull_back(theta, table) for theta, table in pairs])

    def each_derivative(
        self, thetas: FloatArray, pi: FloatArray, worth: FloatArray, visits: FloatArray
    ) -> FloatArray:
        """The derivatives (m, d) of worth (m, S, A) and visits (m, S), each at its own θ of (m, d).

        pi (m, S, A) are the probabilities there, which need not be worked out again.
        """
        return self.each_pull_back(thetas, visits[:, :, None] * pi * worth)

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


@dataclass(frozen=True)
class PolicyDimensions:
    """How large a policy is: d, and the bytes that evaluating it holds beside the problem's."""

    n_parameters: float
    memory: float = 0.0


@dataclass(frozen=True)
class PolicyKind(Made):
    """A named kind of policy and the function that makes it for a problem of class ``on``.

    Attributes
    ----------
    dimensions
        Function of a problem's dimensions and the maker's parameters: how large such a policy is at
        most, said before it is made. By default that of a table.
    paths, content
        As of a ``Family``: parameters that name files, and what the policy depends on beside its
        parameters, such as a file's bytes.
    objection
        Why no policy can be made with these values, said before any is, or nothing.
    library
        What such a policy needs beside the package's own dependencies, or nothing.
    """

    name: str
    maker: Callable[..., Parameterised]
    formula: str
    reference: str
    on: type[Problem] = FiniteMDP
    dimensions: Callable[..., PolicyDimensions] = lambda problem: PolicyDimensions(problem.pairs)
    paths: tuple[str, ...] = ()
    content: Callable[[Mapping[str, Any]], str] = lambda values: ""
    objection: Callable[[Mapping[str, Any]], str] = lambda values: ""
    library: str = ""

    leading = 1

    def expected(self, problem: Dimensions, given: Mapping[str, Any]) -> PolicyDimensions | None:
        """How large the policy on a problem will be, or None if it makes no sense there."""
        if problem.kind != self.on.kind:
            return None
        return self.dimensions(problem, **bind(self.name, self.parameters, given))

    def make(self, mdp: Problem, **given: Any) -> Any:
        """The policy on a problem; ValueError lists what is wrong with the parameters.

        NotApplicable for a problem of another class.
        """
        return self.made_in(Path(), mdp, given)

    def made_in(self, folder: Path, mdp: Problem, given: Mapping[str, Any]) -> Any:
        """The policy on a problem with these parameters, its files relative to a folder."""
        values = bind(self.name, self.parameters, given)
        if not isinstance(mdp, self.on):
            raise NotApplicable(
                f"{self.name} is a policy for {self.on.kind} problems, {mdp.name} is {mdp.kind}"
            )
        return self.maker(mdp, **self.located(folder, values))
