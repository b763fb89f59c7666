"""Arrays as MDPtoolbox has them, in Python with actions first and in MATLAB with actions last.

Sources: Chadès, Chapron, Cros, Garcia & Sabbadin 2014 (MDPtoolbox); pymdptoolbox for the order of
axes in Python.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from pgbench.arrays import FloatArray
from pgbench.problems.checks import floats
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.npz import arrays_in, shapes_in
from pgbench.problems.problem import ProblemError

NAMES = {"P", "R", "discount", "mu0", "terminal"}
"""What a file may hold; the first two it must."""


def by_state(P: Any, R: Any) -> tuple[Any, Any]:
    """P and r as ``FiniteMDP.from_arrays`` takes them, from P and R with actions first.

    Parameters
    ----------
    P
        (A, S, S), or A matrices (S, S), dense or sparse.
    R
        (S,), (S, A) or (A, S, S), or A matrices (S, S), dense or sparse.

    Raises
    ------
    ProblemError
        If P or R has another shape.
    """
    p: Any
    thin = _are_sparse(P)
    if thin:
        p = [sparse.csr_array(matrix) for matrix in P]
        A, S = len(p), p[0].shape[0]
    else:
        dense = _dense("P", P)
        if dense.ndim != 3 or dense.shape[1] != dense.shape[2]:
            raise ProblemError(f"P has shape {dense.shape}, must be (A, S, S)")
        A, S = dense.shape[:2]
        p = np.moveaxis(dense, 0, 1)
    if _are_sparse(R) and thin:
        return p, [sparse.csr_array(matrix) for matrix in R]
    r = _dense("R", R)
    if r.shape == (S,):
        return p, np.repeat(r[:, None], A, axis=1)
    if r.shape == (S, A):
        return p, r
    if r.shape != (A, S, S):
        raise ProblemError(f"R has shape {r.shape}, must be ({S},), ({S}, {A}) or ({A}, {S}, {S})")
    return p, [sparse.csr_array(matrix) for matrix in r] if thin else np.moveaxis(r, 0, 1)


def arguments_in(path: Path, gamma: float | None = None) -> dict[str, Any]:
    """Arguments of ``FiniteMDP.from_mdptoolbox`` in an ``.npz`` or a ``.mat`` file.

    Those are P, R and, if it has them, ``discount``, ``mu0`` and ``terminal``; ``gamma`` given here
    wins. In a ``.mat`` file actions come last, (S, S, A), as MATLAB has them, or matrices are in a
    cell.

    Raises
    ------
    ProblemError
        If the file cannot be read, or holds something else.
    """
    matlab = path.suffix == ".mat"
    arrays = _of_matlab(path) if matlab else arrays_in(path)
    missing, extra = sorted({"P", "R"} - arrays.keys()), sorted(arrays.keys() - NAMES)
    if missing or extra:
        raise ProblemError(
            f"{path}: missing {missing}, unknown {extra}; must hold P and R, and may hold discount,"
            " mu0 and terminal"
        )
    own = arrays.pop("discount", None)
    discount = own if gamma is None else gamma
    if discount is None:
        raise ProblemError(f"{path} holds no discount and no gamma was given")
    if np.size(discount) != 1 or np.asarray(discount).dtype.kind not in "fiu":
        raise ProblemError(f"{path}: discount is {discount!r}, must be one number in [0, 1]")
    if matlab:
        arrays |= _actions_first(path, arrays)
    return arrays | {"gamma": float(np.ravel(discount)[0]), "name": path.stem}


def dimensions_of(path: Path) -> FiniteDimensions | None:
    """How large a file's problem is by the shapes that it declares; None if they do not tell.

    ProblemError if they cannot be read.
    """
    matlab = path.suffix == ".mat"
    shape = (_shapes_of_matlab(path) if matlab else shapes_in(path)).get("P", ())
    if len(shape) != 3:
        return None
    return FiniteDimensions(shape[1], shape[2] if matlab else shape[0], shape[1])


def _are_sparse(matrices: Any) -> bool:
    """Whether it is several matrices, one of them sparse at least."""
    return _are_listed(matrices) and any(sparse.issparse(matrix) for matrix in matrices)


def _are_listed(matrices: Any) -> bool:
    """Whether it is a list, or an array of objects."""
    if isinstance(matrices, np.ndarray):
        return matrices.dtype.hasobject
    return isinstance(matrices, list | tuple)


def _dense(name: str, given: Any) -> FloatArray:
    """An array of what may be sparse, or a list of what may be."""
    if sparse.issparse(given):
        given = given.toarray()
    elif _are_listed(given):
        given = [matrix.toarray() if sparse.issparse(matrix) else matrix for matrix in given]
    return floats(name, given, None)


def _of_matlab(path: Path) -> dict[str, Any]:
    """Variables of a ``.mat`` file."""
    from scipy.io import loadmat

    found = _read(path, loadmat)
    arrays = {name: found[name] for name in found if not name.startswith("__")}
    for name in arrays.keys() & {"mu0", "terminal"}:
        arrays[name] = arrays[name].ravel()
    if "terminal" in arrays and np.isin(arrays["terminal"], (0, 1)).all():
        arrays["terminal"] = arrays["terminal"].astype(bool)  # MATLAB's logical is uint8 here
    return arrays


def _shapes_of_matlab(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the variables of a ``.mat`` file, of which only these are read."""
    from scipy.io import whosmat

    return {name: shape for name, shape, _ in _read(path, whosmat)}


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


def _actions_first(path: Path, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """P and R of MATLAB with actions first."""
    P, R = (_turned(path, name, arrays[name]) for name in ("P", "R"))
    if not isinstance(P, list) and P.ndim == 2:
        P = P[None]  # a single action has no axis of its own there
    A, S = len(P), P[0].shape[0]
    if not isinstance(R, list) and R.ndim == 2 and R.shape != (S, A) and R.size == S:
        R = (R.toarray() if sparse.issparse(R) else R).ravel()
    return {"P": P, "R": R}


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
