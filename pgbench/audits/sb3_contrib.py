"""SB3-Contrib: train() of MaskablePPO and TRPO, on one rollout buffer.

The buffer holds the steps of the batch one trajectory after another, as those of one environment.
Where a limit cuts one, γ times the value of the state behind it is added to the reward, as
``collect_rollouts`` does.
"""

import numpy as np
import torch
from gymnasium.spaces import Discrete
from sb3_contrib import TRPO, MaskablePPO
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer
from sb3_contrib.common.maskable.distributions import MaskableCategoricalDistribution
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import FloatSchedule

import pgbench

DISTRIBUTION = "sb3-contrib"

OTHER = {"sampler": "theta", "scale": 0.3}
"""Data of another policy, as at a later update on one batch."""

AVERAGED = {"target": "undiscounted_states", "scale": "per_step", "dtype": "float32"}
"""What a mean over steps without γ^t claims."""


class _Policy(torch.nn.Module):
    """What train() asks of a policy; its optimiser leaves θ as it is."""

    def __init__(self, batch):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor(batch.theta))
        self.value = torch.nn.Parameter(torch.tensor(batch.critic))
        self.features = torch.tensor(batch.features)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=0.0)

    def set_training_mode(self, mode):
        self.train(mode)

    def get_distribution(self, obs):
        law = CategoricalDistribution(self.features.shape[1])
        return law.proba_distribution(self.features[obs.long().flatten()] @ self.theta)

    def predict_values(self, obs):
        return self.value[obs.long().flatten()]

    def evaluate_actions(self, obs, actions, action_masks):
        law = MaskableCategoricalDistribution(self.features.shape[1])
        law.proba_distribution(self.features[obs.long().flatten()] @ self.theta)
        law.apply_masking(action_masks)
        return self.predict_values(obs), law.log_prob(actions), law.entropy()


def _buffer(batch, kind, lam=0.95):
    flat = batch.flat
    spaces = Discrete(batch.n_states), Discrete(batch.n_actions)
    buffer = kind(len(flat), *spaces, device="cpu", gae_lambda=lam, gamma=batch.gamma)
    if kind is MaskableRolloutBuffer:
        buffer.reset()
        buffer.action_masks[:, 0] = batch.allowed[flat.states]
    behind = batch.gamma * flat.next_values * flat.truncated
    buffer.observations[:, 0, 0], buffer.actions[:, 0, 0] = flat.states, flat.actions
    buffer.rewards[:, 0], buffer.values[:, 0] = flat.rewards + behind, flat.values
    buffer.episode_starts[:, 0] = flat.starts
    buffer.log_probs[:, 0] = flat.behaviour_log_probs
    buffer.full = True
    buffer.compute_returns_and_advantage(torch.zeros(1), np.array([True]))
    return buffer


def _trained(batch, kind, buffer, **options):
    """The θ of a policy after train() with one minibatch of all steps, and its gradient."""
    algorithm = kind(
        "MlpPolicy", None, learning_rate=0.0, gamma=batch.gamma, batch_size=buffer.buffer_size,
        _init_setup_model=False, device="cpu", **options,
    )  # fmt: skip
    algorithm._setup_lr_schedule()
    algorithm._logger, algorithm.action_space = Logger(None, []), Discrete(batch.n_actions)
    if kind is MaskablePPO:
        algorithm.clip_range = FloatSchedule(algorithm.clip_range)
    algorithm.policy, algorithm.rollout_buffer = _Policy(batch), buffer
    algorithm.train()
    return algorithm.policy.theta


def _masked(batch, buffer=None, **options):
    """Minus the gradient of the policy in train() of MaskablePPO, (d,)."""
    buffer = buffer or _buffer(batch, MaskableRolloutBuffer)
    given = {"n_epochs": 1, "max_grad_norm": np.inf} | options
    return -_trained(batch, MaskablePPO, buffer, **given).grad


@pgbench.subject(**AVERAGED, accepts={"critic"})
def maskable_ppo(batch):
    """MaskablePPO.train, normalize_advantage=False, max_grad_norm=inf, one epoch of one batch."""
    return _masked(batch, normalize_advantage=False)


@pgbench.subject(**AVERAGED, accepts={"clipping", "states"}, sampler=OTHER)
def maskable_ppo_later(batch):
    """The same, exact advantages of the older policy, a later epoch."""
    buffer = _buffer(batch, MaskableRolloutBuffer)
    A = batch.behaviour_q - batch.behaviour_v[:, None]
    buffer.advantages[:, 0] = A[batch.flat.states, batch.flat.actions]
    return _masked(batch, buffer, normalize_advantage=False)


@pgbench.subject(
    target="surrogate", scale="per_step", dtype="float32",
    surrogate={
        "estimator": "advantage_normalised", "lam": 0.95, "discounted": False, "critic_noise": 0.1,
        "correction": 1,
    },
)  # fmt: skip
def maskable_ppo_normalised(batch):
    """MaskablePPO.train, one epoch of one minibatch, max_grad_norm=inf."""
    return _masked(batch)


@pgbench.subject(target="ascent", dtype="float32")
def maskable_ppo_short(batch):
    """MaskablePPO.train, normalize_advantage=False, one epoch of one minibatch."""
    return _masked(batch, normalize_advantage=False, max_grad_norm=0.5)


@pgbench.subject(
    battery="sequences", scale="per_step", dtype="float32",
    objective={"objective": "entropy", "alpha": 0.1},
    target="surrogate", surrogate="penalty_all_action",
)  # fmt: skip
def maskable_ppo_entropy(batch):
    """The same as maskable_ppo with gae_lambda=1, ent_coef=0.1, values of zero."""
    none = batch.having(values=0 * batch.values, next_values=0 * batch.next_values)
    buffer = _buffer(none, MaskableRolloutBuffer, 1.0)
    return _masked(none, buffer, ent_coef=batch.coefficient, normalize_advantage=False)


def _moved(batch, **options):
    """The step from θ that train() of TRPO takes, (d,)."""
    theta = _trained(batch, TRPO, _buffer(batch, RolloutBuffer), **options)
    return theta.detach() - torch.tensor(batch.theta)


@pgbench.subject(target="ascent", dtype="float32")
def trpo(batch):
    """TRPO.train: the step from θ that is taken."""
    return _moved(batch)


@pgbench.subject(target="ascent", dtype="float32")
def trpo_plain(batch):
    """TRPO.train, normalize_advantage=False: the step from θ that is taken."""
    return _moved(batch, normalize_advantage=False)
