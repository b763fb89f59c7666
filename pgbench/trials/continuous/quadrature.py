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
from pgbench.trials.continuous.policy import LINEAR, GaussianPolicy
from pgbench.trials.continuous.system import GAUSSIAN, SQUASHED, System

ENTRIES = 2**26
"""Numbers of the largest table, of n states by m actions by n next states: 512 MiB."""

RUNAWAY = 1e3
"""States that get so much farther out than their first law reaches have no interval to stay in."""

SCAN = 2001
"""Points at which the size of a function of the state is looked at."""

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
    def finer(self) -> "Resolution":
        """Half as many nodes again, on intervals that are half a standard deviation wider."""
        return Resolution(self.spacing / 1.5, 3 * self.more // 2, self.width + 0.5)

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
    policy: GaussianPolicy = LINEAR

    def __post_init__(self) -> None:
        if self.system.limit == inf and not self._runs_free and not abs(self._slope) < 1:
            name = "a + bk" if self.system.law == GAUSSIAN else "a"
            raise ValueError(
                f"{name} is {self._slope:g}, must be in (-1, 1) where no limit ends episodes"
            )
        n, m = self.shape
        if n * m * n > ENTRIES:
            raise ValueError(f"{n} x {m} nodes are needed, {ENTRIES} transitions are allowed")

    @property
    def _runs_free(self) -> bool:
        """Whether actions of any size, by any function of the state, reach the system."""
        return self.system.law == GAUSSIAN and self.policy is not LINEAR

    @property
    def _slope(self) -> float:
        """What E[x'] grows by with x, far out."""
        pulled = self.system.b * self.theta[0] if self.system.law == GAUSSIAN else 0.0
        return float(self.system.a + pulled)

    @cached_property
    def reach(self) -> float:
        """The nodes of the state lie in [-reach, reach]."""
        system = self.system
        if system.limit < inf:
            return system.limit
        if self._runs_free:
            return self._farthest()
        free = system.law == GAUSSIAN
        push = abs(system.b) * (abs(self.theta[1]) if free else system.bound)
        pushed = system.b * float(np.exp(self.theta[2])) if free else 0.0
        spread = system.noise**2 + pushed**2
        deviation = sqrt(system.start_scale**2 + spread / (1 - self._slope**2))
        far = abs(system.start_mean) + push / (1 - abs(self._slope))
        return float(far + self.resolution.width * deviation)

    def _farthest(self) -> float:
        """The shortest interval [-r, r] found that no state leaves; ValueError if there is none.

        With |E[x' | x]| ≤ ρ|x| + c on it and noise of a deviation of at most s, |x| is bounded by
        the linear process |x|' = ρ|x| + c + |noise|, whose stationary law has the mean
        (c + s √(2/π))/(1 - ρ) and a deviation below s/√(1 - ρ²).
        """
        system, width, rho = self.system, self.resolution.width, np.linspace(0, 0.99, 100)
        first = reach = abs(system.start_mean) + width * system.start_scale
        while reach < RUNAWAY * first:
            x = np.linspace(-reach, reach, SCAN)
            middle, sigma = self.policy.moments(self.theta, x)
            s = np.sqrt(system.noise**2 + (system.b * float(sigma.max())) ** 2)
            c = (np.abs(system.drift(x, middle)) - rho[:, None] * np.abs(x)).max(axis=1).clip(0)
            far = abs(system.start_mean) + (c + s * sqrt(2 / pi)) / (1 - rho)
            found = far + width * np.sqrt(system.start_scale**2 + s**2 / (1 - rho**2))
            if found.min() <= reach:
                return float(found.min())
            reach *= 1.5
        raise ValueError(
            f"the policy may drive the state beyond {reach:.3g}, and no interval was found that it"
            " stays in"
        )

    @cached_property
    def drift_reach(self) -> float:
        """a x + b e lies in [-drift_reach, drift_reach] from every node of the state."""
        system = self.system
        if system.bound < inf:
            return abs(system.a) * self.reach + abs(system.b) * system.bound
        x = np.linspace(-self.reach, self.reach, SCAN)
        middle, sigma = self.policy.moments(self.theta, x)
        noise = self.resolution.width * sigma * np.array([[-1.0], [1.0]])
        return float(np.abs(system.drift(x, middle + noise)).max())

    @property
    def shape(self) -> tuple[int, int]:
        """n and m."""
        return len(self.x), (_PANELS + len(self.system.kinks)) * self._panel

    @cached_property
    def _panel(self) -> int:
        """Nodes of a panel of the action, in units of σ.

        The law of x' is as narrow as this in them; under tanh its poles count as well.
        """
        system, squashed = self.system, self.system.law == SQUASHED
        sigma = float(self.policy.scale(self.theta, self.x).max())
        moved = system.b * sigma / system.noise * (system.bound if squashed else 1.0)
        narrow = 1 / sqrt(1 + moved**2 + squashed * (2 * sigma) ** 2)
        return self.resolution.nodes(self.resolution.width / _PANELS, narrow)

    @cached_property
    def _states(self) -> tuple[FloatArray, FloatArray]:
        narrowest = min(self.system.noise, self.system.start_scale, self._bend)
        n = self.resolution.nodes(self.reach, narrowest)
        return panels(np.array([-self.reach, self.reach]), n)

    @property
    def _bend(self) -> float:
        """States so far apart have means of the action a deviation apart, under a network."""
        if self.policy is LINEAR:
            return inf
        x = np.linspace(-self.reach, self.reach, SCAN)
        middle, sigma = self.policy.moments(self.theta, x)
        steepest = float(np.abs(np.gradient(middle, x)).max())
        return float(sigma.min()) / steepest if steepest else inf

    @property
    def x(self) -> FloatArray:
        """(n,) states."""
        return self._states[0]

    @cached_property
    def _actions(self) -> tuple[FloatArray, FloatArray]:
        """(n, m) actions as drawn, and their probabilities."""
        width, (middle, sigma) = self.resolution.width, self.policy.moments(self.theta, self.x)
        cuts = [(kink - middle) / sigma for kink in self.system.kinks]
        even = np.tile(np.linspace(-width, width, _PANELS + 1), (len(self.x), 1))
        edges = np.concatenate([even, *(np.clip(cut, -width, width)[:, None] for cut in cuts)], 1)
        z, weights = panels(np.sort(edges, axis=1), self._panel)
        return middle[:, None] + sigma[:, None] * z, weights * np.exp(-0.5 * z**2) / sqrt(2 * pi)

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
