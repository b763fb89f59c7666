"""Many batches of finite problems: replicates of the very trajectories that all estimators see."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.functions.batch import UserBatch
from pgbench.functions.batches import Batches
from pgbench.functions.place import Place
from pgbench.process.batch import Batch
from pgbench.rollout.enumeration import Enumerator
from pgbench.rollout.simulator import Simulator, blocks


@dataclass(frozen=True)
class Trajectories(Batches):
    """Batches of a finite problem: states and actions are numbers, (R, N, T) int64."""

    kind = UserBatch

    @cached_property
    def cut(self) -> BoolArray:
        """Whether a limit cut every trajectory, (R, N)."""
        limit = self.place.truth.mdp.truncated
        return ~self.ended if limit is None else ~self.ended | limit[self.final]

    @cached_property
    def outcomes(self) -> FloatArray:
        """What the problem says of how every trajectory ended, (R, N, c)."""
        mdp = self.place.truth.mdp
        said = np.zeros((mdp.n_states, 0)) if mdp.outcomes is None else mdp.outcomes
        return np.asarray(said[self.final])


def drawn(place: Place, replicates: int, seed: int, batch_size: int | None = None) -> Trajectories:
    """The first batches of a place, padded to its horizon."""
    n = batch_size or place.batch_size
    draws = place.draws(replicates, seed, n)
    batches = (
        Simulator(place.truth, draws, first, m).batch() for first, m in blocks(place.truth, draws)
    )
    return _joined(place, n, seed, list(batches))


def enumerated(place: Place, batch_size: int) -> tuple[Trajectories, FloatArray]:
    """Every batch that there is, and the probability of each (R,)."""
    simulator = Enumerator(place.truth, place.horizon, batch_size, place.group_size)
    batch = simulator.batch()
    assert simulator.probability is not None
    return _joined(place, batch_size, 0, [batch]), simulator.probability


def of_block(simulator: Simulator) -> Trajectories:
    """The batches of a block of replicates, padded to its horizon; ValueError if that is long."""
    draws = simulator.draws
    simulator.require_held(draws.batch_size, draws.horizon)
    place = Place(simulator.truth, draws.horizon, draws.batch_size, draws.stream, draws.group_size)
    made = _joined(place, draws.batch_size, draws.seed, [simulator.batch()])
    return replace(made, first=simulator.first)


def _joined(place: Place, n: int, seed: int, batches: Sequence[Batch]) -> Trajectories:
    parts = [_padded(batch, place.horizon) for batch in batches]
    s, a, after, rewards, mask = (np.concatenate(part) for part in zip(*parts, strict=True))
    if place.penalty is not None:
        rewards = rewards + place.penalty[s, a] * mask
    return Trajectories(place, n, seed, s, a, after, rewards, mask)


def _padded(batch: Batch, horizon: int) -> list[Any]:
    numbers = (x.astype(np.int64) for x in (batch.states, batch.actions, batch.successors))
    arrays = *numbers, batch.rewards, batch.mask
    missing = horizon - batch.shape[2]
    return [np.pad(x, ((0, 0), (0, 0), (0, missing))) for x in arrays]
