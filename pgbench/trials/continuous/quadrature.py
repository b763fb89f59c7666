"""A linear system under a policy on the nodes of quadrature rules.

Integrals over the next state go over Gauss-Legendre nodes x_j with the density of x' as a weight,
so that V on the nodes is all there is to know of V (Nyström 1930). Integrals over the action go
over panels of such nodes, which end where a clipped action has its kinks. Integrands are analytic
between, so errors fall geometrically with the number of nodes. Where no limit bounds the states the
nodes reach so far that a share of about 1e-16 of visits lies beyond.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import ceil, inf, pi, sqrt

import numpy as np
from numpy.polynomial.legendre import Legendre, leggauss, legvander

from pgbench.arrays import FloatArray
from pgbench.trials.continuous.system import GAUSSIAN, SQUASHED, System, mean, scale

ENTRIES = 2**26
"""Numbers of the largest table, of n states by m actions by n next states: 512 MiB."""

_PANELS = 3
"""Panels of the action beside those that kinks make."""


@dataclass(frozen=True)
class Resolution:
    """How finely quadrature resolves Gaussian laws, and how far it goes.

    Attributes
    ----------
    spacing
        Distance of nodes in deviations of the narrowest law, where they are sparsest. Errors are
        about exp(-2π²/spacing²).
    more
        Nodes added to every panel, for what is curved otherwise than Gaussian laws are.
    width
        Where laws are cut, in standard deviations.
    """

    spacing: float = 0.7
    more: int = 12
    width: float = 8.5

    @property
    def doubled(self) -> "Resolution":
        """Twice the nodes, on intervals that are a standard deviation wider."""
        return Resolution(self.spacing / 2, 2 * self.more, self.width + 1)

    def nodes(self, half: float, deviation: float) -> int:
        """So many nodes a panel of this half width has for laws of this deviation."""
        return ceil(pi * half / (self.spacing * deviation)) + self.more


FINE = Resolution()
"""What exact quantities are computed with."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Nodes of n states, and of m actions at each.

    Raises
    ------
    ValueError
        Where states have neither a limit nor a stationary law, or nodes would be too many.
    """

    system: System
    theta: FloatArray
    resolution: Resolution

    def __post_init__(self) -> None:
        if self.system.limit == inf and not abs(self._slope) < 1:
            name = "a + bk" if self.system.law == GAUSSIAN else "a"
            raise ValueError(
                f"{name} is {self._slope:g}, must be in (-1, 1) where no limit ends episodes"
            )
        n, m = self.shape
        if n * m * n > ENTRIES:
            raise ValueError(f"{n} x {m} nodes are needed, {ENTRIES} transitions are allowed")

    @property
    def _slope(self) -> float:
        """What E[x'] grows by with x, far out."""
        pulled = self.system.b * self.theta[0] if self.system.law == GAUSSIAN else 0.0
        return float(self.system.a + pulled)

    @cached_property
    def reach(self) -> float:
        """The nodes of the state lie in [-reach, reach]."""
        system, (_, c, _) = self.system, self.theta
        if system.limit < inf:
            return system.limit
        free = system.law == GAUSSIAN
        push = abs(system.b) * (abs(c) if free else system.bound)
        spread = system.noise**2 + (system.b * scale(self.theta)) ** 2 * free
        deviation = sqrt(system.start_scale**2 + spread / (1 - self._slope**2))
        far = abs(system.start_mean) + push / (1 - abs(self._slope))
        return float(far + self.resolution.width * deviation)

    @property
    def drift_reach(self) -> float:
        """a x + b e lies in [-drift_reach, drift_reach] from every node of the state."""
        system, ends = self.system, np.array([-self.reach, self.reach])
        if system.bound < inf:
            return abs(system.a) * self.reach + abs(system.b) * system.bound
        noise = self.resolution.width * scale(self.theta) * np.array([[-1.0], [1.0]])
        return float(np.abs(system.drift(ends, mean(self.theta, ends) + noise)).max())

    @property
    def shape(self) -> tuple[int, int]:
        """n and m."""
        narrowest = min(self.system.noise, self.system.start_scale)
        n = self.resolution.nodes(self.reach, narrowest)
        return n, (_PANELS + len(self.system.kinks)) * self._panel

    @property
    def _panel(self) -> int:
        """Nodes of a panel of the action, in units of σ.

        The law of x' is as narrow as this in them; under tanh its poles count as well.
        """
        system, sigma, squashed = self.system, scale(self.theta), self.system.law == SQUASHED
        moved = system.b * sigma / system.noise * (system.bound if squashed else 1.0)
        narrow = 1 / sqrt(1 + moved**2 + squashed * (2 * sigma) ** 2)
        return self.resolution.nodes(self.resolution.width / _PANELS, narrow)

    @cached_property
    def _states(self) -> tuple[FloatArray, FloatArray]:
        return panels(np.array([-self.reach, self.reach]), self.shape[0])

    @property
    def x(self) -> FloatArray:
        """(n,) states."""
        return self._states[0]

    @cached_property
    def _actions(self) -> tuple[FloatArray, FloatArray]:
        """(n, m) actions as drawn, and their probabilities."""
        width, middle, sigma = self.resolution.width, mean(self.theta, self.x), scale(self.theta)
        cuts = [(kink - middle) / sigma for kink in self.system.kinks]
        even = np.tile(np.linspace(-width, width, _PANELS + 1), (len(self.x), 1))
        edges = np.concatenate([even, *(np.clip(cut, -width, width)[:, None] for cut in cuts)], 1)
        z, weights = panels(np.sort(edges, axis=1), self._panel)
        return middle[:, None] + sigma * z, weights * np.exp(-0.5 * z**2) / sqrt(2 * pi)

    @property
    def u(self) -> FloatArray:
        """(n, m) actions as drawn."""
        return self._actions[0]

    @property
    def chances(self) -> FloatArray:
        """(n, m) their probabilities; rows sum to 1."""
        return self._actions[1]

    @cached_property
    def e(self) -> FloatArray:
        """(n, m) what the system sees of them."""
        return self.system.applied(self.u)

    @cached_property
    def start(self) -> FloatArray:
        """(n,) probabilities of the first state."""
        return self._landing(np.array(self.system.start_mean), self.system.start_scale)

    def landing(self, drift: FloatArray) -> FloatArray:
        """Probabilities (..., n) of the next state, not terminal, from its means (...)."""
        return self._landing(drift, self.system.noise)

    def _landing(self, middle: FloatArray, deviation: float) -> FloatArray:
        return gaussian(*self._states, middle, deviation)

    def beyond(self, f: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """(n, m) E[f(x') 1{x' is terminal}] of a function of states (...)."""
        system, reach = self.system, self.system.limit
        if reach == inf:
            return np.zeros_like(self.e)
        far = self.drift_reach + self.resolution.width * system.noise
        n = self.resolution.nodes((far - reach) / 2, system.noise)
        x, weights = panels(np.array([[-far, -reach], [reach, far]]), n)
        drift = system.drift(self.x[:, None], self.e)
        return gaussian(x.ravel(), weights.ravel(), drift, system.noise) @ f(x.ravel())


def gaussian(
    x: FloatArray, weights: FloatArray, middle: FloatArray, deviation: float
) -> FloatArray:
    """Probabilities (..., n) under N(middle (...), deviation²) of nodes (n,) with their weights."""
    exponent = x - middle[..., None]
    np.square(exponent, out=exponent)
    exponent *= -0.5 / deviation**2
    landing = np.exp(exponent, out=exponent)
    landing *= weights / (deviation * sqrt(2 * pi))
    return landing


def panels(edges: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights (..., p n) of Gauss-Legendre rules on panels with edges (..., p + 1)."""
    t, weights = leggauss(n)
    half = np.diff(edges)[..., None] / 2
    nodes = edges[..., :-1, None] + half * (1 + t)
    shape = (*edges.shape[:-1], -1)
    return nodes.reshape(shape), (half * weights).reshape(shape)


def series(values: FloatArray, reach: float) -> Legendre:
    """The polynomial on [-reach, reach] with values (n,) on the Gauss-Legendre nodes."""
    t, weights = leggauss(len(values))
    order = np.arange(len(values))
    coefficients = (order + 0.5) * ((weights * values) @ legvander(t, len(values) - 1))
    return Legendre(coefficients, domain=[-reach, reach])
