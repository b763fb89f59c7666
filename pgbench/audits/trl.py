"""TRL: advantages and losses of GRPOTrainer and RLOOTrainer, without a language model.

A stand-in of the trainer is given the responses of the batch in place of generated ones, and their
returns in place of rewards; everything from there on is the trainer's own code.
"""

from collections import defaultdict
from functools import cache
from types import SimpleNamespace

import torch
from accelerate import Accelerator
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

import pgbench

DISTRIBUTION = "trl"

OTHER = {"sampler": "theta", "scale": 0.3}
"""Data of another policy, as at a later update on one batch."""

DIVERGENCE = {"objective": "kl", "beta": 0.5}

STANDARDISED = {"normalisation", "in_sample_baseline"}


def _of(estimator, **parameters):
    """What is claimed where the suite has what the library says that it computes."""
    surrogate = {"estimator": estimator, **parameters}
    return {"battery": "sequences", "target": "surrogate", "surrogate": surrogate}


class _Stand:
    """What a trainer's methods ask of it; a model gives (log probabilities, entropies)."""

    def __init__(self, batch, args):
        self.batch, self.args, self.accelerator = batch, args, Accelerator(cpu=True)
        self.epsilon_low, self.epsilon_high = args.epsilon, args.epsilon_high or args.epsilon
        self.model = lambda: (torch.tensor(batch.behaviour_log_probs), None)
        self.model.training, self.model.is_gradient_checkpointing = True, False
        self.ref_model = lambda: (torch.tensor(batch.reference_log_probs), None)
        self.num_generations_eval, self.reward_weights = batch.group_size, torch.ones(1)
        self.tools = self.environments = self.environment_factories = None
        self.aux_loss_enabled = self._entropy_bonus_enabled = False
        self.eos_token_ids = [batch.n_actions - 1]
        self._tokenizer = SimpleNamespace(pad_token_id=batch.n_actions)
        self.reward_func_names = ["return"]
        self.current_gradient_accumulation_steps = 1
        self._metrics = {"train": defaultdict(list)}
        self._logs = defaultdict(list, rewards=defaultdict(list), extra=defaultdict(list))
        self._pending_extra_logs, self._pending_metrics = {}, {}

    def __getattr__(self, name):
        return getattr(self.args, name)

    def _generate(self, prompts):
        steps = self.batch.mask.sum(axis=1)
        responses = [a[:n].tolist() for a, n in zip(self.batch.actions, steps, strict=True)]
        prompt_ids = [[0]] * len(prompts)
        if isinstance(self, RLOOTrainer):
            return prompt_ids, responses, responses
        return prompt_ids, responses, None, responses, None, {}, None, None

    def _calculate_rewards(self, *given):
        return torch.tensor(self.batch.rewards.sum(axis=1))[:, None]

    def _get_per_token_logps_and_entropies(self, model, ids, mask, kept, *rest, **others):
        log_probs, entropies = model()
        zeros = torch.zeros_like(log_probs) if entropies is None else entropies
        return log_probs[:, :kept], zeros[:, :kept], None


class _GRPO(_Stand, GRPOTrainer):
    pass


class _RLOO(_Stand, RLOOTrainer):
    pass


@cache
def _settings(kind, N, G, T, options):
    config = GRPOConfig if kind is _GRPO else RLOOConfig
    given = {
        "use_cpu": True, "bf16": False, "report_to": [], "num_generations": G,
        "per_device_train_batch_size": N, "max_completion_length": T,
        "gradient_checkpointing": False,
    }  # fmt: skip
    return config(**given | dict(options))


def _ascended(batch, kind=_GRPO, **options):
    """Minus the gradient of the trainer's loss on its own advantages, (d,)."""
    theta = torch.tensor(batch.theta, requires_grad=True)
    sizes = len(batch.mask), batch.group_size, batch.horizon
    trainer = kind(batch, _settings(kind, *sizes, tuple(options.items())))
    inputs = trainer._generate_and_score_completions([{"prompt": str(g)} for g in batch.group])
    loss = trainer._compute_loss(lambda: (batch.log_prob(theta), batch.entropy(theta)), inputs)
    return -torch.autograd.grad(loss, theta)[0]


@pgbench.subject(**_of("grpo", eps=1e-4))
def grpo(batch):
    """GRPOTrainer, loss_type=grpo."""
    return _ascended(batch, loss_type="grpo")


@pgbench.subject(**_of("grpo", std=False))
def grpo_unscaled(batch):
    """GRPOTrainer, loss_type=grpo, scale_rewards=none."""
    return _ascended(batch, loss_type="grpo", scale_rewards="none")


