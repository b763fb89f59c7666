"""Finite problems made of continuous ones: grid points are states, weights are probabilities."""

from math import prod
from typing import Annotated, Any

import numpy as np

from pgbench.declared.parameters import Range
from pgbench.problems.control.interpolation import Grid
from pgbench.problems.control.system import System
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.finite import FiniteMDP

Resolution = Annotated[int, Range(3), "points per coordinate"]
Repeat = Annotated[int, Range(1), "steps of the environment for which an action is held"]


def discretised(system: System, resolution: int, repeat: int, gamma: float) -> FiniteMDP:
    """The Markov chain on a regular grid that moves as the system does on average.

    From grid point x an action leads the system to y in ``repeat`` steps, or to an end. An end is
    the last state, which is terminal and no grid point. Else the grid points around y follow, with
    probabilities whose mean is y, clipped to the box, and the reward is that of the system from x.
    Grid points that are ends themselves are terminal too.

    So the chain is random where the system is not: a coordinate that gets to fraction f of a
    spacing h has variance f(1-f)h². The discount is ``gamma`` for every step of the system and
    gamma^repeat for one of the chain, whose rewards are discounted sums.

    (Kushner & Dupuis 2001; Munos & Moore 2002)
    """
    grid = Grid(system.axes, resolution)
    points = grid.points()
    n, k = points.shape[1], len(points)
    S = n + (system.ends is not None)
    successor = np.full((S, len(system.actions), k + 1), S - 1, np.int32)
    probability = np.zeros(successor.shape)
    probability[:, :, 0] = 1.0
    reward = np.zeros(successor.shape)
    for a in range(len(system.actions)):
        after, paid, ended = system.repeated(points, a, repeat, gamma)
        live = np.flatnonzero(~ended)
        successor[live, a], probability[live, a] = grid.between(after[:, live])
        reward[:n, a] = paid[:, None]
    mu0, terminal = np.zeros(S), np.ones(S, bool)
    mu0[:n], terminal[:n] = grid.spread(system.start), system.over(points)
    seen = system.observe(points)
    coordinates = np.empty((S, seen.shape[1]))
    # What is no point lies in the middle, which leaves the ranges as they are.
    coordinates[n:] = seen.min(axis=0) / 2 + seen.max(axis=0) / 2
    coordinates[:n] = seen
    return FiniteMDP(
        successor, probability, reward, mu0, gamma**repeat, terminal, coordinates=coordinates
    )


def dimensions_of(system: System, resolution: int, **other: Any) -> FiniteDimensions:
    """How large the finite problem is."""
    k = len(system.axes)
    return FiniteDimensions(
        prod([float(resolution)] * k) + (system.ends is not None),
        len(system.actions),
        branching=k + 1,
        n_coordinates=system.observe(np.zeros((k, 1))).shape[1],
    )
