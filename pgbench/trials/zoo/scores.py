"""Scores of the wrong thing, or with the wrong weight."""

from dataclasses import replace

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.estimators import Tables, baseline_value
from pgbench.exact.truth import Truth
from pgbench.policies import NotApplicable
from pgbench.policies.loglinear import LogLinear
from pgbench.policies.softmax import Softmax
from pgbench.process.batch import Batch
from pgbench.rollout.simulator import Simulator
from pgbench.trials.zoo.bug import batch_bug, table_bug, weight_bug


def _to_go(batch: Batch) -> FloatArray:
    """γ^t Q̂_t, (m, n, T)."""
    return batch.discounts() * batch.to_go


def _sampled_twice(simulator: Simulator) -> FloatArray:
    """Reward-to-go times the score of an action that is sampled anew."""
    batch = simulator.batch()
    chosen = simulator.generator("second action").random(batch.states.shape)
    cumulative = simulator.truth.pi.cumsum(axis=1)[batch.states]
    others = (cumulative < chosen[..., None]).sum(axis=-1)
    others = np.minimum(others, cumulative.shape[-1] - 1)
    scored = batch.of_pairs(batch.states, others)
    return simulator.pull_back(scored.tables(_to_go(batch)))


action_sampled_twice = batch_bug(
    "action_sampled_twice",
    _sampled_twice,
    claims="reward_to_go",
    mistake="the score is that of a second sample, not of the action that was taken",
    source="suspected in thu-ml/tianshou, issue 397",
)


def _greedy(simulator: Simulator) -> FloatArray:
    """Reward-to-go times the score of the most probable action."""
    batch = simulator.batch()
    best = simulator.truth.pi.argmax(axis=1)[batch.states]
    return simulator.pull_back(batch.of_pairs(batch.states, best).tables(_to_go(batch)))


score_of_greedy_action = batch_bug(
    "score_of_greedy_action",
    _greedy,
    claims="reward_to_go",
    mistake="the score is that of the most probable action, not of the one taken",
    source="henrywoo/chatllama, issue 7",
)


def _next_state(simulator: Simulator) -> FloatArray:
    """Reward-to-go times the score of the action in the state that follows."""
    batch = simulator.batch()
    return simulator.pull_back(
        batch.of_pairs(batch.successors, batch.actions).tables(_to_go(batch))
    )


score_at_next_state = batch_bug(
    "score_at_next_state",
    _next_state,
    claims="reward_to_go",
    mistake="the observation is overwritten by the next one before it is stored",
    source="a classic of training loops",
)


def _of_logits(simulator: Simulator) -> FloatArray:
    """Reward-to-go times the gradient of the action's logit."""
    batch, policy = simulator.batch(), simulator.truth.policy
    tables = batch.tables(_to_go(batch))
    flat = tables.reshape(len(tables), -1)
    if isinstance(policy, Softmax):
        return flat
    if isinstance(policy, LogLinear):
        return np.asarray(flat @ policy.features.reshape(-1, policy.n_parameters))
    raise NotApplicable("the policy has no linear logits")


gradient_of_logits = batch_bug(
    "gradient_of_logits",
    _of_logits,
    claims="reward_to_go",
    mistake="the gradient of the action's logit for that of its log-probability: no -π term",
    source="logits indexed where log-probabilities belong",
)


def _padded(simulator: Simulator) -> FloatArray:
    """Total return times all scores, those of padding included."""
    batch = simulator.batch()
    longest = np.repeat(batch.lengths.max(axis=1, keepdims=True), batch.shape[1], axis=1)
    padded = replace(batch, steps=longest)
    return simulator.pull_back(padded.tables(batch.returns[:, :, None]))


padding_scored = batch_bug(
    "padding_scored",
    _padded,
    claims="reinforce",
    mistake="shorter trajectories are padded with zeros, which count as action 0 in state 0",
    source="padding counted in: huggingface/trl, issue 7024; instadeepai/Mava, issue 358",
)


def _through_the_weights(simulator: Simulator) -> FloatArray:
    """All-action gradient that is differentiated through the action probabilities too."""
    batch, truth = simulator.batch(), simulator.truth
    visits = batch.state_tables(batch.discounts())[:, :, None]
    weights = truth.pi * truth.q * (1 + np.log(truth.pi))
    return simulator.pull_back(visits * weights)


stop_gradient_forgotten = batch_bug(
    "stop_gradient_forgotten",
    _through_the_weights,
    claims="q_oracle",
    mean_only=True,
    mistake="the loss Σ_a π(a|s) Q(s,a) log π(a|s) is differentiated through π as well",
    source="as through values in keras-team/keras-io, issue 194; coreylynch/async-rl, issue 8",
)


def _entropy(truth: Truth) -> Tables:
    """Reward-to-go less V, with the gradient of an entropy bonus."""
    mdp = truth.mdp
    bonus = -0.1 * np.log(truth.pi)
    return Tables.build(
        truth.process,
        sigma=mdp.reward,
        kappa=mdp.gamma,
        beta=truth.v[:, None] - bonus,
        delta=mdp.gamma,
    )


entropy_left_in = table_bug(
    "entropy_left_in",
    _entropy,
    claims="baseline_value",
    mistake="an entropy bonus of weight 0.1 is left in the loss",
    source="the regulariser of Williams & Peng 1991 and Mnih et al. 2016 is a default of much code",
)


def _undiscounted(truth: Truth) -> Tables:
    """Reward-to-go less V without the factor γ^t."""
    return baseline_value.tables(truth, discounted=False)


discount_missing = table_bug(
    "discount_missing",
    _undiscounted,
    claims="baseline_value",
    mistake="the factor γ^t of step t is left out and the estimator called unbiased",
    source="Nota & Thomas 2020; facebookresearch/Pearl, issue 46; pytorch/examples, issue 744",
)


def _mixed(batch: Batch, truth: Truth) -> FloatArray:
    """The mean return of the batch as the weight of every trajectory."""
    return batch.returns.mean(axis=1)[:, None, None]


broadcast_mixes_trajectories = weight_bug(
    "broadcast_mixes_trajectories",
    _mixed,
    claims="reinforce",
    mistake="(N,) times (N, 1) makes N×N products: each score meets every trajectory's return",
    source="pytorch/rl, issue 1243",
)
