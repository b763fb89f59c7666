"""Gaussian policies of one state and one action: the linear one, and a network of the user's own.

    u ~ N(μ_θ(x), σ_θ(x)²)        ψ = (z/σ) ∇μ + (z² - 1) ∇log σ,  z = (u - μ)/σ

What stands in place of scores by mistake is a combination α ∇μ + β ∇log σ of the same two.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import ParameterError
from pgbench.functions.libraries import library, log
from pgbench.policies.jax_network import jax_outputs
from pgbench.policies.network import Outputs
from pgbench.policies.torch_network import torch_outputs

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)

MOST_PARAMETERS = 40
"""A network may have so many: scores of all steps of all replicates are held at once."""

MAKERS = {"jax": jax_outputs, "torch": torch_outputs}


class GaussianPolicy(ABC):
    """μ and σ as functions of θ (d,) and of states (...)."""

    @abstractmethod
    def moments(self, theta: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """μ and σ (...) of states (...)."""

    @abstractmethod
    def slopes(self, theta: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """∇_θ μ and ∇_θ log σ (..., d) of states (...)."""

    @abstractmethod
    def traced(self, theta: Any, x: FloatArray) -> tuple[Any, Any]:
        """μ and log σ (...) of a θ of NumPy, PyTorch or JAX, to differentiate in its library."""

    def mean(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """μ (...)."""
        return self.moments(theta, x)[0]

    def scale(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """σ (...), the standard deviation of u."""
        return self.moments(theta, x)[1]

    def shares(
        self, theta: FloatArray, x: FloatArray, u: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """α and β (...) of the score: z/σ and z² - 1."""
        middle, sigma = self.moments(theta, x)
        z = (u - middle) / sigma
        return z / sigma, z**2 - 1

    def score(self, theta: FloatArray, x: FloatArray, u: FloatArray) -> FloatArray:
        """ψ = ∇_θ log π(u|x) (..., d) of actions as drawn.

        It is that of e = L tanh u too, as the Jacobian does not depend on θ.
        """
        return self.combined(theta, x, *self.shares(theta, x, u))

    def combined(
        self, theta: FloatArray, x: FloatArray, alpha: FloatArray, beta: FloatArray
    ) -> FloatArray:
        """α ∇μ + β ∇log σ (..., d) of α and β (...), which may have leading axes that x has not."""
        of_mean, of_scale = self.slopes(theta, x)
        return np.asarray(alpha[..., None] * of_mean + beta[..., None] * of_scale)

    def log_density(self, theta: FloatArray, x: FloatArray, u: FloatArray) -> FloatArray:
        """log N(u; μ, σ²) (...); less ``System.log_jacobian`` it is the log-density of e."""
        middle, sigma = self.moments(theta, x)
        return np.asarray(-0.5 * ((u - middle) / sigma) ** 2 - np.log(sigma) - _HALF_LOG_2PI)


class Linear(GaussianPolicy):
    """u ~ N(k x + c, σ²), θ = (k, c, log σ)."""

    def moments(self, theta: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The mean k x + c, and σ (...)."""
        return theta[0] * x + theta[1], np.full(np.shape(x), np.exp(theta[2]))

    def slopes(self, theta: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(x, 1, 0) and (0, 0, 1) (..., 3)."""
        ones, zeros = np.ones_like(x), np.zeros_like(x)
        return np.stack([x, ones, zeros], axis=-1), np.stack([zeros, zeros, ones], axis=-1)

    def traced(self, theta: Any, x: FloatArray) -> tuple[Any, Any]:
        """The mean k x + c and log σ, for every θ that can be multiplied."""
        return theta[0] * x + theta[1], theta[2] + 0 * x


LINEAR = Linear()


@dataclass(frozen=True, eq=False)
class OwnGaussian(GaussianPolicy):
    """μ and σ as the two outputs of a network of the state."""

    outputs: Outputs

    def moments(self, theta: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The two outputs; ParameterError where they are no mean and no positive deviation."""
        rows = np.reshape(x, (-1, 1))
        found = self.outputs.at(theta[None], rows)[0]
        if found.shape != (len(rows), 2):
            raise ParameterError(
                f"{self.outputs.name} makes {found.shape} of features {rows.shape}, must make"
                f" {(len(rows), 2)}: a mean and a standard deviation per state"
            )
        bad = ~np.isfinite(found[:, 0]) | ~((found[:, 1] > 0) & np.isfinite(found[:, 1]))
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            raise ParameterError(
                f"{self.outputs.name} makes the mean {found[i, 0]:g} and the deviation"
                f" {found[i, 1]:g} of the state {rows[i, 0]:g}; a mean must be finite, a deviation"
                " positive"
            )
        return found[:, 0].reshape(np.shape(x)), found[:, 1].reshape(np.shape(x))

    def slopes(self, theta: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """By automatic differentiation."""
        jacobian = self.outputs.jacobian(theta, np.reshape(x, (-1, 1)))
        sigma = self.scale(theta, x)
        shape = (*np.shape(x), theta.size)
        return (
            jacobian[:, 0].reshape(shape),
            jacobian[:, 1].reshape(shape) / sigma[..., None],
        )

    def traced(self, theta: Any, x: FloatArray) -> tuple[Any, Any]:
        """By the network's own library; of NumPy values alone."""
        if library(theta) == "numpy":
            middle, sigma = self.moments(np.asarray(theta, np.float64), x)
            return middle, np.log(sigma)
        found = self.outputs.traced(theta, np.reshape(np.asarray(x), (-1, 1)))
        shape = np.shape(x)
        return found[:, 0].reshape(shape), log(found[:, 1]).reshape(shape)


def own_gaussian(
    policy: str, module: Any, options: dict[str, Any] | None = None
) -> tuple[OwnGaussian, FloatArray]:
    """A user's network as a policy, and its own first θ; ParameterError where it is none."""
    if policy not in MAKERS:
        raise ParameterError(f"policy is {policy!r}, must be one of {', '.join(MAKERS)}")
    outputs = MAKERS[policy](module, 1, 2, options or {})
    d = outputs.n_parameters
    if not 1 <= d <= MOST_PARAMETERS:
        raise ParameterError(
            f"{outputs.name} has {d} trainable parameters, must have from 1 to {MOST_PARAMETERS}"
        )
    found = OwnGaussian(outputs)
    theta = outputs.initial(0)
    found.moments(theta, np.linspace(-1, 1, 3))
    return found, theta
