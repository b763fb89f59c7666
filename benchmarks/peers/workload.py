"""The workload, the same for every contender, and its exact answer."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

ACTIONS, SLOTS, GAMMA, HORIZON = 4, 4, 0.99, 128


@dataclass(frozen=True, eq=False)
class Workload:
    """A garnet, a tabular softmax policy at a normal θ, and a horizon H.

    What is asked for is the sum over trajectories of the reward-to-go weights

        W(s_t,a_t) += Σ_{k≥t} γ^k r_k,   t < H.

    Attributes
    ----------
    mdp, policy, theta
        The problem with S states, the policy, and its parameters (S·A,) float64.
    horizon
        Number of steps H of every trajectory; no state is terminal.
    """

    mdp: object
    policy: object
    theta: np.ndarray
    horizon: int = HORIZON

    @cached_property
    def pi(self):
        """π(s, a), (S, A) float64."""
        return self.policy.probabilities(self.theta)

    @cached_property
    def action_cdf(self):
        """Cumulative π, (S, A) float64; the last of every row is 1."""
        return _cumulative(self.pi)

    @cached_property
    def slot_cdf(self):
        """Cumulative transition probabilities, (S·A, B) float64; the last of every row is 1."""
        return _cumulative(self.mdp.probability).reshape(-1, self.mdp.branching)

    @cached_property
    def successor(self):
        """Successor of every slot, (S·A·B,) int32."""
        return self.mdp.successor.ravel()

    @cached_property
    def reward(self):
        """Reward of every slot, (S·A·B,) float64."""
        return self.mdp.reward.ravel()

    @cached_property
    def discounts(self):
        """γ^t, (H,) float64."""
        return self.mdp.gamma ** np.arange(self.horizon)

    @cached_property
    def weights(self):
        """E[W] of one trajectory, (S, A) float64: Σ_t γ^t Pr(s_t = s) π(s,a) Q_{H-t}(s,a)."""
        mdp, pi = self.mdp, self.pi
        backward, forward = mdp.transitions, mdp.transitions.T.tocsr()
        values = [np.zeros(mdp.n_states)]
        for _ in range(self.horizon - 1):
            values.append((pi * self._action_values(backward @ values[-1])).sum(axis=1))
        occupancy, total = mdp.mu0, np.zeros(pi.shape)
        while values:
            taken = occupancy[:, None] * pi
            total += taken * self._action_values(backward @ values.pop())
            occupancy = mdp.gamma * (forward @ taken.ravel())
        return total

    @cached_property
    def gradient(self):
        """∇J_H, (S, A) float64, by ``pgbench.exact``."""
        from pgbench import exact

        truth = exact.evaluate(self.mdp, self.policy, self.theta, horizon=self.horizon)
        return truth.gradient.reshape(self.pi.shape)

    def _action_values(self, next_value):
        return self.mdp.expected_reward + self.mdp.gamma * next_value.reshape(self.pi.shape)


def make_workload(n_states, horizon=HORIZON):
    """The workload with S = ``n_states``."""
    from pgbench import make_policy, make_problem

    mdp = make_problem(
        "garnet", n_states=n_states, n_actions=ACTIONS, branching=SLOTS, gamma=GAMMA, seed=0
    )
    policy = make_policy("softmax", mdp)
    return Workload(mdp, policy, policy.initial(seed=0), horizon)


def _cumulative(probability):
    table = np.cumsum(probability, axis=-1)
    table[..., -1] = 1.0
    return table
