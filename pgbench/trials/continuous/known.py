"""Known estimators for continuous actions, right and wrong ones, each in a few lines.

    ĝ = (1/N) Σ_n Σ_t γ^t w_{n,t} χ_{n,t}

w is a weight of a step, made of the batch, and χ the score or what stands in its place by mistake.
Names are those of the suite's estimators and of the zoo where they mean the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.functions import ContinuousBatch
from pgbench.trials.case import Laboratory
from pgbench.trials.continuous.bootstrapping import Critic, gae_weights
from pgbench.trials.continuous.cases import ContinuousCase, laboratory_cases
from pgbench.trials.continuous.mistakes import SCORES
from pgbench.trials.continuous.policy import GaussianPolicy
from pgbench.trials.continuous.truth import GAE, TO_GO, TOTAL, Shares
from pgbench.trials.known_estimators import KnownEstimator, Made, in_order

EPSILON = 1e-8
"""Added to standard deviations."""

LAMBDA, LAMBDAS = 0.95, (0.9, 0.95, 0.99, 1.0)
"""λ by default, and values that code has beside 0, which is the TD error."""

Given = Callable[[Any, GaussianPolicy, FloatArray], Shares]
"""From a system, a policy and θ to what stands in place of scores."""


@dataclass(frozen=True)
class Weight:
    """A weight of steps.

    name
        Of the estimator that has it.
    of
        w (..., N, T) of a batch, without γ^t.
    expected
        E[w_t | x_t, u_t] on the nodes, as ``ContinuousTruth.mean`` takes it, or its word for it;
        None where it is not known.
    share
        What statistics of the batch leave of the mean, as a function of the case and N; None where
        it is not known.
    declared
        Causes of bias that an estimator with it has.
    mistake
        What is wrong with it.
    whole
        Whether it weighs all of a trajectory, so that there is no γ^t.
    """

    name: str
    of: Callable[[ContinuousBatch], FloatArray]
    expected: Callable[[ContinuousCase], str | FloatArray] | None = None
    share: Callable[[ContinuousCase, int], float | None] = lambda case, n: 1.0
    declared: tuple[str, ...] = ()
    mistake: str = ""
    whole: bool = False


@dataclass(eq=False, kw_only=True)
class KnownFunction(KnownEstimator):
    """An estimator of the form above.

    weight, scores
        w and what stands in place of scores, those themselves if it is None.
    discounted
        Whether step t has the factor γ^t.
    """

    weight: Weight
    scores: Given | None = None
    discounted: bool = True
    natural: bool = False

    @property
    def declared(self) -> tuple[str, ...]:
        """Causes of bias that it declares, but for the horizon's."""
        missing = not (self.discounted or self.weight.whole or self.mistake)
        return (*self.weight.declared, *["discount"] * missing)

    def estimates(self, case: Any, batch_size: int, replicates: int, seed: int) -> Made:
        """Estimates (R, d) and steps (R,)."""
        batch = _batches(case, replicates, seed, batch_size)
        w = self.weight.of(batch)
        if self.discounted and not self.weight.whole:
            w = w * batch.gamma ** np.arange(batch.horizon)
        if self.scores is None:
            chi = batch.scores
        else:
            chi = _in_place(case, self.scores, replicates, seed, batch_size)
        made = np.einsum("...nt,...ntd->...d", w, chi) / batch_size
        steps = batch.mask.sum(axis=(-1, -2))
        return (case.natural(made) if self.natural else made), steps

    def mean(self, case: Any, batch_size: int) -> FloatArray | None:
        """Its exact mean (d,), or None where it is not known."""
        share = self.weight.share(case, batch_size)
        if self.weight.expected is None or share is None:
            return None
        mean = share * self._mean(case, self.weight.expected(case), self.discounted)
        return case.natural(mean) if self.natural else mean

    def _mean(self, case: Any, weight: Any, discounted: bool) -> FloatArray:
        chi = None
        if self.scores is not None:
            chi = self.scores(case.system, case.policy, case.theta)
        mean: FloatArray = case.truth.mean(chi, weight=weight, decay=None if discounted else 1.0)
        return mean

    def parts(self, case: Any, batch_size: int) -> dict[str, float]:
        """By cause the size of its part of the bias, over the target's; nothing where not known."""
        mean = None if self.mistake else self.mean(case, batch_size)
        if mean is None or self.weight.expected is None:
            return {}
        expected = self.weight.expected(case)
        means = {
            "": self._mean(case, GAE if "critic" in self.declared else expected, True),
            "critic": self._mean(case, expected, True),
            "discount": self._mean(case, expected, self.discounted),
            "batch": mean,
        }
        size = float(np.linalg.norm(means[""]))
        made = [(cause, after - before) for (cause, after), before in
                zip([*means.items()][1:], means.values(), strict=False)]  # fmt: skip
        return {c: float(np.linalg.norm(part)) / size for c, part in made if c in self.declared}


@lru_cache(maxsize=32)
def _batches(case: ContinuousCase, replicates: int, seed: int, batch_size: int) -> ContinuousBatch:
    """All batches in one, the last ones remembered with their fields."""
    batch: ContinuousBatch = case.drawn(replicates, seed, batch_size).at_once()
    return batch


