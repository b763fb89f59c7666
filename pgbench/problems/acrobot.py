"""Acrobot: two links of which only the joint between is driven, made finite by a grid."""

from functools import partial

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.problems.control.discretised import Repeat, Resolution, dimensions_of, discretised
from pgbench.problems.control.interpolation import Axis
from pgbench.problems.control.system import System
from pgbench.problems.family import Discount, Family
from pgbench.problems.finite import FiniteMDP

_GRAVITY = 9.8  # m/s²; both links have mass 1 kg, length 1 m and moment of inertia 1 kg m²
_CENTRE = 0.5  # m, from a link's joint to its centre of mass
_TIME = 0.2  # s
_FASTEST = 4 * np.pi, 9 * np.pi  # rad/s
_ROUNDING = 1e-9


def _derivative(state: FloatArray, torque: float) -> FloatArray:
    """Time derivative of both angles and both angular velocities, (4, m)."""
    first, second, spin1, spin2 = state
    coupling = _CENTRE * np.cos(second)
    swing = _CENTRE * np.sin(second)
    d1 = 2 * _CENTRE**2 + 1 + 2 * coupling + 2
    d2 = _CENTRE**2 + coupling + 1
    phi2 = _CENTRE * _GRAVITY * np.sin(first + second)
    phi1 = (
        -swing * spin2**2
        - 2 * swing * spin2 * spin1
        + (_CENTRE + 1) * _GRAVITY * np.sin(first)
        + phi2
    )
    turn2 = (torque + d2 / d1 * phi1 - swing * spin1**2 - phi2) / (_CENTRE**2 + 1 - d2**2 / d1)
    turn1 = -(d2 * turn2 + phi1) / d1
    return np.stack([spin1, spin2, turn1, turn2])


def step(state: FloatArray, torque: float) -> FloatArray:
    """States (4, m) 0.2 s later, by one Runge-Kutta step of order 4, angles in [-π, π).

    Angle of the first link from hanging, of the second from the first, and their velocities, under
    a torque between the links. (Sutton & Barto 1998, Section 11.3)
    """
    k1 = _derivative(state, torque)
    k2 = _derivative(state + _TIME / 2 * k1, torque)
    k3 = _derivative(state + _TIME / 2 * k2, torque)
    k4 = _derivative(state + _TIME * k3, torque)
    first, second, spin1, spin2 = state + _TIME / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return np.stack(
        [
            (first + np.pi) % (2 * np.pi) - np.pi,
            (second + np.pi) % (2 * np.pi) - np.pi,
            np.clip(spin1, -_FASTEST[0], _FASTEST[0]),
            np.clip(spin2, -_FASTEST[1], _FASTEST[1]),
        ]
    )


def _reaches(state: FloatArray) -> BoolArray:
    # Grid points lie on the line itself, where rounding must not decide.
    return -np.cos(state[0]) - np.cos(state[0] + state[1]) > 1 + _ROUNDING


def _reward(before: FloatArray, torque: float, after: FloatArray) -> FloatArray:
    return np.where(_reaches(after), 0.0, -1.0)


def _observe(state: FloatArray) -> FloatArray:
    first, second, spin1, spin2 = state
    angles = [np.cos(first), np.sin(first), np.cos(second), np.sin(second)]
    return np.stack([*angles, spin1, spin2], axis=1)


SYSTEM = System(
    axes=(
        Axis(angle=True),
        Axis(angle=True),
        Axis(-2 * np.pi, 2 * np.pi),
        Axis(-4 * np.pi, 4 * np.pi),
    ),
    actions=(-1.0, 0.0, 1.0),
    start=((-0.1, 0.1),) * 4,
    step=step,
    reward=_reward,
    observe=_observe,
    ends=_reaches,
)


def acrobot(resolution: Resolution = 10, repeat: Repeat = 1, gamma: Discount = 0.99) -> FiniteMDP:
    """Acrobot on a grid: resolution⁴ + 1 states; -1 for every step until the free end is up.

    Dynamics, start and reward are those of Gymnasium's Acrobot-v1, without its time limit: it ends
    where the free end is a link's length above the fixed joint, by a step that costs nothing.
    The grid clips velocities to ±2π and ±4π rad/s, about as fast as good policies get, where the
    environment clips them to 4π and 9π. Coordinates: cosine and sine of both angles, both angular
    velocities.
    """
    return discretised(SYSTEM, resolution, repeat, gamma)


family = Family(
    "acrobot",
    acrobot,
    size="resolution",
    reference="Sutton 1996; Spong 1995; constants of Acrobot-v1 (Towers et al. 2024)",
    dimensions=partial(dimensions_of, SYSTEM),
)
