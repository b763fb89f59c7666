"""OpenRLHF: advantages of its experience maker, its policy loss and its penalty of divergence.

What imports DeepSpeed, FlashAttention and Ray's workers is given empty stand-ins for them while it
is imported: none of what is called here uses them.
"""

import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import peft  # noqa: F401  before stand-ins, for it looks for what is installed
import torch
from transformers import AutoModel, AutoModelForCausalLM, BitsAndBytesConfig  # noqa: F401

import pgbench

ABSENT = (
    "deepspeed",
    "flash_attn",
    "flash_attn.bert_padding",
    "flash_attn.utils",
    "flash_attn.utils.distributed",
    "openrlhf.trainer.ray.launcher",
)
sys.modules.update({name: MagicMock() for name in ABSENT})

from openrlhf.models.loss import PolicyLoss, aggregate_loss  # noqa: E402
from openrlhf.models.utils import compute_approx_kl  # noqa: E402
from openrlhf.trainer.ppo_utils.experience import Experience  # noqa: E402
from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker  # noqa: E402

for absent in ABSENT:
    del sys.modules[absent]

DISTRIBUTION = "openrlhf"

OTHER = {"sampler": "theta", "scale": 0.3}
"""Data of another policy, as at a later update on one batch."""

DIVERGENCE = {"objective": "kl", "beta": 0.5}

STANDARDISED = {"normalisation", "in_sample_baseline"}


def _advantages(batch, estimator, kl=None):
    """What compute_advantages_and_returns makes of returns, (N, T)."""
    algorithm = SimpleNamespace(
        advantage=SimpleNamespace(
            estimator=estimator, gamma=batch.gamma, lambd=1.0, no_std_norm=False
        )
    )
    reward = SimpleNamespace(clip_range=None)
    rollout = SimpleNamespace(n_samples_per_prompt=batch.group_size)
    maker = RemoteExperienceMaker.__new__(RemoteExperienceMaker)
    maker.strategy = SimpleNamespace(
        args=SimpleNamespace(algo=algorithm, reward=reward, rollout=rollout)
    )
    maker.advantage_estimator = estimator
    maker.kl_ctl = SimpleNamespace(value=0.0 if kl is None else batch.coefficient)
    values = torch.tensor(batch.values)
    experience = Experience(
        index=list(range(len(batch.mask))), action_mask=torch.tensor(batch.mask), values=values,
        rewards=torch.tensor(batch.rewards.sum(axis=1)), info={},
        kl=torch.zeros_like(values) if kl is None else kl,
    )  # fmt: skip
    return maker.compute_advantages_and_returns([experience])[0].advantages


def _ascended(batch, advantages, kl=None, **options):
    """Minus the gradient of PolicyLoss, and of a penalty of divergence in the loss, (d,)."""
    theta = torch.tensor(batch.theta, requires_grad=True)
    mask, log_probs = torch.tensor(batch.mask), batch.log_prob(theta)
    old = torch.tensor(batch.behaviour_log_probs)
    loss = PolicyLoss(**options)(log_probs, old, advantages, mask)[0]
    if kl is not None:
        own = compute_approx_kl(log_probs, torch.tensor(batch.reference_log_probs), old, **kl)
        loss = loss + batch.coefficient * aggregate_loss(own, mask)
    return -torch.autograd.grad(loss, theta)[0]


@pgbench.subject(battery="sequences", scale="per_token")
def rloo(batch):
    """advantage_estimator rloo, PolicyLoss by default (a mean over tokens)."""
    return _ascended(batch, _advantages(batch, "rloo"))


@pgbench.subject(
    battery="sequences", target="surrogate", surrogate={"estimator": "dapo", "std": False}
)
def dr_grpo(batch):
    """advantage_estimator dr_grpo, PolicyLoss by default (a mean over tokens)."""
    return _ascended(batch, _advantages(batch, "dr_grpo"))


@pgbench.subject(
    battery="sequences", target="surrogate", surrogate={"estimator": "grpo", "eps": 1e-9}
)
def group_norm(batch):
    """advantage_estimator group_norm, PolicyLoss(token_level_loss=False), as GRPO."""
    return _ascended(batch, _advantages(batch, "group_norm"), token_level_loss=False)


@pgbench.subject(
    battery="sequences", target="surrogate",
    surrogate={"estimator": "reinforce_plus_plus", "eps": 0.0},
)  # fmt: skip
def reinforce(batch):
    """advantage_estimator reinforce (REINFORCE++), PolicyLoss by default (a mean over tokens)."""
    return _ascended(batch, _advantages(batch, "reinforce"))


@pgbench.subject(
    battery="sequences", target="surrogate",
    surrogate={"estimator": "reinforce_plus_plus", "baseline": "group", "eps": 0.0},
)  # fmt: skip
def reinforce_baseline(batch):
    """advantage_estimator reinforce_baseline, PolicyLoss by default (a mean over tokens)."""
    return _ascended(batch, _advantages(batch, "reinforce_baseline"))


@pgbench.subject(battery="sequences", scale="per_token", accepts=STANDARDISED | {"critic"})
def gae(batch):
    """advantage_estimator gae, lambd=1, PolicyLoss by default; advantages are standardised."""
    return _ascended(batch, _advantages(batch, "gae"))


@pgbench.subject(
    battery="sequences", sampler=OTHER, target="surrogate",
    surrogate={
        "estimator": "clipped_ratio", "advantage": "leave_one_out", "divisor": "tokens",
    },
)  # fmt: skip
def ppo_later(batch):
    """PolicyLoss(policy_loss_type=ppo), clip 0.2, with rloo, at a later update."""
    return _ascended(batch, _advantages(batch, "rloo"))


@pgbench.subject(
    battery="sequences", sampler=OTHER, target="surrogate",
    surrogate={
        "estimator": "gspo", "clip_low": 0.2, "clip_high": 0.2, "advantage": "leave_one_out",
    },
)  # fmt: skip
def gspo_later(batch):
    """PolicyLoss(policy_loss_type=gspo), clip 0.2, with rloo, at a later update."""
    return _ascended(batch, _advantages(batch, "rloo"), policy_loss_type="gspo")


@pgbench.subject(battery="sequences", objective=DIVERGENCE, scale="per_token")
def kl_in_reward(batch):
    """compute_approx_kl(k1) taken off rewards, with rloo, PolicyLoss by default."""
    log_probs = torch.tensor(batch.log_probs), torch.tensor(batch.reference_log_probs)
    return _ascended(batch, _advantages(batch, "rloo", compute_approx_kl(*log_probs)))


@pgbench.subject(battery="sequences", objective=DIVERGENCE, scale="per_token")
def kl_loss_unbiased(batch):
    """compute_approx_kl(k3, unbiased_gradient=True) in the loss, with rloo."""
    kl = {"kl_estimator": "k3", "unbiased_gradient": True}
    return _ascended(batch, _advantages(batch, "rloo"), kl)
