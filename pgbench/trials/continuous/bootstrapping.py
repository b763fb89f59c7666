"""What generalised advantage estimation expects by a critic that errs, and with ends mistaken.

    Â_t = δ_t + γλ Â_{t+1},   δ_t = r_t + γ v(x_{t+1}) - v(x_t)

v(x_{t+1}) is left out where x_{t+1} is terminal, and is there where the horizon cuts (Schulman et
al. 2016, equation 16).
"""

from collections.abc import Callable

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.trials.continuous.truth import ContinuousTruth

Critic = Callable[[FloatArray], FloatArray]
"""Values (...) of states (...)."""


def gae_weights(
    truth: ContinuousTruth,
    critic: Critic,
    lam: float,
    *,
    done_missing: bool = False,
    cut_is_end: bool = False,
) -> FloatArray:
    """E[Â_t | x_t, u_t] (H, n, m) on the nodes of the truth, unit reward.

    Parameters
    ----------
    truth, critic, lam
        System and policy, v, and λ.
    done_missing
        v(x_{t+1}) of terminal states is bootstrapped too.
    cut_is_end
        Nothing is bootstrapped where the horizon cuts.
    """
    grid, system = truth.grid, truth.system
    x = grid.x[:, None]
    landing, reward = grid.landing(system.drift(x, grid.e)), system.reward(x, grid.e)
    paid = reward + done_missing * system.gamma * grid.beyond(critic) - critic(x)
    carried, found = np.zeros(len(grid.x)), []
    for steps in range(truth.horizon):
        ahead = critic(grid.x) * (not cut_is_end or steps > 0) + lam * carried
        found.append(paid + system.gamma * (landing @ ahead))
        carried = (grid.chances * found[-1]).sum(axis=1)
    return np.stack(found[::-1])
