"""REINFORCE whose baseline is learned along the way: running means of what followed each state.

It keeps something between updates, so it is no estimator; it is judged by the J that it reaches,
beside the ascent that it claims to be.
"""

import numpy as np

import pgbench


@pgbench.learner(estimator="baseline_value", step=0.1)
class RunningBaseline:
    """Reward-to-go less a running mean of it, of every state."""

    def reset(self):
        """Nothing is known yet."""
        self.total = self.count = None

    def update(self, theta, batch):
        """One step along the gradient of the batch, with the baseline as it was before."""
        if self.total is None:
            self.total, self.count = np.zeros((2, batch.n_states))
        to_go, later = np.zeros_like(batch.rewards), 0.0
        for t in reversed(range(batch.horizon)):
            later = batch.rewards[:, t] + batch.gamma * later
            to_go[:, t] = later
        baseline = self.total / np.maximum(self.count, 1)
        discounts = batch.gamma ** np.arange(batch.horizon)
        weights = discounts * (to_go - baseline[batch.states])
        np.add.at(self.total, batch.states[batch.mask], to_go[batch.mask])
        np.add.at(self.count, batch.states[batch.mask], 1)
        return theta + 0.1 * batch.pull_back(weights) / len(weights)
