"""An estimator is data: four tables, a shape, and the process they are filled in for.

    x_t = σ_t + κ_t x_{t+1},   D_0 = 1,  D_{t+1} = δ_t D_t
    ĝ(τ) = Σ_t D_t (x_t - β_t) ψ_t     "per-step"
    ĝ(τ) = (x_0 - β_0) Σ_t ψ_t         "total"

The same tables drive the compiled rollout kernel, the exact moments, and the enumeration of all
trajectories.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pgbench.process import Process

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tables:
    """One estimator on one problem and policy.

    process says what is simulated, with S' states, A actions and B slots. sigma (S', A, B), kappa,
    beta, delta (S', A) float64; zero on terminal states. ``total`` selects the total shape, in
    which delta is not used.
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
        process: Process,
        *,
        sigma: ArrayLike = 0.0,
        kappa: ArrayLike = 0.0,
        beta: ArrayLike = 0.0,
        delta: ArrayLike = 1.0,
        total: bool = False,
    ) -> "Tables":
        """Tables from anything that broadcasts to their shapes, cleared on terminal states."""
        mdp = process.mdp

        def fill(value: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
            table = np.array(np.broadcast_to(np.asarray(value, np.float64), shape))
            table[mdp.terminal] = 0.0
            return table

        pairs = (mdp.n_states, mdp.n_actions)
        return cls(
            process=process,
            sigma=fill(sigma, mdp.probability.shape),
            kappa=fill(kappa, pairs),
            beta=fill(beta, pairs),
            delta=fill(delta, pairs),
            total=total,
        )