@pgbench.subject(**_of("dapo", eps=1e-4))
def dapo(batch):
    """GRPOTrainer, loss_type=dapo (the default)."""
    return _ascended(batch)


@pgbench.subject(battery="sequences", scale="per_token", accepts=STANDARDISED)
def dapo_scaled_by_batch(batch):
    """GRPOTrainer, loss_type=dapo, scale_rewards=batch."""
    return _ascended(batch, scale_rewards="batch")


@pgbench.subject(**_of("dapo", eps=1e-4))
def bnpo(batch):
    """GRPOTrainer, loss_type=bnpo."""
    return _ascended(batch, loss_type="bnpo")


@pgbench.subject(**_of("dr_grpo"))
def dr_grpo(batch):
    """GRPOTrainer, loss_type=dr_grpo, scale_rewards=none."""
    return _ascended(batch, loss_type="dr_grpo", scale_rewards="none")


@pgbench.subject(**_of("luspo", eps=1e-4))
def luspo(batch):
    """GRPOTrainer, loss_type=luspo, importance_sampling_level=sequence, at the first update."""
    return _ascended(batch, loss_type="luspo", importance_sampling_level="sequence")


@pgbench.subject(**_of("grpo", eps=1e-4))
def sapo(batch):
    """GRPOTrainer, loss_type=sapo, at the first update."""
    return _ascended(batch, loss_type="sapo")


@pgbench.subject(**_of("dapo", eps=1e-4))
def vespo(batch):
    """GRPOTrainer, loss_type=vespo, at the first update."""
    return _ascended(batch, loss_type="vespo")


@pgbench.subject(**_of("overlong_filtering", eps=1e-4))
def truncated_masked(batch):
    """GRPOTrainer, loss_type=dapo, mask_truncated_completions=True."""
    return _ascended(batch, mask_truncated_completions=True)


@pgbench.subject(battery="sequences", sampler=OTHER, target="surrogate", surrogate="clipped_ratio")
def grpo_later(batch):
    """GRPOTrainer, loss_type=grpo, epsilon=0.2, at a later update (num_iterations=2)."""
    return _ascended(batch, loss_type="grpo", num_iterations=2)


@pgbench.subject(
    battery="sequences", sampler=OTHER, target="surrogate",
    surrogate={"estimator": "gspo", "clip_low": 0.2, "clip_high": 0.2},
)  # fmt: skip
def gspo_later(batch):
    """GRPOTrainer, loss_type=grpo, importance_sampling_level=sequence, at a later update."""
    options = {"loss_type": "grpo", "importance_sampling_level": "sequence"}
    return _ascended(batch, num_iterations=2, **options)


@pgbench.subject(
    battery="sequences", sampler=OTHER, target="surrogate",
    surrogate={"estimator": "cispo", "clip_high": 4.0},
)  # fmt: skip
def cispo_later(batch):
    """GRPOTrainer, loss_type=cispo, epsilon_high=5 (the largest ratio), at a later update."""
    return _ascended(batch, loss_type="cispo", epsilon_high=5.0, num_iterations=2)


@pgbench.subject(
    battery="sequences", objective=DIVERGENCE,
    accepts={"in_sample_baseline", "divergence", "later_penalty"},
)  # fmt: skip
def grpo_divergence(batch):
    """GRPOTrainer, beta=0.5, luspo, importance_sampling_level=sequence, scale_rewards=none.

    The loss is a sum over tokens, with k3 of each in it.
    """
    options = {"loss_type": "luspo", "importance_sampling_level": "sequence"}
    return _ascended(batch, scale_rewards="none", beta=batch.coefficient, **options)


@pgbench.subject(battery="sequences")
def rloo(batch):
    """RLOOTrainer, beta=0."""
    return _ascended(batch, _RLOO, beta=0.0)


@pgbench.subject(battery="sequences", accepts=STANDARDISED)
def rloo_normalised(batch):
    """RLOOTrainer, beta=0, normalize_advantages=True."""
    return _ascended(batch, _RLOO, beta=0.0, normalize_advantages=True)


@pgbench.subject(
    battery="sequences", sampler=OTHER, target="surrogate",
    surrogate={
        "estimator": "clipped_ratio", "level": "sequence", "advantage": "leave_one_out",
        "divisor": "none",
    },
)  # fmt: skip
def rloo_later(batch):
    """RLOOTrainer, beta=0, epsilon=0.2, at a later update."""
    return _ascended(batch, _RLOO, beta=0.0)


@pgbench.subject(battery="sequences", objective=DIVERGENCE)
def rloo_divergence(batch):
    """RLOOTrainer, beta=0.5: the divergence is taken off rewards."""
    return _ascended(batch, _RLOO, beta=batch.coefficient)
