"""A continuous control problem in discrete time, as functions of many states at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.problems.control.interpolation import Axis


@dataclass(frozen=True)
class System:
    """Deterministic dynamics with rewards, an end and a start; states are (k, m) float64.

    Attributes
    ----------
    axes
        The box that a grid covers, per coordinate. A clipped coordinate that leaves it stays on it.
    actions
        What each action applies, such as a force.
    start
        Least and largest first value per coordinate, uniform and independent between them.
    step
        (k, m) states and the applied action to states (k, m) one step later.
    reward
        States, the applied action and the states that follow to rewards (m,).
    observe
        (k, m) states to what a policy is shown of them, (m, c).
    ends
        (k, m) states to (m,) bool, whether an episode that gets there is over; None if none ends.
    """

    axes: tuple[Axis, ...]
    actions: Sequence[float]
    start: tuple[tuple[float, float], ...]
    step: Callable[[FloatArray, float], FloatArray]
    reward: Callable[[FloatArray, float, FloatArray], FloatArray]
    observe: Callable[[FloatArray], FloatArray]
    ends: Callable[[FloatArray], BoolArray] | None = None

    def over(self, states: FloatArray) -> BoolArray:
        """Whether an episode that gets to states (k, m) is over, (m,)."""
        return np.zeros(states.shape[1], bool) if self.ends is None else self.ends(states)

    def repeated(
        self, states: FloatArray, action: int, times: int, gamma: float
    ) -> tuple[FloatArray, FloatArray, BoolArray]:
        """An action taken so many times: states (k, m), rewards and which have ended, (m,) each.

        Rewards are Σ_j γʲ r_j over the steps up to an end, where the state stays.
        """
        applied = self.actions[action]
        states = states.copy()
        total, ended = np.zeros(states.shape[1]), np.zeros(states.shape[1], bool)
        for j in range(times):
            live = np.flatnonzero(~ended)
            before = states[:, live]
            after = self.step(before, applied)
            total[live] += gamma**j * self.reward(before, applied, after)
            states[:, live] = after
            ended[live] = self.over(after)
        return states, total, ended
