"""AgileRL: advantages of its rollout buffer, the update of PPO, and losses of GRPO's family.

While it is imported Weights & Biases has an empty stand-in.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import gymnasium
import numpy as np
import torch

import pgbench

sys.modules["wandb"] = ModuleType("wandb")
sys.modules["wandb"].__spec__ = ModuleSpec("wandb", None)

from agilerl.algorithms.grpo import GRPO  # noqa: E402
from agilerl.algorithms.ppo import PPO  # noqa: E402
from agilerl.components.rollout_buffer import RolloutBuffer  # noqa: E402

del sys.modules["wandb"]

DISTRIBUTION = "agilerl"

OTHER = {"sampler": "theta", "scale": 0.3}
"""Data of another policy, as at a later update on one batch."""


def _buffer(batch, lam, use_gae=True):
    """A buffer of one environment, filled as collect_rollouts does: done after the action."""
    flat = batch.flat
    done = flat.terminated | flat.truncated
    spaces = (
        gymnasium.spaces.Box(0, batch.n_states, (1,)),
        gymnasium.spaces.Discrete(batch.n_actions),
    )
    buffer = RolloutBuffer(len(flat), *spaces, gae_lambda=lam, gamma=batch.gamma, use_gae=use_gae)
    fields = {
        "observations": flat.states[:, None, None], "actions": flat.actions[:, None, None],
        "rewards": flat.rewards[:, None], "dones": done[:, None], "values": flat.values[:, None],
        "log_probs": flat.behaviour_log_probs[:, None],
    }  # fmt: skip
    for name, values in fields.items():
        buffer.buffer[name][:] = torch.tensor(values)
    buffer.pos = len(flat)
    buffer.compute_returns_and_advantages(flat.next_values[-1:], flat.terminated[-1:])
    return buffer


def _weighed(batch, *options):
    weights = batch.mask.astype(batch.dtype)
    weights[batch.mask] = _buffer(batch, *options).buffer["advantages"].numpy()[:, 0]
    return batch.pull_back(weights) / len(batch.mask)


@pgbench.subject(target="undiscounted_states", accepts={"critic"}, dtype="float32")
def gae(batch):
    """RolloutBuffer.compute_returns_and_advantages, gae_lambda=0.95, times scores, over N.

    As its code reads, it asks for the flag of step t + 1, while its collector stores done after
    a_t at t.
    """
    return _weighed(batch, 0.95)


@pgbench.subject(target="undiscounted_states", accepts={"critic"}, dtype="float32")
def monte_carlo(batch):
    """RolloutBuffer.compute_returns_and_advantages, use_gae=False, times scores, over N."""
    return _weighed(batch, 0.95, False)


@pgbench.subject(
    target="surrogate", dtype="float32",
    surrogate={
        "estimator": "advantage_normalised", "critic_noise": 0.1, "discounted": False,
        "correction": 1,
    },
)  # fmt: skip
def ppo(batch):
    """PPO._learn_from_rollout_buffer_flat, update_epochs=1, one minibatch, vf_coef=0, ent_coef=0.

    Without a bound on the gradient's norm, times steps, over N. Advantages, GAE(0.95), are
    standardised.
    """
    theta = torch.tensor(batch.theta, requires_grad=True)
    features = torch.tensor(batch.features)

    def evaluated(obs, actions, **unused):
        law = torch.distributions.Categorical(logits=features[obs[:, 0].long()] @ theta)
        return law.log_prob(actions), law.entropy(), torch.zeros(len(obs))

    nothing = SimpleNamespace(parameters=list)
    PPO._learn_from_rollout_buffer_flat(
        SimpleNamespace(
            rollout_buffer=_buffer(batch, 0.95), device="cpu", batch_size=int(batch.mask.sum()),
            update_epochs=1, action_space=gymnasium.spaces.Discrete(batch.n_actions),
            evaluate_actions=evaluated, clip_coef=0.2, vf_coef=0.0, ent_coef=0.0, target_kl=None,
            accelerator=None, max_grad_norm=float("inf"), actor=nothing, critic=nothing,
            optimizer=torch.optim.SGD([theta], lr=0.0), metrics=MagicMock(),
        )
    )  # fmt: skip
    return -theta.grad * float(batch.mask.sum() / len(batch.mask))


def _learned(batch, level, objective="grpo", adv_norm="mean_only", bounds=(0.8, 1.2)):
    """Minus the gradient of _compute_policy_loss on advantages of _calculate_advantage, (d,)."""
    agent = GRPO.__new__(GRPO)
    vars(agent).update(
        group_size=batch.group_size, adv_norm=adv_norm, beta=0.0, kl_clamp=None,
        use_kl_advantage_shaping=False, use_bias_correction_kl=False,
        loss_norm="accumulation_window",
        clip_coef_min=bounds[0], clip_coef_max=bounds[1], _segment_accumulation_steps=None,
        gradient_accumulation_steps=1,
        off_policy_token_mask_bounds=None, off_policy_sequence_mask_threshold=None,
    )  # fmt: skip
    advantages = agent._calculate_advantage(torch.tensor(batch.rewards.sum(axis=1)))
    theta = torch.tensor(batch.theta, requires_grad=True)
    mask, old = torch.tensor(batch.mask), torch.tensor(batch.behaviour_log_probs)
    agent._record_global_window_action_tokens(mask, np.arange(len(mask)))
    loss = agent._compute_policy_loss(
        mask, batch.log_prob(theta), old, old, advantages, None, level, objective
    )[0]
    return -torch.autograd.grad(loss, theta)[0]


@pgbench.subject(
    battery="sequences", target="surrogate", surrogate={"estimator": "dapo", "std": False}
)
def grpo(batch):
    """GRPO._compute_policy_loss, beta=0, importance_sampling_level=token; adv_norm is mean_only.

    loss_norm is accumulation_window: a mean over tokens.
    """
    return _learned(batch, "token")


@pgbench.subject(
    battery="sequences", target="surrogate", surrogate={"estimator": "dapo", "eps": 1e-8}
)
def grpo_standardised(batch):
    """GRPO._compute_policy_loss, beta=0, importance_sampling_level=token, adv_norm=mean_std."""
    return _learned(batch, "token", adv_norm="mean_std")


@pgbench.subject(
    battery="sequences", sampler=OTHER, target="surrogate",
    surrogate={"estimator": "clipped_ratio", "advantage": "group_mean", "divisor": "tokens"},
)  # fmt: skip
def grpo_later(batch):
    """GRPO._compute_policy_loss, beta=0, importance_sampling_level=token, at a later update."""
    return _learned(batch, "token")


@pgbench.subject(
    battery="sequences", sampler=OTHER, target="surrogate",
    surrogate={
        "estimator": "gspo", "clip_low": 0.2, "clip_high": 0.2, "advantage": "group_mean",
        "divisor": "tokens",
    },
)  # fmt: skip
def gspo_later(batch):
    """GRPO._compute_policy_loss, beta=0, importance_sampling_level=trajectory (GSPO), later."""
    return _learned(batch, "trajectory")


@pgbench.subject(
    battery="sequences", sampler=OTHER, target="surrogate",
    surrogate={"estimator": "cispo", "clip_high": 0.2, "advantage": "group_mean"},
)  # fmt: skip
def cispo_later(batch):
    """GRPO._compute_policy_loss, beta=0, objective=cispo, level token, at a later update."""
    return _learned(batch, "token", "cispo")
