"""Stable-Baselines3: train() of its on-policy algorithms, on one rollout buffer.

The buffer holds the steps of the batch one trajectory after another, as those of one environment.
Where a limit cuts one, γ times the value of the state behind it is added to the reward, as
``collect_rollouts`` does.
"""

import numpy as np
import torch
from gymnasium.spaces import Discrete
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import FloatSchedule

import pgbench

DISTRIBUTION = "stable-baselines3"

OTHER = {"sampler": "theta", "scale": 0.3}
"""Data of another policy, as at a later update on one batch."""

AVERAGED = {"target": "undiscounted_states", "scale": "per_step", "dtype": "float32"}
"""What a mean over steps without γ^t claims."""


def _standardised(lam):
    """What a mean over steps without γ^t, of standardised advantages, claims."""
    surrogate = {
        "estimator": "advantage_normalised", "lam": lam, "discounted": False, "critic_noise": 0.1,
        "correction": 1,
    }  # fmt: skip
    return AVERAGED | {"target": "surrogate", "surrogate": surrogate}


class _Policy(torch.nn.Module):
    """What train() asks of a policy; its optimiser leaves θ as it is."""

    def __init__(self, batch):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor(batch.theta))
        self.features, self.critic = torch.tensor(batch.features), torch.tensor(batch.critic)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=0.0)

    def set_training_mode(self, mode):
        self.train(mode)

    def evaluate_actions(self, obs, actions):
        states = obs.long().flatten()
        law = CategoricalDistribution(self.features.shape[1])
        law.proba_distribution(self.features[states] @ self.theta)
        return self.critic[states], law.log_prob(actions), law.entropy()


def _buffer(batch, lam):
    flat = batch.flat
    spaces = Discrete(batch.n_states), Discrete(batch.n_actions)
    buffer = RolloutBuffer(len(flat), *spaces, device="cpu", gae_lambda=lam, gamma=batch.gamma)
    behind = batch.gamma * flat.next_values * flat.truncated
    buffer.observations[:, 0, 0], buffer.actions[:, 0, 0] = flat.states, flat.actions
    buffer.rewards[:, 0], buffer.values[:, 0] = flat.rewards + behind, flat.values
    buffer.episode_starts[:, 0] = flat.starts
    buffer.log_probs[:, 0] = flat.behaviour_log_probs
    buffer.full = True
    buffer.compute_returns_and_advantage(torch.zeros(1), np.array([True]))
    return buffer


def _ascended(batch, kind, buffer, **options):
    """Minus the gradient of the policy in train(), (d,)."""
    algorithm = kind(
        "MlpPolicy", None, learning_rate=0.0, gamma=batch.gamma, _init_setup_model=False,
        device="cpu", **{"max_grad_norm": np.inf} | options,
    )  # fmt: skip
    algorithm._setup_lr_schedule()
    algorithm._logger, algorithm.action_space = Logger(None, []), Discrete(batch.n_actions)
    algorithm.policy, algorithm.rollout_buffer = _Policy(batch), buffer
    algorithm.train()
    return -algorithm.policy.theta.grad


def _ppo(batch, buffer, **options):
    once = {"n_epochs": 1, "batch_size": buffer.buffer_size, "clip_range": FloatSchedule(0.2)}
    return _ascended(batch, PPO, buffer, **once | options)


@pgbench.subject(**AVERAGED, accepts={"critic"})
def a2c(batch):
    """A2C.train, gae_lambda=1 (the default), max_grad_norm=inf."""
    return _ascended(batch, A2C, _buffer(batch, 1.0))


@pgbench.subject(**AVERAGED, accepts={"critic"})
def a2c_gae(batch):
    """A2C.train, gae_lambda=0.95, max_grad_norm=inf."""
    return _ascended(batch, A2C, _buffer(batch, 0.95))


@pgbench.subject(**_standardised(1.0))
def a2c_normalised(batch):
    """A2C.train, gae_lambda=1, normalize_advantage=True, max_grad_norm=inf."""
    return _ascended(batch, A2C, _buffer(batch, 1.0), normalize_advantage=True)


@pgbench.subject(target="ascent", dtype="float32")
def a2c_short(batch):
    """A2C.train, gae_lambda=1, max_grad_norm=0.5 (both the defaults)."""
    return _ascended(batch, A2C, _buffer(batch, 1.0), max_grad_norm=0.5)


@pgbench.subject(**AVERAGED, accepts={"critic"})
def ppo(batch):
    """PPO.train, normalize_advantage=False, one epoch of one minibatch, max_grad_norm=inf."""
    return _ppo(batch, _buffer(batch, 0.95), normalize_advantage=False)


@pgbench.subject(**_standardised(0.95))
def ppo_normalised(batch):
    """PPO.train, gae_lambda=0.95, one epoch of one minibatch, max_grad_norm=inf."""
    return _ppo(batch, _buffer(batch, 0.95))


@pgbench.subject(**AVERAGED, accepts={"clipping", "states"}, sampler=OTHER)
def ppo_later(batch):
    """The same as ppo with exact advantages of the older policy, at a later epoch."""
    buffer = _buffer(batch, 0.95)
    A = batch.behaviour_q - batch.behaviour_v[:, None]
    buffer.advantages[:, 0] = A[batch.flat.states, batch.flat.actions]
    return _ppo(batch, buffer, normalize_advantage=False)


@pgbench.subject(
    battery="sequences", scale="per_step", dtype="float32",
    objective={"objective": "entropy", "alpha": 0.1},
    target="surrogate", surrogate="penalty_all_action",
)  # fmt: skip
def a2c_entropy(batch):
    """A2C.train, gae_lambda=1, ent_coef=0.1, values of zero, max_grad_norm=inf."""
    nothing = {"critic": 0 * batch.critic}
    none = batch.having(**nothing, values=0 * batch.values, next_values=0 * batch.next_values)
    return _ascended(none, A2C, _buffer(none, 1.0), ent_coef=batch.coefficient)
