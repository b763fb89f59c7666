"""PyTorch: a batch of trajectories without gradients, then REINFORCE's loss and its backward."""

import numpy as np

from benchmarks.peers.contender import Contender

BATCH = 1024


def make(workload):
    """The gradient of Σ_t G_t log π(a_t|s_t), float32, from one backward pass per batch."""
    import torch

    n_states, n_actions = workload.pi.shape
    n_slots = workload.mdp.branching
    theta = torch.tensor(
        workload.theta.reshape(n_states, n_actions), dtype=torch.float32, requires_grad=True
    )
    # All thresholds but the last, which is always 1.
    slot_cdf = torch.tensor(workload.slot_cdf[:, :-1], dtype=torch.float32)
    successor = torch.tensor(workload.successor, dtype=torch.int64)
    reward = torch.tensor(workload.reward, dtype=torch.float32)
    discounts = torch.tensor(workload.discounts, dtype=torch.float32)

    @torch.no_grad()
    def rollouts(generator):
        cdf = torch.softmax(theta, dim=1).cumsum(dim=1)[:, :-1].contiguous()
        state = torch.randint(n_states, (BATCH,), generator=generator)
        visited, rewards = [], []
        for _ in range(workload.horizon):
            u = torch.rand(2, BATCH, 1, generator=generator)
            pair = state * n_actions + (u[0] >= cdf[state]).sum(dim=1)
            slot = pair * n_slots + (u[1] >= slot_cdf[pair]).sum(dim=1)
            visited.append(pair)
            rewards.append(reward[slot])
            state = successor[slot]
        discounted = torch.stack(rewards) * discounts[:, None]
        to_go = discounted.flip(0).cumsum(dim=0).flip(0)
        return torch.stack(visited).ravel(), to_go.ravel()

    def run(n, seed):
        generator = torch.Generator().manual_seed(seed)
        total = np.zeros(workload.pi.shape)
        for _ in range(n // BATCH):
            pair, to_go = rollouts(generator)
            log_pi = torch.log_softmax(theta, dim=1).ravel()[pair]
            theta.grad = None
            (to_go @ log_pi).backward()
            total += theta.grad.numpy()
        return total

    return run


contender = Contender(
    "torch",
    "PyTorch autograd",
    make,
    batch=BATCH,
    check_batches=16,
    gives="gradient",
    largest=10**5,
    packages=("torch",),
)
