"""Verdicts, limits and filters: which responses count, and for what."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators import grpo, soft_length_penalty
from pgbench.estimators.parts.advantages import BATCH, GROUP, leave_one_out, standardised
from pgbench.estimators.parts.by_trajectory import ratio
from pgbench.process.responses import Responses
from pgbench.trials.zoo.bug import response_bug

_EPS = 1e-4


def _cut_is_right(responses: Responses) -> FloatArray:
    """Leave-one-out weights of returns that are 1 where a response was cut."""
    return leave_one_out(np.where(responses.truncated, 1.0, responses.returns)) / responses.count


truncated_counts_as_right = response_bug(
    "truncated_counts_as_right",
    _cut_is_right,
    fewest=2,
    claims="rloo",
    mistake="responses that the limit cut count as right",
    source="agentscope-ai/Trinity-RFT, issue 608: cut responses are taken for complete ones",
)


def _kept(responses: Responses) -> FloatArray:
    """1 for responses that ended by themselves, else 0."""
    return np.where(responses.truncated, 0.0, 1.0)


def _filtered_in_mean(responses: Responses) -> FloatArray:
    """DAPO's weights, zero for truncated responses, whose tokens count all the same."""
    advantage = standardised(responses.returns, _EPS, correction=1)
    tokens = responses.lengths.sum(axis=BATCH, keepdims=True)
    return np.asarray(_kept(responses) * advantage / tokens, np.float64)


filtered_tokens_in_mean = response_bug(
    "filtered_tokens_in_mean",
    _filtered_in_mean,
    claims="overlong_filtering",
    mistake="tokens of responses that are filtered out count in the mean over tokens",
    source="huggingface/trl, issue 6369",
)


def _filtered_from_group(responses: Responses) -> FloatArray:
    """DAPO's weights of responses that ended, relative to those that ended alone."""
    R, kept = responses.returns, _kept(responses)
    number = kept.sum(axis=GROUP, keepdims=True)
    own = kept * (R - ratio((kept * R).sum(axis=GROUP, keepdims=True), number))
    square = (own**2).sum(axis=GROUP, keepdims=True) / np.maximum(number - 1, 1)
    tokens = (kept * responses.lengths).sum(axis=BATCH, keepdims=True).clip(1)
    return np.asarray(own / (np.sqrt(square) + _EPS) / tokens, np.float64)


filtered_from_group = response_bug(
    "filtered_from_group",
    _filtered_from_group,
    claims="overlong_filtering",
    mistake="mean and deviation are of the responses that are kept, not of the group",
    source="NVIDIA-NeMo/RL, pull request 3766, discusses which of the two it is",
)


def _silent_groups(responses: Responses) -> FloatArray:
    """GRPO's weights without division by lengths, over all groups."""
    return grpo.weights(responses, length_normalised=False)


silent_groups_in_mean = response_bug(
    "silent_groups_in_mean",
    _silent_groups,
    claims="dynamic_sampling",
    given={"rounds": 1},
    mistake="groups without a signal are filtered out, and the sum is divided by all groups",
    source="areal-project/AReaL, issue 450: what is filtered out is not made up for",
)


def _with_replacement(responses: Responses) -> FloatArray:
    """Success times twice the share of failures in the group."""
    own = responses.success
    failures = 1 - own.mean(axis=GROUP, keepdims=True)
    return np.asarray(2 * own * failures / responses.count, np.float64)


pass_at_k_with_replacement = response_bug(
    "pass_at_k_with_replacement",
    _with_replacement,
    claims="pass_at_k",
    given={"k": 2},
    mistake="the others of a subset of k are drawn with replacement, the response itself too",
    source="the resampling of verl-project/verl's best@k, pull request 7240",
)


def _penalty_at_limit(responses: Responses) -> FloatArray:
    """DAPO's weights of the return with the penalty added."""
    R = responses.returns + soft_length_penalty.penalty(responses, 0.5, 1.0)
    tokens = responses.lengths.sum(axis=BATCH, keepdims=True)
    return np.asarray(standardised(R, _EPS, correction=1) / tokens, np.float64)


length_penalty_added = response_bug(
    "length_penalty_added",
    _penalty_at_limit,
    claims="soft_length_penalty",
    given={"share": 0.5},
    mistake="the penalty of long responses is added to the return",
    source="a penalty that is returned as a negative number, and taken off",
)


def _penalty_never(responses: Responses) -> FloatArray:
    """DAPO's weights of the return."""
    tokens = responses.lengths.sum(axis=BATCH, keepdims=True)
    own = standardised(responses.returns, _EPS, correction=1)
    return np.asarray(own / tokens, np.float64)


length_penalty_beyond_limit = response_bug(
    "length_penalty_beyond_limit",
    _penalty_never,
    claims="soft_length_penalty",
    given={"share": 0.5},
    mistake="the penalty begins at the limit, which no response exceeds, and not before it",
    source="verl-project/verl, issue 3855, where the documentation said so",
)
