"""Arrays as MDPtoolbox has them in Python, with actions first.

Sources: Chadès, Chapron, Cros, Garcia & Sabbadin 2014 (MDPtoolbox); pymdptoolbox for the order of
axes in Python.
"""

from typing import Any

import numpy as np
from scipy import sparse

from pgbench.arrays import FloatArray
from pgbench.problems.checks import floats
from pgbench.problems.problem import ProblemError


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
