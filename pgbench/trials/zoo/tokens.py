"""Tokens that are scored though they should not be, or not scored, and means over tokens."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators import dr_grpo, grpo, rloo
from pgbench.estimators.parts.advantages import BATCH, GROUP
from pgbench.exact.truth import Truth
from pgbench.process.batch import Batch
from pgbench.process.responses import Responses
from pgbench.rollout.simulator import Simulator
from pgbench.trials.case import SEQUENCES
from pgbench.trials.zoo.bug import batch_bug, of_tokens, response_bug, token_bug


def _first_unscored(batch: Batch, responses: Responses, truth: Truth) -> FloatArray:
    """Leave-one-out weights of all tokens but the first."""
    return of_tokens(rloo.weights(responses)) * (np.arange(batch.shape[2]) > 0)


first_token_unscored = token_bug(
    "first_token_unscored",
    _first_unscored,
    fewest=2,
    claims="rloo",
    mistake="the mask is shifted by one: the first token of every response is not scored",
    source="OpenRLHF/OpenRLHF, issue 973, and jingyaogong/minimind, pull request 621",
)


def _end_unscored(batch: Batch, responses: Responses, truth: Truth) -> FloatArray:
    """Leave-one-out weights of all tokens but the end token."""
    last = np.arange(batch.shape[2]) == batch.lengths[:, :, None] - 1
    ended = of_tokens(np.where(responses.truncated, 0.0, 1.0))
    return of_tokens(rloo.weights(responses)) * (1 - last * ended)


end_token_unscored = token_bug(
    "end_token_unscored",
    _end_unscored,
    fewest=2,
    claims="rloo",
    mistake="the end token is taken for padding and not scored, so that nothing teaches to end",
    source="rasbt/reasoning-from-scratch, pull request 185",
)


def _prompt_scored(simulator: Simulator) -> FloatArray:
    """Return times all scores, and times that of a given token at the start."""
    batch = simulator.batch()
    given = batch.of_pairs(batch.states, 0)
    R = batch.returns[:, :, None]
    first = R * (np.arange(batch.shape[2]) == 0)
    return simulator.pull_back(batch.tables(R) + given.tables(first))


prompt_token_scored = batch_bug(
    "prompt_token_scored",
    _prompt_scored,
    claims="reinforce",
    mistake="a token of the prompt is scored as if it had been written",
    source="TIGER-AI-Lab/verl-tool, issue 116, and NVIDIA-NeMo/RL, pull request 2176",
    battery=SEQUENCES,
)


def _prompt_in_length(responses: Responses) -> FloatArray:
    """GRPO's advantage over the length of prompt and response, two tokens more."""
    return grpo.weights(responses, length_normalised=False) / (responses.lengths + 2)


prompt_counted_in_length = response_bug(
    "prompt_counted_in_length",
    _prompt_in_length,
    claims="grpo",
    mistake="tokens of the prompt count in the length by which a response is divided",
    source="a mask of prompt and response, as in TIGER-AI-Lab/verl-tool, issue 116",
)


def _padding_in_mean(responses: Responses) -> FloatArray:
    """GRPO's advantage times all scores, over responses times the limit."""
    return grpo.weights(responses, length_normalised=False) / responses.limit


padding_in_token_mean = response_bug(
    "padding_in_token_mean",
    _padding_in_mean,
    claims="dapo",
    mistake="padding counts in the mean over tokens",
    source="NovaSky-AI/SkyRL, pull request 462, and PrimeIntellect-ai/prime-rl, pull request 674",
)


def _by_longest(responses: Responses) -> FloatArray:
    """Return less the group's mean, over the longest response of the group."""
    longest = responses.lengths.max(axis=GROUP, keepdims=True)
    return dr_grpo.weights(responses, budget="one") / longest


divided_by_longest = response_bug(
    "divided_by_longest",
    _by_longest,
    claims="dr_grpo",
    mistake="scores are divided by the longest response of the group, not by the limit on length",
    source="verl-project/verl, issue 3741: the width of the mask, which should be constant",
)


