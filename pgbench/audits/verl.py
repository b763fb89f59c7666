"""verl: advantage estimators, policy losses and penalties of divergence of its PPO trainer."""

import numpy as np
import torch
from verl.trainer.config import AlgoConfig
from verl.trainer.config.algorithm import RolloutCorrectionConfig
from verl.trainer.ppo import core_algos
from verl.workers.config import ActorConfig, PolicyLossConfig

import pgbench

DISTRIBUTION = "verl"

OTHER = {"sampler": "theta", "scale": 0.3}
"""Data of another policy, as at a later update on one batch."""

DIVERGENCE = {"objective": "kl", "beta": 0.5}

STANDARDISED = {"normalisation", "in_sample_baseline"}

SUM, MEAN, TOKENS = "seq-mean-token-sum", "seq-mean-token-mean", "token-mean"


def _of(estimator, **parameters):
    """What is claimed where the suite has what the library says that it computes."""
    surrogate = {"estimator": estimator, **parameters}
    return {"battery": "sequences", "target": "surrogate", "surrogate": surrogate}


def _mask(batch):
    return torch.tensor(batch.mask.astype(batch.dtype))


def _outcomes(batch):
    """Returns at the last token of every response, where its reward managers put them, (N, T)."""
    scores = np.zeros_like(batch.rewards)
    responses = np.arange(len(scores))
    scores[responses, batch.mask.sum(axis=1) - 1] = batch.rewards.sum(axis=1)
    return scores


def _advantages(batch, name, std=True, **other):
    """What the estimator registered by that name gives, (N, T)."""
    given = {"token_level_rewards": torch.tensor(batch.rewards), "response_mask": _mask(batch)}
    if name != "gae":
        given["token_level_rewards"] = torch.tensor(_outcomes(batch))
        config = AlgoConfig(gamma=batch.gamma, norm_adv_by_std_in_grpo=std)
        given |= {"index": batch.group, "config": config}
    return core_algos.get_adv_estimator_fn(name)(**given | other)[0]


def _ascended(batch, advantages, mode, loss="vanilla", kl=None, later=False, **settings):
    """Minus the gradient of a registered loss, and of a penalty of divergence in it, (d,)."""
    theta = torch.tensor(batch.theta, requires_grad=True)
    log_prob = batch.log_prob(theta)
    old = torch.tensor(batch.behaviour_log_probs) if later else log_prob.detach()
    config = ActorConfig(
        strategy="fsdp", rollout_n=batch.group_size, use_dynamic_bsz=True,
        policy_loss=PolicyLossConfig(loss_mode=loss, **settings),
    )  # fmt: skip
    own = core_algos.get_policy_loss_fn(loss)(old, log_prob, advantages, _mask(batch), mode, config)
    total = own[0]
    if kl is not None:
        penalty = core_algos.kl_penalty(log_prob, torch.tensor(batch.reference_log_probs), kl)
        total = total + batch.coefficient * core_algos.agg_loss(penalty, _mask(batch), mode)
    return -torch.autograd.grad(total, theta)[0]


@pgbench.subject(battery="sequences")
def rloo(batch):
    """compute_rloo_outcome_advantage, vanilla loss, seq-mean-token-sum."""
    return _ascended(batch, _advantages(batch, "rloo"), SUM)


@pgbench.subject(battery="sequences")
def rloo_vectorized(batch):
    """compute_rloo_vectorized_outcome_advantage, vanilla loss, seq-mean-token-sum."""
    return _ascended(batch, _advantages(batch, "rloo_vectorized"), SUM)


@pgbench.subject(battery="sequences", scale="per_token")
def rloo_token_mean(batch):
    """compute_rloo_outcome_advantage, vanilla loss, token-mean (the default of losses)."""
    return _ascended(batch, _advantages(batch, "rloo"), TOKENS)


@pgbench.subject(**_of("grpo", eps=1e-6))
def grpo(batch):
    """compute_grpo_outcome_advantage, vanilla loss, seq-mean-token-mean."""
    return _ascended(batch, _advantages(batch, "grpo"), MEAN)


@pgbench.subject(**_of("dapo", eps=1e-6))
def grpo_token_mean(batch):
    """compute_grpo_outcome_advantage, vanilla loss, token-mean, as DAPO."""
    return _ascended(batch, _advantages(batch, "grpo"), TOKENS)


@pgbench.subject(**_of("dr_grpo"))
def dr_grpo(batch):
    """compute_grpo_outcome_advantage, norm_adv_by_std_in_grpo=False, seq-mean-token-sum-norm."""
    advantages = _advantages(batch, "grpo", norm_adv_by_std_in_grpo=False)
    return _ascended(batch, advantages, "seq-mean-token-sum-norm")


@pgbench.subject(**_of("grpo", eps=1e-6, length_normalised=False), dtype="float32")
def grpo_vectorized(batch):
    """compute_grpo_vectorized_outcome_advantage, vanilla loss, seq-mean-token-sum."""
    return _ascended(batch, _advantages(batch, "grpo_vectorized"), SUM)