@lru_cache(maxsize=32)
def _in_place(
    case: ContinuousCase, scores: Given, replicates: int, seed: int, batch_size: int
) -> FloatArray:
    """What stands in place of scores (R, N, T, d) in all batches."""
    batch = _batches(case, replicates, seed, batch_size)
    x, u = batch.states[..., 0], batch.actions[..., 0]
    shares = scores(case.system, case.policy, case.theta)(x, u)
    return case.policy.combined(case.theta, x, *shares) * batch.mask[..., None]


def backward(b: ContinuousBatch, x: FloatArray, decay: float) -> FloatArray:
    """y_t = x_t + decay · y_{t+1}, (..., N, T)."""
    y = np.array(x)
    for t in reversed(range(b.horizon - 1)):
        y[..., t] += decay * y[..., t + 1]
    return y


def to_go(b: ContinuousBatch) -> FloatArray:
    """Discounted reward-to-go of every step."""
    return backward(b, b.rewards, b.gamma)


def total(b: ContinuousBatch) -> FloatArray:
    """Discounted return of the whole trajectory, for every step of it."""
    return to_go(b)[..., :1] * b.mask


def gae(
    b: ContinuousBatch, v: FloatArray, ahead: FloatArray, stops: BoolArray, lam: float
) -> FloatArray:
    """GAE(λ) of values at s_t and s_{t+1}; nothing is bootstrapped behind steps that stop."""
    errors = (b.rewards + b.gamma * ahead * ~stops - v) * b.mask
    return backward(b, errors, b.gamma * lam)


def exact_gae(b: ContinuousBatch, lam: float) -> FloatArray:
    """GAE with exact values."""
    return gae(b, b.exact_values, b.exact_next_values, b.terminated, lam)


def erring_gae(b: ContinuousBatch, lam: float, stops: str = "terminated") -> FloatArray:
    """GAE with the critic that errs; ``stops`` is what ends a trajectory."""
    ends = {
        "terminated": b.terminated,
        "never": np.zeros_like(b.mask),
        "truncated too": b.terminated | b.truncated,
    }
    return gae(b, b.values, b.next_values, ends[stops], lam)


def others(b: ContinuousBatch, x: FloatArray) -> FloatArray:
    """Sum of x (..., N, T) over the other trajectories of the batch."""
    return x.sum(axis=-2, keepdims=True) - x


def per_time(b: ContinuousBatch, leave_out: bool) -> FloatArray:
    """Reward-to-go less its mean at the same step over those still under way, itself or not."""
    own, taken = to_go(b), b.mask.astype(np.float64)
    sums = (others(b, x) if leave_out else x.sum(axis=-2, keepdims=True) for x in (own, taken))
    above, below = sums
    return (own - np.divide(above, below, out=np.zeros_like(above), where=below > 0)) * b.mask


def leave_one_out(b: ContinuousBatch) -> FloatArray:
    """Return less the mean return of the other trajectories."""
    n = b.mask.shape[-2]
    returns = to_go(b)[..., :1]
    return (returns - others(b, returns) / (n - 1)) * b.mask


def group_mean(b: ContinuousBatch) -> FloatArray:
    """Return less the mean return of the batch."""
    returns = to_go(b)[..., :1]
    return (returns - returns.mean(axis=-2, keepdims=True)) * b.mask


def standardised_returns(b: ContinuousBatch) -> FloatArray:
    """The same over the standard deviation of the returns."""
    deviation = to_go(b)[..., :1].std(axis=-2, keepdims=True)
    return group_mean(b) / (deviation + EPSILON)


def standardised_advantages(b: ContinuousBatch) -> FloatArray:
    """GAE less its mean over all steps of the batch, over its deviation."""
    advantages, count = exact_gae(b, LAMBDA), b.mask.sum(axis=(-1, -2), keepdims=True)
    centred = (advantages - advantages.sum(axis=(-1, -2), keepdims=True) / count) * b.mask
    square = (centred**2).sum(axis=(-1, -2), keepdims=True) / count
    return centred / (np.sqrt(square) + EPSILON)


def less(case: ContinuousCase, baseline: Critic) -> FloatArray:
    """Rewards to go less a function of the state, on the nodes."""
    return case.truth.weights(TO_GO) - baseline(case.truth.grid.x)[:, None]


def without_own(case: ContinuousCase) -> FloatArray:
    """Rewards to go without the action's own, on the nodes."""
    grid = case.truth.grid
    return case.truth.weights(TO_GO) - case.system.reward(grid.x[:, None], grid.e)


def in_sample(case: ContinuousCase, n: int) -> float | None:
    """1 - 1/N; not known where trajectories end, as N is the number of those under way there."""
    return None if case.ends else 1 - 1 / n


def erring(case: ContinuousCase, **how: Any) -> FloatArray:
    """GAE by the critic that errs, on the nodes."""
    return gae_weights(case.truth, case.critic, **how)


