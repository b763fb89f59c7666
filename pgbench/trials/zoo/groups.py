"""Statistics of a group that are of other responses, or of too few or too many."""

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators import grpo, rloo
from pgbench.estimators.parts.advantages import (
    BATCH,
    GROUP,
    centred,
    deviation,
    leave_one_out,
    standardised,
)
from pgbench.estimators.parts.by_trajectory import ratio
from pgbench.estimators.reinforce_plus_plus import whitened
from pgbench.process.responses import Responses
from pgbench.trials.zoo.bug import response_bug

_EPS = 1e-4
_NOISE = "what is taken off does not hang on the response: noise alone"


def _normalised(R: FloatArray, responses: Responses) -> FloatArray:
    """GRPO's weights of returns R that are grouped as they stand."""
    own = standardised(R, _EPS, correction=1) / responses.count
    return own / grpo.lengths(responses)


def _mean_of_batch(responses: Responses) -> FloatArray:
    """Return less the mean return of all responses of the batch."""
    return centred(responses.returns, BATCH) / responses.count


batch_mean_for_group_mean = response_bug(
    "batch_mean_for_group_mean",
    _mean_of_batch,
    claims="dr_grpo",
    given={"budget": "one"},
    mistake="the mean over all prompts in place of the group's",
    source="THUDM/slime, issue 1414",
)


def _deviation_of_batch(responses: Responses) -> FloatArray:
    """Return less the group's mean, over the deviation of all returns of the batch."""
    spread = deviation(centred(responses.returns, BATCH), BATCH, 1)
    own = centred(responses.returns) / (spread + _EPS) / responses.count
    return np.asarray(own / grpo.lengths(responses), np.float64)


batch_deviation_for_group_deviation = response_bug(
    "batch_deviation_for_group_deviation",
    _deviation_of_batch,
    claims="grpo",
    mistake="the deviation over all prompts in place of the group's",
    source="yifan123/flow_grpo, issue 46, asks which of the two it is",
)


def _twice(responses: Responses) -> FloatArray:
    """GRPO's advantage, whitened over all tokens of the batch once more."""
    once = standardised(responses.returns, _EPS, correction=1)
    own = whitened(once, responses.lengths, 1e-8, std=True) / responses.count
    return own / grpo.lengths(responses)


normalised_twice = response_bug(
    "normalised_twice",
    _twice,
    claims="grpo",
    mistake="advantages are normalised within the group, and over the batch once more",
    source="axon-rl/gem, pull request 113, and amazon-science/reskill, pull request 12",
)


def _over_prompts(responses: Responses) -> FloatArray:
    """Returns standardised over the prompts, response by response."""
    by_place = responses.returns.swapaxes(-1, -2)
    own = standardised(by_place, _EPS, correction=1).swapaxes(-1, -2) / responses.count
    return own / grpo.lengths(responses)


statistics_over_prompts = response_bug(
    "statistics_over_prompts",
    _over_prompts,
    claims="grpo",
    mistake="mean and deviation of returns, (P, G), are taken over prompts instead of responses",
    source="XU-YIJIE/grpo-flat, issue 2: dim=0 for dim=1",
)


def _interleaved(responses: Responses) -> FloatArray:
    """GRPO's weights where response i is taken for one to prompt i mod P."""
    R = responses.returns
    *before, P, G = R.shape
    mixed = R.reshape(*before, G, P).swapaxes(-1, -2)
    own = standardised(mixed, _EPS, correction=1).swapaxes(-1, -2).reshape(R.shape)
    return own / responses.count / grpo.lengths(responses)


groups_interleaved = response_bug(
    "groups_interleaved",
    _interleaved,
    claims="grpo",
    mistake="prompts are repeated as 1 2 1 2 and grouped as 1 1 2 2, so that groups are mixed",
    source="StarsfieldAI/R1-V, issue 67, and PrimeIntellect-ai/prime-rl, pull request 600",
)


def _shifted(responses: Responses) -> FloatArray:
    """GRPO's weights where every group begins one response too late."""
    R = responses.returns
    flat = np.roll(R.reshape(*R.shape[:-2], -1), -1, axis=-1).reshape(R.shape)
    own = standardised(flat, _EPS, correction=1).reshape(*R.shape[:-2], -1)
    back = np.roll(own, 1, axis=-1).reshape(R.shape)
    return np.asarray(back / responses.count / grpo.lengths(responses), np.float64)


groups_shifted_by_one = response_bug(
    "groups_shifted_by_one",
    _shifted,
    claims="grpo",
    mistake="a response is missing, and groups that are cut at a fixed stride hold the next one's",
    source="areal-project/AReaL, issue 1419",
)


def _out_of_order(responses: Responses) -> FloatArray:
    """GRPO's weights by length, where the scores stand as they were."""
    flat = (*responses.lengths.shape[:-2], -1)
    order = np.argsort(responses.lengths.reshape(flat), axis=-1, kind="stable")
    own = _normalised(responses.returns, responses).reshape(flat)
    return np.take_along_axis(own, order, axis=-1).reshape(responses.returns.shape)