@pgbench.subject(battery="sequences", scale="per_token", accepts=STANDARDISED)
def gdpo(batch):
    """compute_gdpo_outcome_advantage with one reward, vanilla loss, token-mean."""
    return _ascended(batch, _advantages(batch, "gdpo"), TOKENS)


@pgbench.subject(battery="sequences", scale="any", accepts={"transform"})
def grpo_passk(batch):
    """compute_grpo_passk_outcome_advantage, norm_adv_by_std_in_grpo=False, seq-mean-token-sum.

    It stands for the gradient of the best return of a group; losses are means over its responses.
    """
    return _ascended(batch, _advantages(batch, "grpo_passk", std=False), SUM)


@pgbench.subject(battery="sequences", scale="any", accepts=STANDARDISED | {"transform"})
def grpo_passk_standardised(batch):
    """compute_grpo_passk_outcome_advantage, vanilla loss, token-mean."""
    return _ascended(batch, _advantages(batch, "grpo_passk"), TOKENS)


@pgbench.subject(**_of("reinforce_plus_plus", correction=1))
def reinforce_plus_plus(batch):
    """compute_reinforce_plus_plus_outcome_advantage, vanilla loss, token-mean."""
    return _ascended(batch, _advantages(batch, "reinforce_plus_plus"), TOKENS)


@pgbench.subject(**_of("reinforce_plus_plus", baseline="group", correction=1))
def reinforce_plus_plus_baseline(batch):
    """compute_reinforce_plus_plus_baseline_outcome_advantage, vanilla loss, token-mean."""
    return _ascended(batch, _advantages(batch, "reinforce_plus_plus_baseline"), TOKENS)


@pgbench.subject(battery="sequences")
def remax(batch):
    """compute_remax_outcome_advantage, seq-mean-token-sum; V(s_0) for the greedy response's return.

    Any number that hangs on the prompt alone may stand there.
    """
    baselines = torch.tensor(batch.v[batch.states[:, 0]])
    advantages = _advantages(batch, "remax", reward_baselines=baselines)
    return _ascended(batch, advantages, SUM)


@pgbench.subject(**_of("opo"))
def opo(batch):
    """compute_opo_outcome_advantage, vanilla loss, seq-mean-token-sum."""
    return _ascended(batch, _advantages(batch, "opo"), SUM)


@pgbench.subject(**_of("gpg"))
def gpg(batch):
    """compute_gpg_outcome_advantage, loss gpg, token-mean."""
    return _ascended(batch, _advantages(batch, "gpg"), TOKENS, "gpg")


def _optimal_token_baseline(batch, **options):
    given = {
        "old_log_probs": torch.tensor(batch.behaviour_log_probs),
        "sum_pi_squared": torch.tensor((batch.behaviour_probabilities**2).sum(axis=-1)),
    }
    advantages = _advantages(batch, "optimal_token_baseline", **given, **options)
    return _ascended(batch, advantages, SUM)


@pgbench.subject(battery="sequences", accepts={"in_sample_baseline"})
def optimal_token_baseline(batch):
    """compute_optimal_token_baseline_advantage, vanilla loss, seq-mean-token-sum."""
    return _optimal_token_baseline(batch)


@pgbench.subject(**_of("optimal_token_baseline"))
def optimal_token_baseline_tail(batch):
    """compute_optimal_token_baseline_advantage, handle_zero_tail=False, seq-mean-token-sum."""
    return _optimal_token_baseline(batch, handle_zero_tail=False)


@pgbench.subject(
    **_of("advantage_normalised", lam=1.0, critic_noise=0.1, eps=0.0, correction=1),
    scale="per_token",
)
def gae(batch):
    """compute_gae_advantage_return, lam=1, vanilla loss, token-mean; advantages are whitened."""
    given = {"values": torch.tensor(batch.values), "gamma": batch.gamma, "lam": 1.0}
    return _ascended(batch, _advantages(batch, "gae", **given), TOKENS)


@pgbench.subject(**_of("grpo", eps=1e-6))
def sapo(batch):
    """Loss sapo (seq-mean-token-mean), compute_grpo_outcome_advantage, at the first update."""
    return _ascended(batch, _advantages(batch, "grpo"), MEAN, "sapo")


@pgbench.subject(**_of("dapo", eps=1e-6))
def kl_cov(batch):
    """Loss kl_cov, token-mean, with compute_grpo_outcome_advantage, at the first update."""
    return _ascended(batch, _advantages(batch, "grpo"), TOKENS, "kl_cov")


@pgbench.subject(battery="sequences", scale="per_token", accepts=STANDARDISED | {"clipping"})
def clip_cov(batch):
    """Loss clip_cov, token-mean, with compute_grpo_outcome_advantage, at the first update.

    It leaves out a token, drawn from those whose advantage goes with their probability.
    """
    return _ascended(batch, _advantages(batch, "grpo"), TOKENS, "clip_cov")


