"""Arrays as users give them, checked: ProblemError names the array, the place and the value."""

import sys
import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pgbench.arrays import FloatArray
from pgbench.problems.problem import ProblemError


def floats(
    name: str,
    values: ArrayLike,
    ndim: int | None,
    shape: tuple[int, ...] | None = None,
    hint: str = "",
) -> FloatArray:
    """A copy of finite numbers of a shape, or of so many dimensions."""
    if np.iscomplexobj(values):
        raise ProblemError(f"{name} holds complex numbers, must hold real ones")
    try:
        array = np.array(values, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise ProblemError(f"{name} is not an array of numbers: {error}") from error
    if ndim is not None and array.ndim != ndim:
        raise ProblemError(f"{name} has {array.ndim} dimensions, must have {ndim}")
    if shape is not None and array.shape != shape:
        raise ProblemError(f"{name} has shape {array.shape}, must be {shape}")
    # The sum is finite unless an entry is not or entries are huge, and takes no memory.
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(array.sum())
    bad = np.empty(0) if finite else np.argwhere(~np.isfinite(array))
    if bad.size:
        place = tuple(int(i) for i in bad[0])
        raise ProblemError(f"{name}{list(place)} is {array[place]}, must be finite{hint}")
    return array


def successors(values: ArrayLike, shape: tuple[int, int, int]) -> NDArray[np.int32]:
    """A copy (S, A, B) of states of which there are S."""
    array = np.asarray(values)
    if array.shape != shape or not np.issubdtype(array.dtype, np.integer):
        raise ProblemError(
            f"successor has shape {array.shape} and dtype {array.dtype},"
            f" must be integers of shape {shape}"
        )
    if array.min() < 0 or array.max() >= shape[0]:
        place = tuple(int(i) for i in np.argwhere((array < 0) | (array >= shape[0]))[0])
        raise ProblemError(
            f"successor{list(place)} is {array[place]}, must be in [0, {shape[0] - 1}]"
        )
    return array.astype(np.int32, order="C")


def warn(message: str, category: type[Warning]) -> None:
    """Warn of the line that calls into the package, however far above this one."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("pgbench."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
