"""Tianshou: updates of its on-policy algorithms and its episodic returns, on one replay buffer.

The buffer holds the steps of the batch one trajectory after another, as those of one environment.
"""

from functools import partial

import gymnasium
import numpy as np
import torch
from tianshou.algorithm import A2C, NPG, PPO, TRPO, Reinforce
from tianshou.algorithm.algorithm_base import Algorithm
from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
from tianshou.algorithm.optim import TorchOptimizerFactory
from tianshou.data import ReplayBuffer
from tianshou.utils.torch_utils import policy_within_training_step

import pgbench

DISTRIBUTION = "tianshou"

OTHER = {"sampler": "theta", "scale": 0.3}
"""Data of another policy, as at a later update on one batch."""

AVERAGED = {"target": "undiscounted_states", "scale": "per_step"}
"""What a mean over steps without γ^t claims."""

STANDARDISED = {
    "target": "surrogate",
    "scale": "per_step",
    "surrogate": {
        "estimator": "advantage_normalised", "lam": 0.95, "discounted": False, "critic_noise": 0.1,
        "correction": 1,
    },
}  # fmt: skip
"""The same of advantages that are standardised over the steps of the batch."""


class _Actor(torch.nn.Module):
    def __init__(self, batch):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor(batch.theta))
        self.features = torch.tensor(batch.features)

    def forward(self, obs, state=None, info=None):
        return self.features[obs] @ self.theta, state


class _Critic(torch.nn.Module):
    def __init__(self, batch):
        super().__init__()
        self.values = torch.nn.Parameter(torch.tensor(batch.critic))

    def forward(self, obs):
        return self.values[obs]


def _buffer(batch):
    flat = batch.flat
    return ReplayBuffer.from_data(
        obs=flat.states, act=flat.actions, rew=flat.rewards, terminated=flat.terminated,
        truncated=flat.truncated, done=flat.terminated | flat.truncated, obs_next=flat.next_states,
    )  # fmt: skip


def _algorithm(batch, kind, **options):
    """The algorithm; its optimiser leaves all parameters as they are."""
    actions = gymnasium.spaces.Discrete(batch.n_actions)
    policy = DiscreteActorPolicy(actor=_Actor(batch), action_space=actions)
    if kind is not Reinforce:
        options["critic"] = _Critic(batch)
    still = TorchOptimizerFactory(torch.optim.SGD, lr=0.0)
    return kind(policy=policy, optim=still, gamma=batch.gamma, **options)


def _updated(batch, kind, times=1, **options):
    """The actor after updates on the whole batch."""
    algorithm, buffer = _algorithm(batch, kind, **options), _buffer(batch)
    with policy_within_training_step(algorithm.policy):
        for _ in range(times):
            algorithm.update(buffer, batch_size=None, repeat=1)
    return algorithm.policy.actor


def _ascended(*given, **options):
    """Minus the gradient of the actor in the last update, (d,)."""
    return -_updated(*given, **options).theta.grad


def _moved(batch, kind, **options):
    """The step from θ that an update takes, (d,).

    By default it divides by the deviation of advantages, and raises where they are all the same.
    """
    theta = torch.tensor(batch.theta)
    try:
        return _updated(batch, kind, **options).theta.detach() - theta
    except ValueError:
        return torch.full_like(theta, torch.nan)


def _weighed(batch, values, next_values, **options):
    """Advantages of compute_episodic_return times scores, over N, (d,)."""
    buffer, weights = _buffer(batch), batch.mask.astype(batch.dtype)
    given = buffer.sample(0)
    returned = partial(Algorithm.compute_episodic_return, given[0], buffer, given[1])
    weights[batch.mask] = returned(next_values, values, gamma=batch.gamma, **options)[1]
    return batch.pull_back(weights) / len(batch.mask)


@pgbench.subject(target="undiscounted_states", accepts={"critic"})
def gae(batch):
    """Algorithm.compute_episodic_return, gae_lambda=0.95 (the default), times scores, over N."""
    return _weighed(batch, batch.flat.values, batch.flat.next_values)


@pgbench.subject(target="undiscounted_states", accepts={"critic"})
def gae_shifted(batch):
    """Algorithm.compute_episodic_return, v_s=None: next values, shifted by one step."""
    return _weighed(batch, None, batch.flat.next_values)


@pgbench.subject(target="undiscounted_states")
def monte_carlo(batch):
    """Algorithm.compute_episodic_return, v_s_=None, gae_lambda=1, times scores, over N."""
    return _weighed(batch, None, None, gae_lambda=1.0)


@pgbench.subject(**AVERAGED)
def reinforce(batch):
    """Reinforce.update of the whole batch at once."""
    return _ascended(batch, Reinforce)


@pgbench.subject(target="ascent")
def reinforce_standardised(batch):
    """Reinforce.update, return_standardization=True, when it has seen the batch once."""
    return _ascended(batch, Reinforce, times=2, return_standardization=True)


@pgbench.subject(**AVERAGED, accepts={"critic"})
def a2c(batch):
    """A2C.update of the whole batch at once, ent_coef=0."""
    return _ascended(batch, A2C, ent_coef=0.0)


@pgbench.subject(**AVERAGED, accepts={"critic"})
def ppo(batch):
    """PPO.update of the whole batch at once, ent_coef=0, advantage_normalization=False."""
    return _ascended(batch, PPO, ent_coef=0.0, advantage_normalization=False)


@pgbench.subject(**STANDARDISED)
def ppo_normalised(batch):
    """PPO.update of the whole batch at once, ent_coef=0."""
    return _ascended(batch, PPO, ent_coef=0.0)


@pgbench.subject(**AVERAGED, accepts={"clipping", "states"}, sampler=OTHER)
def ppo_later(batch):
    """PPO's loss, advantage_normalization=False, exact advantages of the older policy, later."""
    algorithm = _algorithm(batch, PPO, ent_coef=0.0, advantage_normalization=False)
    buffer, A = _buffer(batch), batch.behaviour_q - batch.behaviour_v[:, None]
    with policy_within_training_step(algorithm.policy):
        steps = algorithm._preprocess_batch(*_sampled(buffer))
        steps.adv = torch.tensor(A[batch.flat.states, batch.flat.actions])
        steps.logp_old = torch.tensor(batch.flat.behaviour_log_probs)
        algorithm._update_with_batch(steps, batch_size=None, repeat=1)
    return -algorithm.policy.actor.theta.grad


def _sampled(buffer):
    steps, indices = buffer.sample(0)
    return steps, buffer, np.asarray(indices)


@pgbench.subject(target="ascent", on_nan="count")
def npg(batch):
    """NPG.update of the whole batch at once: the step from θ that is taken."""
    return _moved(batch, NPG)


@pgbench.subject(target="ascent", on_nan="count")
def trpo(batch):
    """TRPO.update of the whole batch at once: the step from θ that is taken."""
    return _moved(batch, TRPO)


@pgbench.subject(target="ascent")
def npg_plain(batch):
    """The same as npg, advantage_normalization=False."""
    return _moved(batch, NPG, advantage_normalization=False)


@pgbench.subject(target="ascent")
def trpo_plain(batch):
    """The same as trpo, advantage_normalization=False."""
    return _moved(batch, TRPO, advantage_normalization=False)
