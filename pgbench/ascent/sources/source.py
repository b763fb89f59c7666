"""What every source of gradients offers, and the random numbers that an ascent draws."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from pgbench.arrays import FloatArray, IntArray
from pgbench.ascent.crowd import Crowd
from pgbench.rollout.simulator import Draws, Simulator


@dataclass(frozen=True)
class Numbers:
    """Which random numbers an ascent draws: horizon, seed, stream, and its first replicate.

    Trajectories come in groups of ``group_size``, which share their start, if it is not None.
    """

    horizon: int
    seed: int
    stream: int
    first: int = 0
    group_size: int | None = None

    def at(self, k: int, purpose: str = "") -> int:
        """The stream of iteration k, an unsigned 64-bit integer."""
        text = f"{self.stream} ascent {self.first} {k} {purpose}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")

    def draws(self, m: int, n: int, k: int, purpose: str = "") -> Draws:
        """Which trajectories iteration k draws: n of each of m replicates."""
        stream = self.at(k, purpose)
        return Draws(self.horizon, n, m, self.seed, stream, group_size=self.group_size)


class Source(ABC):
    """Gradients of a crowd.

    Attributes
    ----------
    sampled
        Whether it takes rollouts, and so whether replicates differ.
    natural
        Whether it estimates the natural gradient.
    """

    sampled = True
    natural = False

    def require_data(self, elsewhere: bool) -> None:
        """NotApplicable where data come from another policy and it draws its own."""
        return

    @abstractmethod
    def gradient(self, crowd: Crowd, k: int) -> tuple[FloatArray, IntArray]:
        """Estimates (m, d) at iteration k, and the environment steps they took (m,)."""


@dataclass(frozen=True, eq=False)
class EstimatorSource(Source):
    """Gradients that come from an estimator.

    Parameters
    ----------
    mdp, policy
        The problem and the parameterisation.
    estimator, values
        The record and all of its parameters.
    numbers, batch_size
        Which rollouts, and how many per estimate.
    """

    mdp: Any
    policy: Any
    estimator: Any
    values: Mapping[str, Any]
    numbers: Numbers
    batch_size: int

    @property
    def natural(self) -> bool:  # type: ignore[override]
        """Whether it estimates the natural gradient."""
        return bool(self.estimator.target != "gradient")

    def require_data(self, elsewhere: bool) -> None:
        """NotApplicable where data come from another policy and the estimator draws its own."""
        self.estimator.require_data(elsewhere)

    def one_by_one(self, crowd: Crowd, k: int) -> tuple[FloatArray, IntArray]:
        """A batch estimator's estimates (m, d) and steps (m,), policy by policy; NaN without J."""
        out, steps = np.full(crowd.theta.shape, np.nan), np.zeros(crowd.m, np.int64)
        draws = self.numbers.draws(crowd.m, self.batch_size, k)
        for r in np.flatnonzero(crowd.good):
            simulator = Simulator(crowd.truth(int(r)), draws, int(r), 1)
            out[r] = np.asarray(self.estimator.estimate(simulator, **self.values))[0]
            steps[r] = simulator.steps[0]
        return out, steps
