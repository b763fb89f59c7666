"""A policy of your own in PyTorch: any module from features of states to logits of actions.

In a grid, beside this file:

    policies: [{policy: torch, module: torch_policy.py:Net, options: {width: 32}}]
    theta: {init: own}              # the module's own initialisation; or {file: net.pt}

python examples/torch_policy.py prints what is exact of it, and what estimates say of that.
"""

import torch
from torch import nn


class Net(nn.Module):
    """A residual block with layer norm; parameters become float64 whatever they are made."""

    def __init__(self, n_features, n_actions, width=16):
        super().__init__()
        self.first = nn.Linear(n_features, width)
        self.norm = nn.LayerNorm(width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, n_actions)

    def forward(self, features):
        """Logits (states, n_actions) of features (states, n_features)."""
        h = self.first(features)
        return self.last(h + torch.tanh(self.second(self.norm(h))))


if __name__ == "__main__":
    import pgbench as pg
    from pgbench.policies import torch_policy

    mdp = pg.make_problem("gridworld", size=4)
    policy = torch_policy(mdp, Net, width=8)
    theta = policy.initial(seed=0, init="own")
    truth = pg.exact.evaluate(mdp, policy, theta)
    exact = pg.moments(mdp, policy, theta, "reward_to_go", horizon=50)
    g = pg.sample_gradients(mdp, policy, theta, "reward_to_go", horizon=50, replicates=2000)
    print(f"d = {policy.n_parameters}, J = {truth.objective:.4f}, bias {exact.bias.max():.2g}")
    print(f"variance {exact.variance.sum():.4g} exact, {g.var(axis=0).sum():.4g} measured")
