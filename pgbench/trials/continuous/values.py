"""V and Q of any state and action, from what is known on the nodes of a grid.

V and its mean over the noise, E_w V(ax + be + w), are polynomials of Legendre through the nodes.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial.legendre import Legendre

from pgbench.arrays import FloatArray
from pgbench.trials.continuous.quadrature import Grid, panels, series
from pgbench.trials.continuous.tables import Tables


@dataclass(frozen=True, eq=False)
class Values:
    """Functions of states (...) and actions as drawn (...), with ``steps`` to go.

    steps is from 1 to H, or None over an endless horizon. Everything is zero in terminal states.
    """

    grid: Grid
    tables: Tables

    def v(self, x: FloatArray, steps: int | None = None) -> FloatArray:
        """V (...), unit reward."""
        reach, own = self.grid.reach, self._series(steps)[0]
        return self._where_alive(x, own(np.clip(x, -reach, reach)))

    def q(self, x: FloatArray, u: FloatArray, steps: int | None = None) -> FloatArray:
        """Q (...), unit reward."""
        system, ahead = self.grid.system, self._series(steps)[1]
        e = system.applied(u)
        later = ahead(np.clip(system.drift(x, e), *ahead.domain))
        return self._where_alive(x, system.reward(x, e) + system.gamma * later)

    def q_slope(self, x: FloatArray, u: FloatArray, steps: int | None = None) -> FloatArray:
        """∂Q/∂u (...), for gradients along u = kx + c + σξ; zero where an action is clipped."""
        system, ahead = self.grid.system, self._series(steps)[1]
        e = system.applied(u)
        later = ahead.deriv()(np.clip(system.drift(x, e), *ahead.domain))
        by_e = system.gamma * system.b * later - 2 * system.action_cost * e
        return self._where_alive(x, by_e * system.slope(u))

    def _where_alive(self, x: FloatArray, values: FloatArray) -> FloatArray:
        return np.where(self.grid.system.terminal(x), 0.0, values)

    def _series(self, steps: int | None) -> tuple[Legendre, Legendre]:
        if steps not in self._known:
            most = len(self.tables.v) - 1
            raise ValueError(f"steps is {steps!r}, must be from 1 to {most}, or None")
        return self._known[steps]

    @cached_property
    def _known(self) -> dict[int | None, tuple[Legendre, Legendre]]:
        """V, and its mean over the noise as a function of ax + be, by the number of steps to go."""
        grid, far = self.grid, self.grid.drift_reach
        landing = grid.landing(panels(np.array([-far, far]), len(grid.x))[0])
        endless, v = self.tables.v_endless, self.tables.v
        pairs: dict[int | None, tuple[FloatArray, FloatArray]] = {None: (endless, endless)}
        pairs |= {h: (v[h], v[h - 1]) for h in range(1, len(v))}
        return {
            steps: (series(now, grid.reach), series(landing @ later, far))
            for steps, (now, later) in pairs.items()
        }
