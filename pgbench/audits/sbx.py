"""SBX: PPO's train() in JAX, on one rollout buffer.

The buffer is that of N environments and T steps. A step that was not taken has neither an
observation nor an advantage, so that means are over N T steps. Where a limit cuts a trajectory, γ
times the value of the state behind it is added to the reward, as ``collect_rollouts`` does.
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tensorflow_probability.substrates.jax as tfp
import torch
from flax.training.train_state import TrainState
from gymnasium.spaces import Box, Discrete
from sbx import PPO
from sbx.ppo.policies import Actor
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import FloatSchedule

import pgbench

DISTRIBUTION = "sbx-rl"

OTHER = {"sampler": "theta", "scale": 0.3}
"""Data of another policy, as at a later update on one batch."""

AVERAGED = {"target": "undiscounted_states", "scale": "per_step", "dtype": "float32"}
"""What a mean over steps without γ^t claims."""


def _softmax(params, features):
    """The policy of a batch, which observes the features of a state, (A, d)."""
    return tfp.distributions.Categorical(logits=features @ params["theta"])


def _valueless(params, observations):
    return jnp.zeros(len(observations)) * params["value"]


GAUSSIAN = Actor(action_dim=1, net_arch=[]).apply
"""SBX's own policy of continuous actions, without hidden layers."""


@optax.inject_hyperparams
def _keeping(learning_rate):
    """An optimiser that leaves θ as it is and keeps the gradient."""
    nothing = optax.set_to_zero().update
    return optax.GradientTransformation(
        lambda params: params, lambda grads, kept, params: (nothing(grads, ())[0], grads)
    )


KEEPING = {
    limit: optax.chain(optax.clip_by_global_norm(limit), _keeping(learning_rate=0.0))
    for limit in (0.5, np.inf)
}
"""Chains as SBX's policies have them, by the limit of the gradient's norm."""


def _rollouts(batch, observed, lam=0.95):
    """A buffer of N environments whose rollouts end with it."""
    N, T = batch.mask.shape
    actions = Discrete(batch.n_actions) if batch.actions.ndim == 2 else Box(-1, 1, (1,))
    buffer = RolloutBuffer(
        T, Box(-np.inf, np.inf, observed.shape[2:]), actions, device="cpu", gae_lambda=lam,
        gamma=batch.gamma, n_envs=N,
    )  # fmt: skip
    behind = batch.gamma * batch.next_values * batch.truncated
    buffer.observations[:] = np.swapaxes(observed, 0, 1)
    buffer.actions[:] = np.swapaxes(batch.actions.reshape(N, T, 1), 0, 1)
    buffer.rewards[:], buffer.values[:] = (batch.rewards + behind).T, batch.values.T
    buffer.log_probs[:] = (batch.behaviour_log_probs if actions.shape == () else batch.log_probs).T
    done = (batch.terminated | batch.truncated).T
    buffer.episode_starts[0], buffer.episode_starts[1:] = True, done[:-1]
    buffer.full = True
    buffer.compute_returns_and_advantage(torch.zeros(N), done[-1])
    return buffer


def _observed(batch):
    """Features of every state (N, T, A, d); zero where no step was taken."""
    return batch.features[batch.states] * batch.mask[:, :, None, None]


def _trained(batch, buffer, apply, params, limit=np.inf, **options):
    """The gradient of the policy in train() with one minibatch of all steps."""
    steps = buffer.buffer_size * buffer.n_envs
    algorithm = PPO(
        "MlpPolicy", None, learning_rate=0.0, gamma=batch.gamma, n_epochs=1, batch_size=steps,
        max_grad_norm=limit, _init_setup_model=False, **options,
    )  # fmt: skip
    algorithm._setup_lr_schedule()
    algorithm.clip_range_schedule = FloatSchedule(algorithm.clip_range)
    algorithm._logger, algorithm.action_space = Logger(None, []), buffer.action_space
    states = {"actor_state": (apply, params), "vf_state": (_valueless, {"value": jnp.zeros(1)})}
    algorithm.policy = SimpleNamespace(
        **{
            name: TrainState.create(apply_fn=f, params=p, tx=KEEPING[limit])
            for name, (f, p) in states.items()
        }
    )
    algorithm.rollout_buffer = buffer
    algorithm.train()
    return algorithm.policy.actor_state.opt_state[1].inner_state


def _ascended(batch, buffer, **options):
    """Minus the gradient of a softmax policy, (d,)."""
    return -_trained(batch, buffer, _softmax, {"theta": jnp.asarray(batch.theta)}, **options)[
        "theta"
    ]


@pgbench.subject(**AVERAGED, accepts={"critic"})
def ppo(batch):
    """PPO.train, normalize_advantage=False, max_grad_norm=inf, one epoch of one minibatch."""
    return _ascended(batch, _rollouts(batch, _observed(batch)), normalize_advantage=False)


@pgbench.subject(**AVERAGED, accepts={"critic"})
def ppo_monte_carlo(batch):
    """The same with gae_lambda=1."""
    return _ascended(batch, _rollouts(batch, _observed(batch), 1.0), normalize_advantage=False)


@pgbench.subject(**AVERAGED, accepts={"clipping", "states"}, sampler=OTHER)
def ppo_later(batch):
    """The same, exact advantages of the older policy, a later epoch."""
    buffer, A = _rollouts(batch, _observed(batch)), batch.behaviour_q - batch.behaviour_v[:, None]
    buffer.advantages[:] = (A[batch.states, batch.actions] * batch.mask).T
    return _ascended(batch, buffer, normalize_advantage=False)


@pgbench.subject(target="ascent", dtype="float32")
def ppo_short(batch):
    """PPO.train, normalize_advantage=False, max_grad_norm=0.5 (the default), one epoch of one."""
    buffer = _rollouts(batch, _observed(batch))
    return _ascended(batch, buffer, limit=0.5, normalize_advantage=False)


@pgbench.subject(
    battery="sequences", scale="per_step", dtype="float32",
    objective={"objective": "entropy", "alpha": 0.1},
    target="surrogate", surrogate="penalty_all_action",
)  # fmt: skip
def ppo_entropy(batch):
    """PPO.train, ent_coef=0.1, and otherwise as ppo_monte_carlo; values of zero."""
    none = batch.having(values=0 * batch.values, next_values=0 * batch.next_values)
    options = {"ent_coef": batch.coefficient, "normalize_advantage": False}
    return _ascended(none, _rollouts(none, _observed(none), 1.0), **options)


@pgbench.subject(**AVERAGED, accepts={"critic"}, actions="continuous")
def ppo_gaussian(batch):
    """PPO.train of SBX's Actor, normalize_advantage=False, max_grad_norm=inf, continuous actions.

    Actions are kept as they were drawn, also where the environment sees them clipped.
    """
    slope, offset, log_std = jnp.asarray(batch.theta).reshape(3, 1)
    theta = {"Dense_0": {"kernel": slope[None], "bias": offset}, "log_std": log_std}
    found = _trained(
        batch, _rollouts(batch, batch.states), GAUSSIAN, {"params": theta},
        normalize_advantage=False,
    )["params"]  # fmt: skip
    parts = found["Dense_0"]["kernel"], found["Dense_0"]["bias"], found["log_std"]
    return -np.concatenate([np.asarray(jax.device_get(part)).ravel() for part in parts])
