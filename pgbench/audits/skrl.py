"""skrl: compute_gae, the updates of its on-policy agents, and log-probabilities of its Gaussians.

The memory holds the steps of the batch one trajectory after another, as those of one environment,
recorded by ``record_transition``.
"""

import gymnasium
import numpy as np
import torch
from skrl.agents.torch.a2c import A2C
from skrl.agents.torch.ppo import PPO
from skrl.agents.torch.ppo.ppo import compute_gae
from skrl.agents.torch.trpo import TRPO
from skrl.memories.torch import RandomMemory
from skrl.models.torch import CategoricalMixin, DeterministicMixin, GaussianMixin, Model

import pgbench

DISTRIBUTION = "skrl"

STANDARDISED = {
    "target": "surrogate",
    "scale": "per_step",
    "dtype": "float32",
    "surrogate": {
        "estimator": "advantage_normalised", "lam": 0.95, "discounted": False, "critic_noise": 0.1,
        "correction": 1,
    },
}  # fmt: skip
"""What a mean over steps without γ^t, of standardised advantages, claims."""

SUM = {"target": "undiscounted_states", "accepts": {"critic"}, "dtype": "float32"}
"""What a sum over steps without γ^t claims."""


class _Policy(CategoricalMixin, Model):
    def __init__(self, batch, spaces):
        Model.__init__(self, **spaces, device="cpu")
        CategoricalMixin.__init__(self)
        self.theta = torch.nn.Parameter(torch.tensor(batch.theta))
        self.features = torch.tensor(batch.features)

    def compute(self, inputs, role=""):
        return self.features[inputs["observations"][:, 0].long()] @ self.theta, {}


class _Gaussian(GaussianMixin, Model):
    def __init__(self, batch, spaces, clip_actions=False):
        Model.__init__(self, **spaces, device="cpu")
        GaussianMixin.__init__(self, clip_actions=clip_actions)
        self.theta = torch.nn.Parameter(torch.tensor(batch.theta))

    def compute(self, inputs, role=""):
        slope, offset, log_std = self.theta
        return slope * inputs["observations"] + offset, {"log_std": log_std.reshape(1)}


class _Critic(DeterministicMixin, Model):
    """The batch's critic: what is observed of a state of finitely many is its number."""

    def __init__(self, batch, spaces):
        Model.__init__(self, **spaces, device="cpu")
        DeterministicMixin.__init__(self)
        self.values = torch.nn.Parameter(torch.tensor(batch.critic)[:, None])

    def compute(self, inputs, role=""):
        return self.values[inputs["observations"][:, 0].long()], {}


class _Given(DeterministicMixin, Model):
    """Values of states that are told by a batch step by step."""

    def __init__(self, values, spaces):
        Model.__init__(self, **spaces, device="cpu")
        DeterministicMixin.__init__(self)
        self.values = torch.nn.Parameter(torch.tensor(values)[:, None])

    def compute(self, inputs, role=""):
        return self.values[-len(inputs["observations"]) :], {}


def _column(x):
    return torch.tensor(np.asarray(x)).reshape(len(x), -1)


def _spaces(batch):
    if hasattr(batch, "bound"):
        actions = gymnasium.spaces.Box(-batch.bound, batch.bound, (1,))
        return {
            "observation_space": gymnasium.spaces.Box(-np.inf, np.inf, (1,)),
            "action_space": actions,
        }
    return {
        "observation_space": gymnasium.spaces.Box(0, batch.n_states, (1,)),
        "action_space": gymnasium.spaces.Discrete(batch.n_actions),
    }


def _updated(batch, kind, models, **options):
    """The policy after an update of the agent on the whole batch."""
    flat, spaces = batch.flat, _spaces(batch)
    agent = kind(
        models=models, memory=RandomMemory(memory_size=len(flat), device="cpu"), **spaces,
        device="cpu",
        cfg={
            "discount_factor": batch.gamma, "learning_rate": 0.0, "mini_batches": 1,
            "time_limit_bootstrap": True,
        } | options,
    )  # fmt: skip
    agent.init()
    agent.enable_training_mode(True)
    agent._current_log_prob = _column(flat.log_probs)
    agent._current_values = _column(flat.values)
    agent.record_transition(
        observations=_column(flat.states), states=None, actions=_column(flat.actions),
        rewards=_column(flat.rewards), next_observations=_column(flat.next_states),
        next_states=None, terminated=_column(flat.terminated), truncated=_column(flat.truncated),
        infos={}, timestep=0, timesteps=1,
    )  # fmt: skip
    agent._current_next_observations = agent._current_next_observations[-1:]
    agent.memory.filled = True
    agent.update(timestep=0, timesteps=1)
    return agent.policy.theta


def _ascended(batch, kind, **options):
    """Minus the gradient of the policy in an update, (d,)."""
    spaces = _spaces(batch)
    models = {"policy": _Policy(batch, spaces), "value": _Critic(batch, spaces)}
    return -_updated(batch, kind, models, **options).grad


