"""The return of a trajectory, R = Σ_t γ^t r_t: its exact moments."""

from functools import singledispatch
from typing import NamedTuple

from pgbench.exact.truth import Truth


class Return(NamedTuple):
    """Mean and variance of R, units reward and reward²."""

    mean: float
    variance: float


@singledispatch
def return_moments(truth: Truth, horizon: int) -> Return:
    """Mean and variance of the return of H steps (Sobel 1982, Theorem 1)."""
    raise NotImplementedError(f"no moments of returns are known of a {type(truth).__name__}")
