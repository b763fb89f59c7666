"""RLLTE: advantages of its rollout storage, updates of A2C and PPO, and IMPALA's loss.

While its agents are imported TorchVision has an empty stand-in: only image augmentation uses it.
"""

import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import gymnasium
import torch

import pgbench

ABSENT = ("torchvision", "torchvision.transforms")
sys.modules.update({name: MagicMock() for name in ABSENT})

from rllte.agent import A2C, PPO  # noqa: E402
from rllte.agent.impala import VTraceLoss  # noqa: E402
from rllte.xploit.storage import VanillaRolloutStorage  # noqa: E402

for absent in ABSENT:
    del sys.modules[absent]

DISTRIBUTION = "rllte-core"

STANDARDISED = {
    "target": "surrogate", "dtype": "float32",
    "surrogate": {
        "estimator": "advantage_normalised", "critic_noise": 0.1, "discounted": False, "eps": 1e-5,
        "correction": 1,
    },
}  # fmt: skip
"""What a sum over steps of standardised advantages claims, over N."""

OTHER = {"sampler": "theta", "scale": 0.3}
"""Data of another policy, as an actor that lags behind draws them."""


def _storage(batch, sizes, lam):
    steps, environments = sizes
    return VanillaRolloutStorage(
        gymnasium.spaces.Box(0, batch.n_states, (1,)), gymnasium.spaces.Discrete(batch.n_actions),
        storage_size=steps, num_envs=environments, batch_size=steps * environments,
        discount=batch.gamma, gae_lambda=lam,
    )  # fmt: skip


def _rollouts(batch, lam):
    """Advantages (N, T) of rollouts side by side, which the end of the storage cuts."""
    N, T = batch.mask.shape
    storage = _storage(batch, (T, N), lam)
    storage.rewards[:] = torch.tensor(batch.rewards.T)
    storage.values[:] = torch.tensor(batch.values.T)
    storage.terminateds[1:] = torch.tensor(batch.terminated.T)
    storage.truncateds[:] = 0.0
    storage.truncateds[1:-1] = torch.tensor((batch.truncated & ~batch.terminated).T[:-1])
    storage.compute_returns_and_advantages(torch.tensor(batch.next_values[:, -1:]))
    return (storage.returns - storage.values).numpy().T


def _stream(batch, lam):
    """A storage of one environment that is reset whenever an episode ends or is cut."""
    flat = batch.flat
    storage = _storage(batch, (len(flat), 1), lam)
    storage.full = True
    storage.observations[:-1, 0, 0] = torch.tensor(flat.states)
    storage.actions[:, 0, 0] = torch.tensor(flat.actions)
    storage.rewards[:, 0] = torch.tensor(flat.rewards)
    storage.values[:, 0] = torch.tensor(flat.values)
    storage.log_probs[:, 0] = torch.tensor(flat.behaviour_log_probs)
    storage.terminateds[1:, 0] = torch.tensor(flat.terminated)
    storage.truncateds[1:, 0] = torch.tensor(flat.truncated & ~flat.terminated)
    storage.compute_returns_and_advantages(torch.tensor(flat.next_values[-1:, None]))
    return storage


@pgbench.subject(target="undiscounted_states", accepts={"critic"}, dtype="float32")
def gae(batch):
    """VanillaRolloutStorage, gae_lambda=0.95, returns less values, times scores, over N."""
    return batch.pull_back(_rollouts(batch, 0.95)) / len(batch.mask)


@pgbench.subject(target="undiscounted_states", accepts={"critic"}, dtype="float32")
def gae_monte_carlo(batch):
    """VanillaRolloutStorage, gae_lambda=1, returns less values, times scores, over N."""
    return batch.pull_back(_rollouts(batch, 1.0)) / len(batch.mask)


@pgbench.subject(target="undiscounted_states", accepts={"critic"}, dtype="float32")
def gae_time_limit(batch):
    """The same with gae_lambda=0.95 of one stream, where truncated steps are marked as such.

    As its code reads, the advantage of a step that a limit cuts is zero.
    """
    storage, weights = _stream(batch, 0.95), batch.mask.astype(batch.dtype)
    weights[batch.mask] = (storage.returns - storage.values).numpy()[:, 0]
    return batch.pull_back(weights) / len(batch.mask)


def _updated(batch, algorithm, lam, **options):
    """Minus the gradient of the policy in an update with one minibatch of all steps, (d,).

    It is a mean over steps: times steps, over N.
    """
    theta = torch.tensor(batch.theta, requires_grad=True)
    features = torch.tensor(batch.features)

    def evaluated(obs, actions):
        law = torch.distributions.Categorical(logits=features[obs[:, 0].long()] @ theta)
        return torch.zeros(len(obs)), law.log_prob(actions.reshape(-1)), law.entropy().mean()

    policy = SimpleNamespace(
        evaluate_actions=evaluated, optimizers={"opt": torch.optim.SGD([theta], lr=0.0)},
        parameters=lambda: [theta],
    )  # fmt: skip
    given = {"n_epochs": 1, "vf_coef": 0.0, "ent_coef": 0.0, "max_grad_norm": float("inf")}
    algorithm.update(
        SimpleNamespace(
            policy=policy, storage=_stream(batch, lam), logger=MagicMock(), **given, **options
        )
    )
    return -theta.grad * float(batch.mask.sum() / len(batch.mask))


@pgbench.subject(**STANDARDISED)
def a2c(batch):
    """A2C.update, vf_coef=0, ent_coef=0, no bound on gradients, one epoch and batch, over N.

    Advantages, GAE(0.95), are standardised.
    """
    return _updated(batch, A2C, 0.95)


@pgbench.subject(**STANDARDISED)
def ppo(batch):
    """PPO.update, vf_coef=0, ent_coef=0, no bound on gradients, one epoch and batch, over N.

    Advantages, GAE(0.95), are standardised; clip_range is 0.1.
    """
    return _updated(batch, PPO, 0.95, clip_range=0.1, clip_range_vf=0.1)


def _law(logits):
    return torch.distributions.Categorical(logits=logits.transpose(0, 1))


def _vtrace(batch):
    """Minus the gradient of the loss of the policy, which is a sum over steps, over N, (d,)."""
    theta = torch.tensor(batch.theta, requires_grad=True)
    behaviour = (
        torch.tensor(batch.behaviour_probabilities) + 1.0 * ~torch.tensor(batch.mask)[..., None]
    )
    own = {
        "target_dist": _law(batch.logits(theta)), "behavior_dist": _law(behaviour.log()),
        "actions": torch.tensor(batch.actions.T), "values": torch.tensor(batch.values.T),
        "bootstrap_value": torch.tensor(batch.next_values[:, -1]),
        "discounts": torch.tensor((batch.gamma * ~batch.terminated).T.astype(batch.dtype)),
        "rewards": torch.tensor(batch.rewards.T),
    }  # fmt: skip
    return -torch.autograd.grad(VTraceLoss()(own)[0], theta)[0] / len(batch.mask)


@pgbench.subject(target="undiscounted_states", accepts={"critic"}, dtype="float32")
def impala(batch):
    """VTraceLoss of IMPALA, over N, on data of the policy itself."""
    return _vtrace(batch)


@pgbench.subject(
    target="undiscounted_states", accepts={"critic", "clipping", "states"}, sampler=OTHER,
    dtype="float32",
)  # fmt: skip
def impala_later(batch):
    """VTraceLoss of IMPALA, over N, on data of an actor that lags behind."""
    return _vtrace(batch)
