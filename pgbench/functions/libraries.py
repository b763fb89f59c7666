"""The few functions that a loss needs in whichever library θ is of: NumPy, PyTorch or JAX.

None of these is imported here but NumPy: who hands over a tensor has imported its library.
"""

import sys
from typing import Any

import numpy as np
from scipy import special


def library(array: Any) -> str:
    """``torch``, ``jax``, or ``numpy`` for everything else."""
    home = type(array).__module__.partition(".")[0]
    if home == "torch":
        return "torch"
    return "jax" if home in ("jax", "jaxlib") else "numpy"


def like(array: Any, values: Any) -> Any:
    """Values as an array of the library and format of another."""
    kind = library(array)
    if kind == "torch":
        torch = sys.modules["torch"]
        return torch.tensor(np.asarray(values), dtype=array.dtype, device=array.device)
    if kind == "jax":
        return sys.modules["jax"].numpy.asarray(values, dtype=array.dtype)
    return np.asarray(values, getattr(array, "dtype", np.float64))


def exp(array: Any) -> Any:
    """The exponential, in the library of the array."""
    kind = library(array)
    if kind == "torch":
        return array.exp()
    return sys.modules["jax"].numpy.exp(array) if kind == "jax" else np.exp(array)


def log(array: Any) -> Any:
    """The natural logarithm, in the library of the array."""
    kind = library(array)
    if kind == "torch":
        return array.log()
    return sys.modules["jax"].numpy.log(array) if kind == "jax" else np.log(array)


def log_softmax(logits: Any) -> Any:
    """Logits less the logarithm of the sum of their exponentials over the last axis."""
    kind = library(logits)
    if kind == "torch":
        return logits.log_softmax(-1)
    if kind == "jax":
        return sys.modules["jax"].nn.log_softmax(logits, axis=-1)
    return special.log_softmax(logits, axis=-1)
