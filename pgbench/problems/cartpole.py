"""Cart-pole: a pole on a cart that is pushed left or right, made finite by a grid."""

from functools import partial

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.problems.control.discretised import Repeat, Resolution, dimensions_of, discretised
from pgbench.problems.control.interpolation import Axis
from pgbench.problems.control.system import System
from pgbench.problems.family import Discount, Family
from pgbench.problems.finite import FiniteMDP

_GRAVITY, _CART, _POLE, _HALF = 9.8, 1.0, 0.1, 0.5  # m/s², kg, kg, m: half the pole's length
_TOTAL = _CART + _POLE
_PUSH = 10.0  # N
_TIME = 0.02  # s
_FARTHEST, _STEEPEST = 2.4, np.deg2rad(12)  # m, rad


def step(state: FloatArray, force: float) -> FloatArray:
    """Position, velocity, angle from upright and angular velocity (4, m), 20 ms later.

    One Euler step, without friction. (Barto, Sutton & Anderson 1983, Appendix)
    """
    x, v, angle, spin = state
    sine, cosine = np.sin(angle), np.cos(angle)
    push = (force + _POLE * _HALF * spin**2 * sine) / _TOTAL
    turn = (_GRAVITY * sine - cosine * push) / (_HALF * (4 / 3 - _POLE * cosine**2 / _TOTAL))
    pull = push - _POLE * _HALF * turn * cosine / _TOTAL
    return np.stack([x + _TIME * v, v + _TIME * pull, angle + _TIME * spin, spin + _TIME * turn])


def _reward(before: FloatArray, force: float, after: FloatArray) -> FloatArray:
    return np.ones(after.shape[1])


def _falls(state: FloatArray) -> BoolArray:
    return (np.abs(state[0]) > _FARTHEST) | (np.abs(state[2]) > _STEEPEST)


SYSTEM = System(
    axes=(
        Axis(-_FARTHEST, _FARTHEST),
        Axis(-2.0, 2.0),
        Axis(-_STEEPEST, _STEEPEST),
        Axis(-2.5, 2.5),
    ),
    actions=(-_PUSH, _PUSH),
    start=((-0.05, 0.05),) * 4,
    step=step,
    reward=_reward,
    observe=np.transpose,
    ends=_falls,
)


def cartpole(resolution: Resolution = 10, repeat: Repeat = 1, gamma: Discount = 0.99) -> FiniteMDP:
    """Cart-pole on a grid: resolution⁴ + 1 states; +1 for every step until the pole falls.

    Dynamics, limits, start and reward are those of Gymnasium's CartPole-v1, without its time limit:
    it ends where the cart is more than 2.4 m or the pole more than 12° off. The grid clips
    velocities, to ±2 m/s and ±2.5 rad/s; no push catches an upright pole that turns faster.
    Coordinates: position, velocity, angle, angular velocity.
    """
    return discretised(SYSTEM, resolution, repeat, gamma)


family = Family(
    "cartpole",
    cartpole,
    size="resolution",
    reference="Barto, Sutton & Anderson 1983; constants of CartPole-v1 (Towers et al. 2024)",
    dimensions=partial(dimensions_of, SYSTEM),
)
