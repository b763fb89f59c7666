"""V and Q of any state and action, from what is known on the nodes of a grid.

V and its mean over the noise, E_w V(ax + be + w), are polynomials of Legendre through the nodes.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

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
        later = ahead(self._drift(x, e))
        return self._where_alive(x, system.reward(x, e) + system.gamma * later)

    def q_slope(self, x: FloatArray, u: FloatArray, steps: int | None = None) -> FloatArray:
        """∂Q/∂u (...), for gradients along u = kx + c + σξ; zero where an action is clipped."""
        system, ahead = self.grid.system, self._series(steps)[1]
        e = system.applied(u)
        later = ahead.deriv()(self._drift(x, e))
        by_e = system.gamma * system.b * later - 2 * system.action_cost * e
        return self._where_alive(x, by_e * system.slope(u))

    def _drift(self, x: FloatArray, e: FloatArray) -> FloatArray:
        far = self.grid.drift_reach
        return np.clip(self.grid.system.drift(x, e), -far, far)

    def _where_alive(self, x: FloatArray, values: FloatArray) -> FloatArray:
        return np.where(self.grid.system.terminal(x), 0.0, values)

    def _series(self, steps: int | None) -> tuple[Any, Any]:
        if steps not in self._known:
            most = len(self.tables.v) - 1
            raise ValueError(f"steps is {steps!r}, must be from 1 to {most}, or None")
        return self._known[steps]

    @cached_property
    def _known(self) -> dict[int | None, tuple[Any, Any]]:
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


POINTS = 2**14
"""Points of a spline: errors of its fourth power are below 1e-11 of the largest value."""


@dataclass(frozen=True, eq=False)
class QuickValues(Values):
    """V and Q over an endless horizon by cubic splines, for many states, or for few many times."""

    @classmethod
    def of(cls, values: Values) -> "QuickValues":
        """The same values, quickly."""
        return cls(values.grid, values.tables)

    @cached_property
    def _known(self) -> dict[int | None, tuple[Any, Any]]:
        pair = Values(self.grid, self.tables)._series(None)
        reaches = self.grid.reach, self.grid.drift_reach
        now, ahead = (_spline(*one) for one in zip(pair, reaches, strict=True))
        return {None: (now, ahead)}


def _spline(f: Any, reach: float) -> CubicSpline:
    x = np.linspace(-reach, reach, POINTS)
    return CubicSpline(x, f(x))