weights_out_of_order = response_bug(
    "weights_out_of_order",
    _out_of_order,
    claims="grpo",
    mistake="responses were sorted by length, and what was computed of them is not put back",
    source="THUDM/slime, pull request 36",
)


def _of_another_prompt(responses: Responses) -> FloatArray:
    """Return less the mean return of the group before."""
    baseline = responses.returns.mean(axis=GROUP, keepdims=True)
    return (responses.returns - np.roll(baseline, 1, axis=-2)) / responses.count


baseline_of_another_prompt = response_bug(
    "baseline_of_another_prompt",
    _of_another_prompt,
    claims="dr_grpo",
    given={"budget": "one"},
    mistake="the mean of another prompt's group, which the response has no part in",
    source="an off-by-one between prompts and groups",
)


def _over_all_others(responses: Responses) -> FloatArray:
    """Return less the mean of all other responses of the batch."""
    R, n = responses.returns, responses.count
    return (R - (R.sum(axis=BATCH, keepdims=True) - R) / (n - 1)) / n


others_of_all_prompts = response_bug(
    "others_of_all_prompts",
    _over_all_others,
    fewest=2,
    claims="rloo",
    harmless=_NOISE,
    mistake="the mean of all other responses, to whatever prompt, in place of the group's others",
    source="areal-project/AReaL, pull request 354, where means are of the batch or of the group",
)


def _over_group_size(responses: Responses) -> FloatArray:
    """Return less the sum of the others' over G."""
    R, G = responses.returns, responses.group_size
    return (R - (R - leave_one_out(R)) * (G - 1) / G) / responses.count


leave_one_out_over_group_size = response_bug(
    "leave_one_out_over_group_size",
    _over_group_size,
    fewest=2,
    claims="rloo",
    harmless=_NOISE,
    mistake="the sum of G-1 returns is divided by G: no bias, but not the variance claimed",
    source="an off-by-one of leave-one-out means in groups",
)


def _lone(responses: Responses) -> FloatArray:
    """Return less the mean of the others that ended, or its own where there are none."""
    R, ended = responses.returns, np.where(responses.truncated, 0.0, 1.0)
    number = ended.sum(axis=GROUP, keepdims=True) - ended
    total = (ended * R).sum(axis=GROUP, keepdims=True) - ended * R
    return (R - ratio(total, number, otherwise=R)) / responses.count


lone_response_its_own_baseline = response_bug(
    "lone_response_its_own_baseline",
    _lone,
    claims="reinforce",
    mean_only=True,
    mistake="where filters leave a response no other of its group, its own return is the baseline",
    source="verl-project/verl, pull requests 7581 and 7794: singletons' advantages were zero",
)


def _uncorrected(responses: Responses) -> FloatArray:
    """GRPO's weights with G below in the deviation."""
    return grpo.weights(responses, correction=0)


deviation_over_group_size = response_bug(
    "deviation_over_group_size",
    _uncorrected,
    claims="grpo",
    mistake="the deviation has G below, as NumPy's, where that of PyTorch with G-1 is claimed",
    source="two conventions mixed; redai-studio/Relax, issue 174, says which it has",
)


def _under_root(responses: Responses) -> FloatArray:
    """Return less the group's mean over √(variance + ε)."""
    advantage = centred(responses.returns)
    spread = np.sqrt(deviation(advantage, correction=1) ** 2 + 0.5)
    return np.asarray(advantage / spread / responses.count / grpo.lengths(responses), np.float64)


eps_under_root = response_bug(
    "eps_under_root",
    _under_root,
    claims="grpo",
    given={"eps": 0.5},
    mistake="ε is added to the variance and not to the deviation",
    source="the whitening of alibaba/ROLL, issue 475, against that of GRPO",
)


def _success_rate_of_batch(responses: Responses) -> FloatArray:
    """Success over the batch's rate of success, less 1."""
    own = responses.success
    rate = own.mean(axis=BATCH, keepdims=True)
    weight = ratio(own, np.broadcast_to(rate, own.shape))
    return (weight - (rate > 0)) / responses.count


success_rate_of_batch = response_bug(
    "success_rate_of_batch",
    _success_rate_of_batch,
    claims="max_likelihood",
    mistake="success is divided by the rate of success over all prompts, not by the group's",
    source="the group's is what makes it the likelihood of Tajwar et al. 2026",
)


def _scores_of_neighbour(responses: Responses) -> FloatArray:
    """Leave-one-out weights of the next response of the group."""
    return np.roll(rloo.weights(responses), 1, axis=-1)


weights_of_next_response = response_bug(
    "weights_of_next_response",
    _scores_of_neighbour,
    fewest=2,
    claims="rloo",
    mistake="every response has the advantage of its neighbour in the group",
    source="rewards gathered in another order than responses",
)
