"""An estimator is data: four tables, a shape, and the process they are filled in for.

    x_t = σ_t + κ_t x_{t+1},   D_0 = 1,  D_{t+1} = δ_t D_t
    ĝ(τ) = Σ_t D_t (x_t - β_t) ψ_t     "per-step"
    ĝ(τ) = (x_0 - β_0) Σ_t ψ_t         "total"

The same tables drive the compiled rollout kernel, the exact moments, and the enumeration of all
trajectories.
"""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pgbench.arrays import FloatArray
from pgbench.problems.quadratic import Quadratic, Transition
from pgbench.process.process import GaussianProcess, Process


@dataclass(frozen=True, eq=False)
class Tables:
    """One estimator on one problem and policy.

    process says what is simulated, with S' states, A actions and B slots. sigma (S', A, B), kappa,
    beta, delta (S', A) float64; zero on terminal states. ``total`` selects the total shape, in
    which delta is not used. Of a process of m policies a table that is not the same for all of them
    has these as first axis.
    """

    process: Process
    sigma: FloatArray
    kappa: FloatArray
    beta: FloatArray
    delta: FloatArray
    total: bool

    @classmethod
    def build(
        cls,
        process: Any,
        *,
        sigma: Any = 0.0,
        kappa: ArrayLike = 0.0,
        beta: Any = 0.0,
        delta: ArrayLike = 1.0,
        total: bool = False,
    ) -> Any:
        """Tables from anything that broadcasts to their shapes, cleared on terminal states.

        On a linear-quadratic problem ``Forms``, from quadratic forms and numbers.
        """
        return _build(process, sigma, kappa, beta, delta, total)


@dataclass(frozen=True, eq=False)
class Forms:
    """A table estimator of a linear-quadratic problem: quadratic forms in place of tables.

    sigma and beta are forms of (x, u), ``after`` what σ adds for x'; kappa and delta are numbers.
    Where the process draws actions from another law than it scores, σ, κ and δ are multiplied by
    the ratio of their densities.
    """

    process: GaussianProcess
    sigma: Quadratic
    after: Quadratic
    kappa: float
    beta: Quadratic
    delta: float
    total: bool


@singledispatch
def _build(process: Any, sigma: Any, kappa: Any, beta: Any, delta: Any, total: bool) -> Any:
    """``Tables.build``."""
    raise NotImplementedError(f"no tables are known of a {type(process).__name__}")


@_build.register
def _(
    process: Process, sigma: ArrayLike, kappa: ArrayLike, beta: ArrayLike, delta: ArrayLike,
    total: bool,
) -> Tables:  # fmt: skip
    mdp = process.mdp
    ends = np.flatnonzero(mdp.terminal)

    def fill(value: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
        given = np.asarray(value, np.float64)
        own = process.pi.shape[:-2] if given.ndim > len(shape) else ()
        table = np.empty((*own, *shape))
        table[...] = given
        if ends.size:
            table.reshape(-1, mdp.n_states, *shape[1:])[:, ends] = 0.0
        return table

    pairs = (mdp.n_states, mdp.n_actions)
    return Tables(
        process=process,
        sigma=fill(sigma, mdp.probability.shape),
        kappa=fill(kappa, pairs),
        beta=fill(beta, pairs),
        delta=fill(delta, pairs),
        total=total,
    )


@_build.register
def _(
    process: GaussianProcess, sigma: Transition | Quadratic | float, kappa: ArrayLike,
    beta: Quadratic | float, delta: ArrayLike, total: bool,
) -> Forms:  # fmt: skip
    nothing = 0.0 * process.mdp.reward
    here, after = (sigma.here, sigma.after) if isinstance(sigma, Transition) else (sigma, nothing)
    return Forms(
        process=process,
        sigma=here + nothing,
        after=after,
        kappa=float(np.asarray(kappa)),
        beta=beta + nothing,
        delta=float(np.asarray(delta)),
        total=total,
    )
