"""Mountain car: a car too weak for the slope swings up the other side first, made finite."""

from functools import partial

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.problems.control.discretised import Repeat, Resolution, dimensions_of, discretised
from pgbench.problems.control.interpolation import Axis
from pgbench.problems.control.system import System
from pgbench.problems.family import Discount, Family
from pgbench.problems.finite import FiniteMDP

_LEFT, _GOAL, _RIGHT, _FASTEST = -1.2, 0.5, 0.6, 0.07
_ENGINE, _GRAVITY = 0.001, 0.0025


def step(state: FloatArray, throttle: float) -> FloatArray:
    """Position and velocity (2, m) one step later; the left end stops the car.

    (Sutton & Barto 2018, Example 10.1)
    """
    x, v = state
    v = np.clip(v + _ENGINE * throttle - _GRAVITY * np.cos(3 * x), -_FASTEST, _FASTEST)
    x = np.clip(x + v, _LEFT, _RIGHT)
    return np.stack([x, np.where((x == _LEFT) & (v < 0), 0.0, v)])


def _reward(before: FloatArray, throttle: float, after: FloatArray) -> FloatArray:
    return np.full(after.shape[1], -1.0)


def _arrives(state: FloatArray) -> BoolArray:
    return (state[0] >= _GOAL) & (state[1] >= 0)


SYSTEM = System(
    axes=(Axis(_LEFT, _GOAL), Axis(-_FASTEST, _FASTEST)),
    actions=(-1.0, 0.0, 1.0),
    start=((-0.6, -0.4), (0.0, 0.0)),
    step=step,
    reward=_reward,
    observe=np.transpose,
    ends=_arrives,
)


def mountain_car(
    resolution: Resolution = 30, repeat: Repeat = 1, gamma: Discount = 0.99
) -> FiniteMDP:
    """Mountain car on a grid: resolution² + 1 states; -1 for every step until the goal.

    Dynamics, start and reward are those of Gymnasium's MountainCar-v0, without its time limit. It
    ends at position 0.5, where the grid ends. Coordinates: position, velocity.
    """
    return discretised(SYSTEM, resolution, repeat, gamma)


family = Family(
    "mountain_car",
    mountain_car,
    size="resolution",
    reference="Moore 1990; Sutton & Barto 2018, Example 10.1; start of MountainCar-v0",
    dimensions=partial(dimensions_of, SYSTEM),
)
