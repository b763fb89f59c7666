"""Pendulum: a torque too small to lift it must swing it up and hold it there, made finite."""

from typing import Annotated, Any

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.problems.control.discretised import Repeat, Resolution, dimensions_of, discretised
from pgbench.problems.control.interpolation import Axis
from pgbench.problems.control.system import System
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.family import Discount, Family
from pgbench.problems.finite import FiniteMDP

_GRAVITY = 10.0  # m/s²; the pendulum has mass 1 kg and length 1 m
_TIME = 0.05  # s
_FASTEST, _STRONGEST = 8.0, 2.0  # rad/s, N m


def step(state: FloatArray, torque: float) -> FloatArray:
    """Angle from upright and angular velocity (2, m), 50 ms later; angles are not wrapped."""
    angle, spin = state
    turn = 1.5 * _GRAVITY * np.sin(angle) + 3 * torque
    spin = np.clip(spin + _TIME * turn, -_FASTEST, _FASTEST)
    return np.stack([angle + _TIME * spin, spin])


def _reward(before: FloatArray, torque: float, after: FloatArray) -> FloatArray:
    angle, spin = before
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    return -(angle**2 + 0.1 * spin**2 + 0.001 * torque**2)


def _observe(state: FloatArray) -> FloatArray:
    angle, spin = state
    return np.stack([np.cos(angle), np.sin(angle), spin], axis=1)


def system(n_actions: int) -> System:
    """The pendulum with so many torques, evenly from the strongest one way to the other."""
    return System(
        axes=(Axis(angle=True), Axis(-_FASTEST, _FASTEST)),
        actions=np.linspace(-_STRONGEST, _STRONGEST, n_actions).tolist(),
        start=((-np.pi, np.pi), (-1.0, 1.0)),
        step=step,
        reward=_reward,
        observe=_observe,
    )


def pendulum(
    resolution: Resolution = 30,
    n_actions: Annotated[int, Range(2), "torques, evenly from -2 to 2 N m"] = 5,
    repeat: Repeat = 1,
    gamma: Discount = 0.99,
) -> FiniteMDP:
    """Pendulum on a grid: resolution² states; it costs θ² + ω²/10 + u²/1000 to be off the top.

    θ is the angle from upright, ω its velocity, u the torque. Dynamics, start and reward are those
    of Gymnasium's Pendulum-v1, where the torque is any number up to 2 N m, without its time limit:
    it never ends. Coordinates: cos θ, sin θ, ω.
    """
    return discretised(system(n_actions), resolution, repeat, gamma)


def dimensions(resolution: int, n_actions: int, **other: Any) -> FiniteDimensions:
    """How large the finite problem is."""
    return dimensions_of(system(n_actions), resolution)


family = Family(
    "pendulum",
    pendulum,
    size="resolution",
    reference="Pendulum-v1 (Towers et al. 2024)",
    dimensions=dimensions,
)
