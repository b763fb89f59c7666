"""Linear-quadratic Gaussian problems: linear dynamics, quadratic costs, Gaussian noise.

x' = A x + B u + w,  w ~ N(0, W);   r(x, u) = -(xᵀQx + uᵀRu);   x_0 ~ N(μ, Σ_0)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from pgbench.arrays import FloatArray
from pgbench.problems.dimensions import QuadraticDimensions
from pgbench.problems.problem import Problem, ProblemError, require_size
from pgbench.problems.quadratic import Quadratic

_SYMMETRY = 1e-9
_EIGENVALUE = 1e-12
"""Relative size below which asymmetry, and negative eigenvalues, are rounding."""

LARGEST = 1e25
"""As ``REWARDS``, for every array: rewards are costs times squares of states."""


@dataclass(frozen=True, eq=False, repr=False)
class LinearQuadratic(Problem):
    """A linear-quadratic Gaussian problem; it goes on for ever, rollouts are unclipped.

    Parameters
    ----------
    A, B
        (n, n) and (n, m) float64, dynamics.
    Q, R
        (n, n) and (m, m) float64, symmetric, costs of state and action in units of reward; Q
        positive semidefinite, R positive definite.
    noise
        (n, n) float64, covariance W of the process noise, positive semidefinite.
    start_mean, start_covariance
        (n,) and (n, n) float64, of the first state.
    gamma
        Discount in [0, 1]. With 1 only finite horizons have finite values.
    name
        Label in messages and results.

    Scalars stand for 1×1 matrices. No entry is larger than 1e25: powers of estimates would not be
    finite.

    Raises
    ------
    ProblemError
        A ValueError that names the array, the value and what is allowed.
    """

    A: FloatArray
    B: FloatArray
    Q: FloatArray
    R: FloatArray
    noise: FloatArray
    start_mean: FloatArray
    start_covariance: FloatArray
    gamma: float
    name: str = "lqg"
    kind: ClassVar[str] = "linear-quadratic"  # type: ignore[misc]

    def __post_init__(self) -> None:
        A = _matrix("A", self.A)
        n = A.shape[0]
        _require("A", A, (n, n))
        B = _matrix("B", self.B)
        m = B.shape[1]
        _require("B", B, (n, m))
        mean = np.array(np.atleast_1d(np.asarray(self.start_mean, np.float64)))
        if mean.shape != (n,) or not np.isfinite(mean).all():
            raise ProblemError(f"start_mean has shape {mean.shape}, must be ({n},) and finite")
        values: dict[str, Any] = {"A": A, "B": B, "start_mean": mean}
        sizes = {"Q": n, "R": m, "noise": n, "start_covariance": n}
        for name, size in sizes.items():
            own = _matrix(name, getattr(self, name))
            _require(name, own, (size, size))
            values[name] = _definite(name, own, positive=name == "R")
        for name, array in values.items():
            require_size(name, array, LARGEST)
        number = isinstance(self.gamma, Real) and not isinstance(self.gamma, bool)
        if not (number and 0 <= self.gamma <= 1):
            raise ProblemError(f"gamma is {self.gamma!r}, must be a number in [0, 1]")
        values["gamma"] = float(self.gamma)
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def n(self) -> int:
        """State dimension."""
        return self.A.shape[0]

    @property
    def m(self) -> int:
        """Action dimension."""
        return self.B.shape[1]

    @property
    def facts(self) -> Mapping[str, Any]:
        """Sizes and discount by the names of the dataset's coordinates."""
        return {"state_dimension": self.n, "action_dimension": self.m, "gamma": self.gamma}

    @property
    def numbers(self) -> int:
        """Entries of A and B."""
        return self.A.size + self.B.size

    @property
    def dimensions(self) -> QuadraticDimensions:
        """How large the problem is."""
        return QuadraticDimensions(self.n, self.m)

    @cached_property
    def reward(self) -> Quadratic:
        """r(x, u) = -(xᵀQx + uᵀRu), unit reward."""
        n, m = self.n, self.m
        matrix = np.zeros((n + 1 + m, n + 1 + m))
        matrix[:n, :n], matrix[n + 1 :, n + 1 :] = -self.Q, -self.R
        return Quadratic(matrix, n)

    @cached_property
    def dynamics(self) -> tuple[FloatArray, FloatArray]:
        """Ã (n+1, n+1) and B̃ (n+1, m) of the steps x̃' = Ãx̃ + B̃u + noise of x̃ = (x, 1)."""
        n, m = self.n, self.m
        A, B = np.zeros((n + 1, n + 1)), np.zeros((n + 1, m))
        A[:n, :n], A[n, n], B[:n] = self.A, 1.0, self.B
        return A, B

    @property
    def one_start(self) -> bool:
        """Whether all episodes begin in one state."""
        return not self.start_covariance.any()

    @cached_property
    def start(self) -> FloatArray:
        """E[x̃_0 x̃_0ᵀ], shape (n+1, n+1)."""
        x = np.append(self.start_mean, 1.0)
        moments = np.outer(x, x)
        moments[: self.n, : self.n] += self.start_covariance
        return moments

    @cached_property
    def noise_factor(self) -> FloatArray:
        """(n, r) with F Fᵀ = W, r its rank."""
        return factor(self.noise)

    @cached_property
    def start_factor(self) -> FloatArray:
        """(n, r) with F Fᵀ = Σ_0, r its rank."""
        return factor(self.start_covariance)

    @cached_property
    def digest(self) -> str:
        """Hash of everything that defines the problem, for provenance."""
        state = blake2b(np.float64(self.gamma).tobytes(), digest_size=16)
        for name in ("A", "B", "Q", "R", "noise", "start_mean", "start_covariance"):
            array = getattr(self, name)
            state.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return state.hexdigest()

    def stability(self, gain: FloatArray) -> FloatArray:
        """√γ times the spectral radius of A + BK (...), for gains K (..., m, n); stable below 1."""
        with np.errstate(invalid="ignore", over="ignore"):
            closed = self.A + self.B @ gain
        finite = np.asarray(np.isfinite(closed).all(axis=(-2, -1)))
        safe = np.where(finite[..., None, None], closed, 0.0)
        radius = np.abs(np.linalg.eigvals(safe)).max(axis=-1)
        return np.asarray(np.where(finite, np.sqrt(self.gamma) * radius, np.inf), np.float64)

    def __repr__(self) -> str:
        return f"LinearQuadratic({self.name!r}, n={self.n}, m={self.m}, gamma={self.gamma:g})"