def _summed(responses: Responses) -> FloatArray:
    """Dr. GRPO's weights, summed over responses."""
    return dr_grpo.weights(responses) * responses.count


summed_over_responses = response_bug(
    "summed_over_responses",
    _summed,
    claims="dr_grpo",
    mistake="summed over the responses of a batch where a mean is claimed",
    source="asked of verl-project/verl in issue 3741",
)


def _mean_of_means(responses: Responses) -> FloatArray:
    """GRPO's advantage over the length of each response, a micro-batch of its own, averaged."""
    return grpo.weights(responses)


mean_of_token_means = response_bug(
    "mean_of_token_means",
    _mean_of_means,
    claims="dapo",
    mistake="token means of micro-batches, here of one response, are averaged, long or short",
    source="verl-project/verl, pull request 906, and allenai/open-instruct, pull request 1161",
)


def _whitened_with_padding(responses: Responses) -> FloatArray:
    """Returns whitened over tokens and padding, which is zero, times all scores, per token."""
    R, L = responses.returns, responses.lengths
    places, tokens = responses.count * responses.limit, L.sum(axis=BATCH, keepdims=True)
    mean = (L * R).sum(axis=BATCH, keepdims=True) / places
    square = (L * R**2).sum(axis=BATCH, keepdims=True) / places - mean**2
    return np.asarray((R - mean) / np.sqrt(np.maximum(square, 0) + 1e-8) / tokens, np.float64)


whitened_with_padding = response_bug(
    "whitened_with_padding",
    _whitened_with_padding,
    claims="reinforce_plus_plus",
    mistake="padding counts in the mean and deviation by which advantages are whitened",
    source="MarcoMeter/recurrent-ppo-truncated-bptt, issue 10",
)


def _per_token(responses: Responses) -> FloatArray:
    """Leave-one-out weights over the length of each response."""
    return rloo.weights(responses) / grpo.lengths(responses)


length_normalised_called_unbiased = response_bug(
    "length_normalised_called_unbiased",
    _per_token,
    fewest=2,
    claims="rloo",
    mean_only=True,
    mistake="every response is divided by its length and the estimator called unbiased",
    source="Liu et al. 2025 (Understanding R1-Zero-like training) found it in most public code",
)


def _early(batch: Batch, responses: Responses, truth: Truth) -> FloatArray:
    """Rewards to go, where each is paid a token before its own."""
    rewards = np.roll(batch.rewards, -1, axis=2)
    rewards[:, :, -1] = 0.0
    return batch.backward(rewards, 1.0) / responses.count


reward_one_token_early = token_bug(
    "reward_one_token_early",
    _early,
    claims="reward_to_go",
    mistake="the reward is paid a token before the last, which is then worth nothing",
    source="EleutherAI/gpt-neox, pull request 1285: at the last token but not at the end token",
)


def _late(batch: Batch, responses: Responses, truth: Truth) -> FloatArray:
    """Rewards to go, where each is paid a token after its own, if there is one."""
    rewards = np.roll(batch.rewards, 1, axis=2) * batch.mask
    rewards[:, :, 0] = 0.0
    return batch.backward(rewards, 1.0) / responses.count


reward_on_padding = token_bug(
    "reward_on_padding",
    _late,
    claims="reward_to_go",
    mistake="the reward is paid on the first token of the padding, which is then masked",
    source="huggingface/trl, issue 3750",
)


def _not_detached(batch: Batch, responses: Responses, truth: Truth) -> FloatArray:
    """Leave-one-out weights times 1 + log π of every token."""
    log = batch.at(np.log(truth.pi))
    return of_tokens(rloo.weights(responses)) * (1 + log)


ratio_not_detached = token_bug(
    "ratio_not_detached",
    _not_detached,
    fewest=2,
    claims="rloo",
    mistake="the ratio times log π is differentiated as a whole: a stop-gradient is missing",
    source="huggingface/trl, issue 1720, says where it is needed",
)
