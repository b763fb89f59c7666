"""Baselines that are not what they seem."""

from pgbench.arrays import FloatArray
from pgbench.estimators import Tables, group_mean
from pgbench.estimators.parts.by_trajectory import others, ratio, score_sums
from pgbench.exact.truth import Truth
from pgbench.process.batch import Batch
from pgbench.rollout.simulator import Simulator
from pgbench.trials.zoo.bug import batch_bug, table_bug, weight_bug

_NOISE = "a baseline that the action has no say in takes nothing from the mean: noise alone"


def _as_score(batch: Batch, truth: Truth) -> FloatArray:
    """The mean return of the others in place of the trajectory's advantage over it."""
    return others(batch.returns)[:, :, None] / (batch.shape[1] - 1)


baseline_as_score = weight_bug(
    "baseline_as_score",
    _as_score,
    fewest=2,
    claims="rloo",
    mistake="the baseline itself weighs the scores, not the return less the baseline",
    source="seen in a leave-one-out estimator whose tests checked nothing but shapes",
)


def _by_n(batch: Batch, truth: Truth) -> FloatArray:
    """Return less the others' sum over n."""
    return (batch.returns - others(batch.returns) / batch.shape[1])[:, :, None]


leave_one_out_over_n = weight_bug(
    "leave_one_out_over_n",
    _by_n,
    fewest=2,
    claims="rloo",
    harmless=_NOISE,
    mistake="the sum of n-1 returns is divided by n: no bias, but not the variance claimed",
    source="an off-by-one of leave-one-out means",
)


def _batch_mean(simulator: Simulator) -> FloatArray:
    """Return less the batch's mean return."""
    return group_mean.estimator.estimate(simulator)


batch_mean_called_unbiased = batch_bug(
    "batch_mean_called_unbiased",
    _batch_mean,
    claims="rloo",
    mistake="the batch's mean return, the trajectory's own included, as a baseline without bias",
    source="the bias -∇J/n is removed by Kool, van Hoof & Welling 2019",
)


def _optimal_in_sample(simulator: Simulator) -> FloatArray:
    """Return less the best constant for this very batch."""
    batch = simulator.batch()
    squared = (score_sums(simulator, batch) ** 2).sum(axis=2)
    weighed = (squared * batch.returns).sum(axis=1, keepdims=True)
    best = ratio(weighed, squared.sum(axis=1, keepdims=True))
    return simulator.pull_back(batch.tables((batch.returns - best)[:, :, None]))


optimal_baseline_in_sample = batch_bug(
    "optimal_baseline_in_sample",
    _optimal_in_sample,
    claims="reinforce",
    mean_only=True,
    mistake="the variance-optimal baseline, fitted to the batch it is applied to, without bias",
    source="the baseline of Greensmith, Bartlett & Baxter 2004, as Peters & Schaal 2008 fit it",
)


def _peeks(truth: Truth) -> Tables:
    """Reward-to-go less Q of the action taken."""
    mdp = truth.mdp
    return Tables.build(
        truth.process, sigma=mdp.reward, kappa=mdp.gamma, beta=truth.q, delta=mdp.gamma
    )


baseline_peeks_at_action = table_bug(
    "baseline_peeks_at_action",
    _peeks,
    claims="baseline_value",
    mean_only=True,
    mistake="the baseline depends on the action, and what that takes away is not given back",
    source="the correction is that of Gu et al. 2017; Tucker et al. 2018 found such baselines"
    " biased in published code",
)


def _of_next_state(batch: Batch, truth: Truth) -> FloatArray:
    """Reward-to-go less the value of the state that the action leads to."""
    return batch.discounts() * (batch.to_go - batch.next_value(truth.v))


baseline_of_next_state = weight_bug(
    "baseline_of_next_state",
    _of_next_state,
    claims="baseline_value",
    mistake="V(s_{t+1}) is taken off at step t, which the action has a say in",
    source="values shifted against steps, as in EdanToledo/Stoix, issue 142",
)


def _zero(truth: Truth) -> Tables:
    """Reward-to-go less nothing."""
    mdp = truth.mdp
    return Tables.build(truth.process, sigma=mdp.reward, kappa=mdp.gamma, delta=mdp.gamma)


baseline_read_as_zero = table_bug(
    "baseline_read_as_zero",
    _zero,
    claims="baseline_value",
    harmless=_NOISE,
    mistake="a baseline that is not recognised is zero: no bias, but not the variance claimed",
    source="options looked up with a silent default",
)


def _not_discounted(batch: Batch, truth: Truth) -> FloatArray:
    """γ^t Q̂_t less V(s_t)."""
    return batch.discounts() * batch.to_go - batch.value(truth.v)


baseline_not_discounted = weight_bug(
    "baseline_not_discounted",
    _not_discounted,
    claims="baseline_value",
    harmless=_NOISE,
    mistake="returns are discounted from the start, the baseline from step t: no bias, but not the"
    " variance claimed",
    source="two conventions of discounted reward-to-go mixed",
)
