"""Rollouts of many policies at once: a replicate of each."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import FloatArray, IntArray
from pgbench.policies import Policy
from pgbench.process.process import Process
from pgbench.rollout.simulator import Draws, Simulator, recorded


class Recorded(NamedTuple):
    """Rollouts of m policies.

    pair, slot (m, n, H) int32, as the kernel records them: states of policy r begin at r·S; steps
    (m, n) int64.
    """

    pair: NDArray[np.int32]
    slot: NDArray[np.int32]
    steps: IntArray

    @property
    def cost(self) -> IntArray:
        """Environment steps of each policy, (m,)."""
        return self.steps.sum(axis=1)


def record(process: Process, draws: Draws) -> Recorded:
    """A batch of rollouts of every policy of a process, a replicate each.

    They are the same as if each policy were simulated alone.
    """
    from pgbench.kernels import finite

    m, n, horizon = len(process.pi), draws.batch_size, process.steps(draws.horizon)
    pair, slot = np.empty((2, m, n, horizon), np.int32)
    steps = np.empty((m, n), np.int64)
    finite.record(process.sampler, draws.streams, 0, pair, slot, steps)
    return Recorded(pair, slot, steps)


@dataclass
class SeveralSimulator(Simulator):
    """A simulator whose replicates each have a policy of their own, and are few.

    What it hands out is, replicate by replicate, what a simulator of that replicate alone does.
    """

    truth: Any

    def _simulate(self, purpose: str, n: int, process: Any) -> Any:
        if self.first:
            raise NotImplementedError("rollouts of a part of the policies: simulate all of them")
        if not isinstance(process, Process):
            return super()._simulate(purpose, n, process)
        drawn = record(process, self.drawn(purpose, n))
        size = process.mdp.n_states * process.mdp.n_actions
        pair, slot = drawn.pair % size, drawn.slot % (size * process.mdp.branching)
        return recorded(process, pair, slot, drawn.steps)

    def require_held(self, n: int, length: int, entries: int = 1) -> None:
        """ValueError where one replicate's are too many; the caller says how many there are."""
        Simulator(self.truth, self.draws, 0, 1).require_held(n, length, entries)

    def part(self, replicates: slice) -> Simulator:
        """A simulator of some of the replicates, which counts its own steps."""
        first, stop, _ = replicates.indices(self.m)
        truth = self.truth.part(slice(first, stop))
        return type(self)(truth, self.draws, self.first + first, stop - first)

    def random_numbers(self, purpose: str, draw: Any) -> Any:
        """Random numbers of every replicate (m, ...), each drawn by a generator of its own."""
        alone = (Simulator(self.truth, self.draws, self.first + r, 1) for r in range(self.m))
        return np.concatenate([draw(one.generator(purpose), 1) for one in alone])

    def pull_back(self, tables: FloatArray) -> FloatArray:
        """Σ_{s,a} W(s,a) ∇_θ log π(s,a), (m, ..., d), of weight tables (m, ..., S, A)."""
        policy, theta = self.truth.policy, self.truth.theta
        if not isinstance(policy, Policy):  # of actions that are no finite number
            return np.asarray(policy.pull_back(theta, tables), np.float64)
        if tables.ndim == 3:
            return policy.each_pull_back(theta, tables)
        return np.stack([policy.pull_back(*own) for own in zip(theta, tables, strict=True)])

    def pull_back_each(self, tables: FloatArray) -> FloatArray:
        """Pull-backs (m, n, d) of weight tables (m·n, S, A), n of each policy."""
        return self.pull_back(tables.reshape(self.m, -1, *tables.shape[1:]))
