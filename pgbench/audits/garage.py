"""garage: losses of VPG and PPO and the step of TRPO, in PyTorch, on the episodes of one batch.

While it is imported TensorFlow and what else it does not use here has empty stand-ins.
"""

import sys
from unittest.mock import MagicMock

import torch

import pgbench

ABSENT = ("tensorflow", "tensorflow_probability", "setproctitle", "cma")

sys.modules.update({name: MagicMock() for name in ABSENT})

from garage.torch.algos import PPO, TRPO, VPG  # noqa: E402
from garage.torch.optimizers import ConjugateGradientOptimizer  # noqa: E402

for absent in ABSENT:
    del sys.modules[absent]

DISTRIBUTION = "garage"


class _Policy(torch.nn.Module):
    """The batch's policy on numbers of states."""

    def __init__(self, batch):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor(batch.theta))
        self.features = torch.tensor(batch.features)

    def forward(self, states):
        logits = self.features[states.long()] @ self.theta
        return torch.distributions.Categorical(logits=logits, validate_args=False), {}


def _algorithm(batch, kind, lam, **options):
    """The algorithm with what its losses ask of it."""
    made = kind.__new__(kind)
    made.policy, made._old_policy = _Policy(batch), _Policy(batch)
    given = {
        "discount": batch.gamma, "gae_lambda": lam, "center_adv": False, "positive_adv": False,
        "entropy_regularzied": False, "lr_clip_range": 0.2,
    }  # fmt: skip
    for name, value in (given | options).items():
        setattr(made, f"_{name}", value)
    made.max_episode_length = batch.horizon
    return made


def _episodes(batch, padding=0.0):
    """Observations, actions, rewards, lengths and values, (N, T), 0 or ``padding`` behind ends."""
    mask = torch.tensor(batch.mask)
    values = torch.tensor(batch.values) + padding * ~mask
    arrays = (torch.tensor(x) for x in (batch.states, batch.actions, batch.rewards))
    return (*arrays, batch.mask.sum(axis=1), values)


def _ascended(batch, kind, lam, padding=0.0, **options):
    """Minus the gradient of _compute_loss, (d,)."""
    algorithm = _algorithm(batch, kind, lam, **options)
    loss = algorithm._compute_loss(*_episodes(batch, padding))
    return -torch.autograd.grad(loss, algorithm.policy.theta)[0]


@pgbench.subject(
    target="undiscounted_states", scale="per_step", accepts={"critic"}, dtype="float32"
)
def vpg(batch):
    """VPG._compute_loss, center_adv=False; values are 0 behind an end."""
    return _ascended(batch, VPG, 1.0)


@pgbench.subject(
    target="undiscounted_states", scale="per_step", accepts={"critic"}, dtype="float32"
)
def vpg_padded(batch):
    """VPG._compute_loss, center_adv=False, with a critic's values of padded observations.

    So VPG._train_once has them.
    """
    return _ascended(batch, VPG, 1.0, padding=float(batch.critic.mean()))


@pgbench.subject(
    target="undiscounted_states", scale="per_step", accepts={"critic"}, dtype="float32"
)
def vpg_gae(batch):
    """VPG._compute_loss, gae_lambda=0.95, center_adv=False; values are 0 behind an end."""
    return _ascended(batch, VPG, 0.95)


@pgbench.subject(
    target="undiscounted_states", scale="per_step", dtype="float32",
    accepts={"critic", "normalisation", "in_sample_baseline"},
)  # fmt: skip
def vpg_centred(batch):
    """VPG._compute_loss; center_adv is True: advantages of mean 0 and deviation 1."""
    return _ascended(batch, VPG, 1.0, center_adv=True)


@pgbench.subject(
    target="undiscounted_states", scale="per_step", accepts={"critic"}, dtype="float32"
)
def ppo(batch):
    """PPO._compute_loss, center_adv=False; gae_lambda is 0.97, lr_clip_range 0.2."""
    return _ascended(batch, PPO, 0.97)


@pgbench.subject(target="ascent", dtype="float32")
def trpo(batch):
    """TRPO._train_policy, its step; gae_lambda is 0.98, max_constraint_value 0.01."""
    algorithm = _algorithm(batch, TRPO, 0.98, center_adv=True)
    parameters = [algorithm.policy.theta]
    algorithm._policy_optimizer = ConjugateGradientOptimizer(parameters, 0.01)
    obs, actions, rewards, lengths, values = _episodes(batch)
    advantages = algorithm._compute_advantage(rewards, lengths, values)
    taken = torch.tensor(batch.mask)
    algorithm._train_policy(obs[taken], actions[taken], rewards[taken], advantages)
    return parameters[0].detach() - torch.tensor(batch.theta)
