"""Arrays as users give them, checked: ProblemError names the array, the place and the value."""

import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pgbench.arrays import BoolArray, FloatArray
from pgbench.problems.problem import ProblemError


def floats(
    name: str,
    values: ArrayLike,
    ndim: int | None,
    shape: tuple[int, ...] | None = None,
    hint: str = "",
) -> FloatArray:
    """A copy of finite numbers of a shape, or of so many dimensions."""
    try:
        given = np.asarray(values)
        array = given if np.iscomplexobj(given) else np.array(given, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise ProblemError(f"{name} is not an array of numbers: {error}") from error
    if np.iscomplexobj(array):
        raise ProblemError(f"{name} holds complex numbers, must hold real ones")
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


def endings(
    outcomes: ArrayLike | None, truncated: ArrayLike | None, terminal: BoolArray
) -> dict[str, Any]:
    """Copies of what is said of episodes by the state that they end in; what is given, by name."""
    found: dict[str, Any] = {}
    if outcomes is not None:
        found["outcomes"] = said = floats("outcomes", outcomes, 2)
        if len(said) != len(terminal) or said.shape[1] < 1:
            raise ProblemError(f"outcomes has shape {said.shape}, must be ({len(terminal)}, c)")
        said[~terminal] = 0.0
        wrong = np.flatnonzero((said[:, 0] != 0) & (said[:, 0] != 1))
        if wrong.size:
            raise ProblemError(
                f"outcomes[{wrong[0]}, 0] is {said[wrong[0], 0]:g}, must be 1 for success or 0"
            )
    if truncated is not None:
        cut = np.array(truncated)
        if cut.shape != terminal.shape or cut.dtype != bool:
            raise ProblemError(
                f"truncated has shape {cut.shape} and dtype {cut.dtype},"
                f" must be {terminal.shape} bool"
            )
        if (cut & ~terminal).any():
            state = np.flatnonzero(cut & ~terminal)[0]
            raise ProblemError(
                f"truncated[{state}] is true but state {state} is not terminal; a limit ends the"
                " episode"
            )
        found["truncated"] = cut
    return found


def warn(message: str, category: type[Warning]) -> None:
    """Warn of the line that calls into the package, however far above this one."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("pgbench."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