@pgbench.subject(
    battery="sequences", sampler=OTHER, target="surrogate",
    surrogate={
        "estimator": "clipped_ratio", "advantage": "leave_one_out", "divisor": "none",
        "dual_clip": 3.0,
    },
)  # fmt: skip
def vanilla_later(batch):
    """Loss vanilla, clip 0.2, clip_ratio_c 3, seq-mean-token-sum, rloo, at a later update."""
    return _ascended(batch, _advantages(batch, "rloo"), SUM, later=True)


@pgbench.subject(
    battery="sequences", sampler=OTHER, target="surrogate",
    surrogate={
        "estimator": "gspo", "clip_low": 0.2, "clip_high": 0.2, "advantage": "leave_one_out",
    },
)  # fmt: skip
def gspo_later(batch):
    """Loss gspo, clip 0.2, seq-mean-token-mean, rloo, at a later update."""
    return _ascended(batch, _advantages(batch, "rloo"), MEAN, "gspo", later=True)


@pgbench.subject(
    battery="sequences", sampler=OTHER, target="surrogate",
    surrogate={
        "estimator": "gspo", "clipped": "token", "clip_low": 0.181269246922018,
        "clip_high": 0.221402758160170, "advantage": "leave_one_out",
    },
)  # fmt: skip
def geo_mean_later(batch):
    """Loss geo_mean (GMPO), logarithms of ratios clipped at 0.2, rloo, at a later update."""
    return _ascended(batch, _advantages(batch, "rloo"), MEAN, "geo_mean", later=True)


@pgbench.subject(
    battery="sequences", sampler=OTHER, target="surrogate",
    surrogate={
        "estimator": "cispo", "clip_low": 0.2, "clip_high": 0.2, "advantage": "leave_one_out",
        "divisor": "none",
    },
)  # fmt: skip
def cispo_later(batch):
    """Loss cispo, clip 0.2, seq-mean-token-sum, rloo, at a later update."""
    return _ascended(batch, _advantages(batch, "rloo"), SUM, "cispo", later=True)


def _bypass(batch, **options):
    correction = RolloutCorrectionConfig(loss_type="reinforce", **options)
    given = {"rollout_correction": correction, "later": True}
    return _ascended(batch, _advantages(batch, "rloo"), SUM, "bypass_mode", **given)


@pgbench.subject(
    **_of("importance_ratio", level="sequence", rule="truncated", high=2.0), sampler=OTHER
)
def bypass_reinforce(batch):
    """Loss bypass_mode, loss_type=reinforce (ratios up to 2), seq-mean-token-sum, rloo."""
    return _bypass(batch)


@pgbench.subject(battery="sequences", sampler=OTHER)
def bypass_reinforce_untruncated(batch):
    """Loss bypass_mode, loss_type=reinforce, rollout_is_threshold=1e6, seq-mean-token-sum, rloo."""
    return _bypass(batch, rollout_is_threshold=1e6)


@pgbench.subject(battery="sequences", objective=DIVERGENCE)
def kl_in_reward(batch):
    """compute_rewards, rloo, seq-mean-token-sum: the divergence taken off rewards."""
    log_probs = torch.tensor(batch.log_probs), torch.tensor(batch.reference_log_probs)
    scores = torch.tensor(_outcomes(batch))
    rewards = core_algos.compute_rewards(scores, *log_probs, batch.coefficient)
    return _ascended(batch, _advantages(batch, "rloo", token_level_rewards=rewards), SUM)


@pgbench.subject(**_of("penalty_in_loss", form="k1"), objective=DIVERGENCE)
def kl_loss_k1(batch):
    """kl_penalty, kl_loss_type=k1 in the loss, rloo, seq-mean-token-sum.

    Of it and of k3 the comments say that their mean gradient is not that of the divergence, and of
    k2 and k3+ that it is.
    """
    return _ascended(batch, _advantages(batch, "rloo"), SUM, kl="k1")


@pgbench.subject(battery="sequences", objective=DIVERGENCE)
def kl_loss_k2(batch):
    """kl_penalty, kl_loss_type=k2 in the loss, rloo, seq-mean-token-sum."""
    return _ascended(batch, _advantages(batch, "rloo"), SUM, kl="k2")


@pgbench.subject(**_of("penalty_in_loss", form="k3"), objective=DIVERGENCE)
def kl_loss_k3(batch):
    """kl_penalty, kl_loss_type=k3 in the loss, rloo, seq-mean-token-sum."""
    return _ascended(batch, _advantages(batch, "rloo"), SUM, kl="k3")


@pgbench.subject(battery="sequences", objective=DIVERGENCE)
def kl_loss_k3_plus(batch):
    """kl_penalty, kl_loss_type=k3+ in the loss (k2's gradient), rloo, seq-mean-token-sum."""
    return _ascended(batch, _advantages(batch, "rloo"), SUM, kl="k3+")