def factor(covariance: FloatArray) -> FloatArray:
    """(n, r) with F Fᵀ the covariance (n, n) of rank r: Cholesky's, or else the square root's."""
    try:
        return np.asarray(np.linalg.cholesky(covariance), np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        used = values > _EIGENVALUE * max(float(values.max(initial=0.0)), np.finfo(float).tiny)
        return np.asarray(vectors[:, used] * np.sqrt(values[used]), np.float64)


def _matrix(name: str, value: ArrayLike) -> FloatArray:
    try:
        array = np.array(np.asarray(value, np.float64), ndmin=2)
    except (TypeError, ValueError) as error:
        raise ProblemError(f"{name} is not an array of numbers: {error}") from error
    if array.ndim != 2 or 0 in array.shape:
        raise ProblemError(f"{name} has shape {array.shape}, must be a matrix")
    bad = np.argwhere(~np.isfinite(array))
    if bad.size:
        i, j = bad[0]
        raise ProblemError(f"{name}[{i}, {j}] is {array[i, j]}, must be finite")
    return array


def _require(name: str, array: FloatArray, shape: tuple[int, int]) -> None:
    if array.shape != shape:
        raise ProblemError(f"{name} has shape {array.shape}, must be {shape}")


def _definite(name: str, array: FloatArray, *, positive: bool) -> FloatArray:
    """The symmetric array; ProblemError if it is not, or not definite enough."""
    size = float(np.abs(array).max())
    if float(np.abs(array - array.T).max()) > _SYMMETRY * size:
        i, j = np.unravel_index(np.abs(array - array.T).argmax(), array.shape)
        raise ProblemError(
            f"{name}[{i}, {j}] is {array[i, j]:g} and {name}[{j}, {i}] is {array[j, i]:g},"
            " must be symmetric"
        )
    symmetric = (array + array.T) / 2
    least = float(np.linalg.eigvalsh(symmetric).min())
    if positive and not least > 0:
        raise ProblemError(f"{name} has the eigenvalue {least:g}, all must be positive")
    if least < -_EIGENVALUE * max(size, np.finfo(float).tiny):
        raise ProblemError(f"{name} has the eigenvalue {least:g}, none may be negative")
    return np.asarray(symmetric, np.float64)