RIGHT = (
    Weight("reinforce", total, lambda case: TOTAL, whole=True),
    Weight("reward_to_go", to_go, lambda case: TO_GO),
    Weight("baseline_value", lambda b: to_go(b) - b.exact_values,
           lambda case: less(case, case.truth.values.v)),
    Weight("baseline_value[critic_noise=0.1]", lambda b: to_go(b) - b.values,
           lambda case: less(case, case.critic)),
    Weight("baseline_per_time[fit=leave_one_out]", partial(per_time, leave_out=True),
           lambda case: TO_GO),
    Weight("rloo", leave_one_out, lambda case: TOTAL, whole=True),
    Weight("q_oracle", lambda b: b.exact_action_values, lambda case: GAE),
    Weight("advantage_oracle", lambda b: b.exact_action_values - b.exact_values, lambda case: GAE),
    Weight("td", partial(exact_gae, lam=0.0), lambda case: GAE),
    *(Weight(f"gae[lam={lam:g}]", partial(exact_gae, lam=lam), lambda case: GAE)
      for lam in LAMBDAS),
)  # fmt: skip
"""Right up to the horizon. By E_u ψ = 0 a baseline, also V in Q = A + V, adds nothing."""

BIASED = (
    Weight("td[critic_noise=0.1]", partial(erring_gae, lam=0.0),
           partial(erring, lam=0.0), declared=("critic",)),
    *(Weight(f"gae[lam={lam:g}, critic_noise=0.1]", partial(erring_gae, lam=lam),
             partial(erring, lam=lam), declared=("critic",))
      for lam in LAMBDAS),
    Weight("group_mean", group_mean, lambda case: TOTAL, lambda case, n: 1 - 1 / n,
           declared=("batch",), whole=True),
    Weight("baseline_per_time[fit=in_sample]", partial(per_time, leave_out=False),
           lambda case: TO_GO, in_sample, declared=("batch",)),
    Weight("reinforce_standardised", standardised_returns, declared=("batch", "normalisation"),
           whole=True),
    Weight("advantage_normalised[lam=0.95]", standardised_advantages,
           declared=("batch", "normalisation")),
)  # fmt: skip
"""What is biased for a reason that an estimator may declare."""

_DONE = "TD errors lack (1 - done): what a critic says of terminal states is bootstrapped"
_CUT = "a rollout that is cut off counts as ended: nothing is bootstrapped after it"

WRONG = (
    Weight("wrong_sign", lambda b: -to_go(b), lambda case: -case.truth.weights(TO_GO),
           mistake="the sign: what descends is not what ascends"),
    Weight("reward_to_go_off_by_one", lambda b: to_go(b) - b.rewards, without_own,
           mistake="the sum of rewards to go begins after the action's own reward"),
    *(
        Weight(f"done_missing[lam={lam:g}]", partial(erring_gae, lam=lam, stops="never"),
               partial(erring, lam=lam, done_missing=True), mistake=_DONE)
        for lam in (0.0, *LAMBDAS)
    ),
    *(
        Weight(f"time_limit_as_terminal[lam={lam:g}]",
               partial(erring_gae, lam=lam, stops="truncated too"),
               partial(erring, lam=lam, cut_is_end=True), mistake=_CUT)
        for lam in (0.0, *LAMBDAS[:-1])
    ),
)  # fmt: skip
"""Mistakes of the weight."""

SLIPPED = (
    "reinforce",
    "reward_to_go",
    "baseline_value",
    "baseline_value[critic_noise=0.1]",
    "gae[lam=0.95]",
    "gae[lam=0.95, critic_noise=0.1]",
)
"""Estimators that are known with every mistake of the score as well."""


@cache
def known_functions(laboratory: Laboratory) -> tuple[KnownFunction, ...]:
    """All of them, without γ^t as well; ParameterError as of ``laboratory_cases``."""
    laboratory_cases(laboratory)
    found = [_plain(weight) for weight in (*RIGHT, *BIASED, *WRONG)]
    found += [_slipped(one, name) for one in found if one.name in SLIPPED for name in SCORES]
    found += [_without_discount(one) for one in found if not one.weight.whole]
    return in_order([*found, _natural()])


def _plain(weight: Weight) -> KnownFunction:
    plain = not weight.mistake and "[" not in weight.name
    return KnownFunction(name=weight.name, weight=weight, mistake=weight.mistake, default=plain)


def _slipped(one: KnownFunction, slip: str) -> KnownFunction:
    """An estimator with a mistake of the score."""
    scores, mistake = SCORES[slip]
    return KnownFunction(
        name=f"{one.name} with {slip}", weight=one.weight, scores=scores, mistake=mistake
    )


def _without_discount(one: KnownFunction) -> KnownFunction:
    """The same without γ^t."""
    if one.mistake:
        name, mistake = f"{one.name} without γ^t", f"γ^t is left out, and {one.mistake}"
    else:
        name, mistake = f"{one.name}[discounted=false]".replace("][", ", "), ""
    return KnownFunction(
        name=name, weight=one.weight, scores=one.scores, mistake=mistake, discounted=False
    )


def _natural() -> KnownFunction:
    """F⁻¹ times the reward-to-go estimate, F exactly known."""
    return replace(_plain(RIGHT[1]), name="natural", natural=True)
