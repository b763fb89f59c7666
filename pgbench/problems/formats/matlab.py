"""Files of MATLAB, ``.mat``, with P and R of MDPtoolbox: actions come last, or in a cell.

Source: Chadès, Chapron, Cros, Garcia & Sabbadin 2014 (MDPtoolbox).
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from pgbench.problems.problem import ProblemError


def arrays_in_mat(path: Path) -> dict[str, Any]:
    """Variables of a file, P and R with actions first, (A, S, S), or as lists of A matrices."""
    from scipy.io import loadmat

    found = _read(path, loadmat)
    arrays = {name: found[name] for name in found if not name.startswith("__")}
    for name in arrays.keys() & {"mu0", "terminal"}:
        arrays[name] = arrays[name].ravel()
    if "terminal" in arrays and np.isin(arrays["terminal"], (0, 1)).all():
        arrays["terminal"] = arrays["terminal"].astype(bool)  # MATLAB's logical is uint8 here
    for name in arrays.keys() & {"P", "R"}:
        arrays[name] = _turned(path, name, arrays[name])
    if {"P", "R"} <= arrays.keys():
        arrays |= _without_axes(arrays["P"], arrays["R"])
    return arrays


def shapes_in_mat(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the variables of a file, of which only these are read; actions first."""
    from scipy.io import whosmat

    shapes = {name: shape for name, shape, _ in _read(path, whosmat)}
    return {
        name: (shape[2], *shape[:2]) if len(shape) == 3 else shape for name, shape in shapes.items()
    }


def _read(path: Path, how: Any) -> Any:
    """What a function of SciPy reads in a ``.mat`` file; ProblemError says why it cannot."""
    try:
        with path.open("rb") as file:
            return how(file)
    except OSError as error:
        raise ProblemError(f"{path} cannot be read: {error.strerror or error}") from error
    except NotImplementedError as error:
        raise ProblemError(f"{path} is of MATLAB's version 7.3, must be saved with -v7") from error
    except Exception as error:  # SciPy raises many kinds, all of them about the file
        raise ProblemError(f"{path} is not a readable .mat file: {error}") from error


def _turned(path: Path, name: str, array: Any) -> Any:
    """A cell as a list, or an array with its last axis first."""
    if array.dtype.hasobject:
        return list(array.ravel())
    if array.ndim == 3 and array.shape[0] != array.shape[1]:
        raise ProblemError(
            f"{path}: {name} has shape {array.shape}, must be (S, S, A), with actions last as"
            " MATLAB has them"
        )
    return np.moveaxis(array, 2, 0) if array.ndim == 3 else array


def _without_axes(P: Any, R: Any) -> dict[str, Any]:
    """P with an axis of actions that a single one has not there, and R (S,) without one of 1."""
    if not isinstance(P, list) and P.ndim == 2:
        P = P[None]
    A, S = len(P), P[0].shape[0]
    if not isinstance(R, list) and R.ndim == 2 and R.shape != (S, A) and R.size == S:
        R = (R.toarray() if sparse.issparse(R) else R).ravel()
    return {"P": P, "R": R}