def _gae(batch, lam, bootstrap):
    """Returns less values of compute_gae times scores, over N, (d,)."""
    flat, rewards = batch.flat, _column(batch.flat.rewards)
    if bootstrap:
        rewards += batch.gamma * _column(flat.next_values * flat.truncated)
    returns = compute_gae(
        rewards=rewards, terminated=_column(flat.terminated), truncated=_column(flat.truncated),
        values=_column(flat.values), last_values=_column(flat.next_values[-1:]),
        discount_factor=batch.gamma, lambda_coefficient=lam, time_limit_bootstrap=bootstrap,
    )[0]  # fmt: skip
    weights = batch.mask.astype(batch.dtype)
    weights[batch.mask] = returns[:, 0].numpy() - flat.values
    return batch.pull_back(weights) / len(batch.mask)


@pgbench.subject(**SUM)
def gae(batch):
    """compute_gae, time_limit_bootstrap=True, returns less values, times scores, over N."""
    return _gae(batch, 0.95, True)


@pgbench.subject(**SUM)
def gae_time_limit(batch):
    """compute_gae with the defaults, returns less values, times scores, over N.

    As its code reads, a cut is passed over unless time_limit_bootstrap=True, and sums run on
    beyond it.
    """
    return _gae(batch, 0.95, False)


@pgbench.subject(**SUM)
def monte_carlo_time_limit(batch):
    """compute_gae, lambda_coefficient=1, returns less values, times scores, over N.

    As its code reads, a cut is passed over unless time_limit_bootstrap=True, and sums run on
    beyond it.
    """
    return _gae(batch, 1.0, False)


def _rollouts(batch, values, next_values, **options):
    """Returns (N, T) of compute_gae, of N environments whose rollouts end with the memory."""
    rewards = torch.tensor(batch.rewards.T)
    returns = compute_gae(
        rewards=rewards, values=torch.tensor(values.T), terminated=torch.tensor(batch.terminated.T),
        truncated=torch.zeros_like(rewards, dtype=torch.bool),
        last_values=torch.tensor(next_values[:, -1]), discount_factor=batch.gamma, **options,
    )[0]  # fmt: skip
    return returns.numpy().T


@pgbench.subject(**SUM)
def gae_rollouts(batch):
    """compute_gae with the defaults, of N environments whose rollouts end with the memory."""
    advantages = _rollouts(batch, batch.values, batch.next_values) - batch.values
    return batch.pull_back(advantages * batch.mask) / len(batch.mask)


@pgbench.subject(**STANDARDISED)
def a2c(batch):
    """A2C.update, time_limit_bootstrap=True, grad_norm_clip=0."""
    return _ascended(batch, A2C, grad_norm_clip=0.0)


@pgbench.subject(**STANDARDISED)
def ppo(batch):
    """PPO.update, time_limit_bootstrap=True, grad_norm_clip=0, one epoch of one minibatch."""
    return _ascended(batch, PPO, grad_norm_clip=0.0, learning_epochs=1)


@pgbench.subject(target="ascent", dtype="float32")
def ppo_short(batch):
    """PPO.update, time_limit_bootstrap=True, one epoch of one minibatch."""
    return _ascended(batch, PPO, learning_epochs=1)


@pgbench.subject(target="ascent", actions="continuous", dtype="float32")
def trpo(batch):
    """TRPO.update of a Gaussian policy, time_limit_bootstrap=True: the step from θ taken."""
    spaces = _spaces(batch)
    models = {
        "policy": _Gaussian(batch, spaces),
        "value": _Given(batch.flat.next_values, spaces),
    }
    theta = _updated(batch, TRPO, models, learning_epochs=1)
    return theta.detach() - torch.tensor(batch.theta)


def _scored(batch, actions, clip_actions):
    """The gradient of log-probabilities of actions that a Gaussian model has taken, (3,)."""
    policy, flat = _Gaussian(batch, _spaces(batch), clip_actions), batch.flat
    inputs = {"observations": _column(flat.states), "taken_actions": _column(actions)}
    log_probs = policy.act(inputs)[1]["log_prob"][:, 0]
    none = np.zeros_like(batch.rewards)
    returns = _rollouts(batch, none, none, lambda_coefficient=1.0)[batch.mask]
    weights = torch.tensor(batch.gamma**flat.times * returns)
    return torch.autograd.grad((weights * log_probs).sum(), policy.theta)[0] / len(batch.mask)


@pgbench.subject(actions="continuous", dtype="float32")
def gaussian(batch):
    """GaussianMixin.act, log-probabilities of actions, times returns of compute_gae and γ^t."""
    return _scored(batch, batch.flat.actions, False)


@pgbench.subject(actions="continuous", dtype="float32")
def gaussian_clipped(batch):
    """The same, clip_actions=True where the problem clips: what the model takes is clipped.

    The Gaussian log-density is that of the clipped action.
    """
    clipped = batch.law == "clipped"
    return _scored(batch, batch.flat.env_actions if clipped else batch.flat.actions, clipped)
