"""The same in PyTorch: a loss whose gradient in θ is the estimate; reward-to-go.

python -m pgbench test examples/pytorch_loss.py
"""

import torch


def loss(theta, batch):
    """-(1/N) Σ_n Σ_t γ^t Q̂_t log π_θ(a_t|s_t), a number; Q̂_t is a constant."""
    rewards, mask = torch.tensor(batch.rewards), torch.tensor(batch.mask)
    N, T = rewards.shape
    to_go, later = torch.zeros_like(rewards), torch.zeros(N, dtype=rewards.dtype)
    for t in reversed(range(T)):
        later = rewards[:, t] + batch.gamma * later
        to_go[:, t] = later
    log_pi = torch.log_softmax(torch.tensor(batch.features) @ theta, dim=1)
    taken = log_pi[torch.tensor(batch.states), torch.tensor(batch.actions)]
    discounts = batch.gamma ** torch.arange(T, dtype=rewards.dtype)
    return -(discounts * to_go * taken * mask).sum() / N


def estimate(batch):
    """The gradient to ascend: minus that of the loss; shape (d,)."""
    theta = torch.tensor(batch.theta, requires_grad=True)
    loss(theta, batch).backward()
    return -theta.grad
