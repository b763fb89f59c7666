"""Trajectories of a Gaussian policy on a linear system."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, Philox, SeedSequence

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.parameters import check_counts
from pgbench.trials.continuous.policy import LINEAR, GaussianPolicy
from pgbench.trials.continuous.system import System


@dataclass(frozen=True, eq=False)
class Trajectories:
    """R replicates of N trajectories of at most T steps; zeros where no step was taken.

    Attributes
    ----------
    states, next_states, rewards
        (R, N, T) float64, x_t, x_{t+1} and the reward between.
    actions, env_actions
        (R, N, T) float64, u_t as drawn, and e_t, what the system saw of it.
    mask
        (R, N, T) bool, whether step t was taken.
    ended
        (R, N) bool, whether the trajectory ended in a terminal state; it was cut at T otherwise.
    """

    states: FloatArray
    actions: FloatArray
    env_actions: FloatArray
    rewards: FloatArray
    next_states: FloatArray
    mask: BoolArray
    ended: BoolArray


def simulate(
    system: System,
    theta: FloatArray,
    horizon: int,
    replicates: int,
    batch_size: int,
    seed: int,
    stream: int = 0,
    policy: GaussianPolicy = LINEAR,
) -> Trajectories:
    """Independent trajectories from x_0 ~ N(m, s²), (R, N, T).

    Replicate r has random numbers of its own, which hang on the seed, the stream, the batch size
    and the horizon, and not on how many replicates there are.
    """
    check_counts(horizon=horizon, replicates=replicates, batch_size=batch_size)
    first, pushes, noises = _normals(horizon, replicates, batch_size, (seed, stream))
    x = system.start_mean + system.start_scale * first
    alive = ~system.terminal(x)
    states, actions, successors = np.zeros((3, replicates, batch_size, horizon))
    mask = np.zeros(states.shape, bool)
    for t in range(horizon):
        mask[..., t], states[..., t] = alive, x
        middle, sigma = policy.moments(theta, x)
        actions[..., t] = u = middle + sigma * pushes[t]
        x = system.drift(x, system.applied(u)) + system.noise * noises[t]
        successors[..., t] = x
        alive = alive & ~system.terminal(x)
    return _recorded(system, states, actions, successors, mask)


def _normals(
    horizon: int, replicates: int, batch_size: int, key: tuple[int, int]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Standard normals of the start (R, N), of actions and of the system (T, R, N)."""
    drawn = np.empty((replicates, 1 + 2 * horizon, batch_size))
    for r, own in enumerate(drawn):
        Generator(Philox(SeedSequence((*key, r)))).standard_normal(out=own)
    steps = np.moveaxis(drawn, 1, 0)
    return steps[0], steps[1 : 1 + horizon], steps[1 + horizon :]


def _recorded(
    system: System,
    states: FloatArray,
    actions: FloatArray,
    successors: FloatArray,
    mask: BoolArray,
) -> Trajectories:
    """The record of what was drawn, zeros in place of steps after the end."""
    e = system.applied(actions)
    return Trajectories(
        states=states * mask,
        actions=actions * mask,
        env_actions=e * mask,
        rewards=system.reward(states, e) * mask,
        next_states=successors * mask,
        mask=mask,
        ended=np.asarray(~mask[..., -1] | system.terminal(successors[..., -1])),
    )
