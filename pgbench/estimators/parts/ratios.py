"""Estimators of responses whose tokens are weighed by ratios of the policy to the sampler.

    ĝ = Σ_i a_i Σ_t u_{i,t} ψ_{i,t},   w_t = π(a_t|s_t)/μ(a_t|s_t)

The advantage a_i looks at outcomes as that of any outcome estimator, and the factor u at the ratios
w of the response and at the sign of a_i. On data of the policy itself all w are 1, and so is u.
Where u_t looks at w_t alone it is a table, and mean and variance are exact by classes of responses;
else every response is listed, as far as they are not too many.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.declared.parameters import Choice, Range
from pgbench.estimators.parts.advantages import BATCH, centred, leave_one_out, standardised
from pgbench.estimators.parts.behaviour import NEVER, ratios
from pgbench.estimators.parts.outcomes import RETURNS, TOKENS, OutcomeEstimator
from pgbench.estimators.parts.transforms import ARCSINE, CHANCE, Climbed
from pgbench.exact.finite.listed_scores import Listed
from pgbench.exact.finite.tallies import Looks
from pgbench.exact.finite.values import FiniteTruth
from pgbench.process.responses import Responses
from pgbench.rollout.simulator import Simulator

Advantage = Annotated[
    str,
    Choice(("leave_one_out", "group_mean", "standardised")),
    "return less the mean of the group's others, less that of the group, or that over the group's"
    " standard deviation as in grpo",
]
Level = Annotated[
    str,
    Choice(("token", "sequence", "geometric")),
    "ratio of a token: its own, the product of all of its response, or their geometric mean",
]
Divisor = Annotated[
    str,
    Choice(("none", "length", "tokens")),
    "what scores are divided by: the number of responses alone, their own length as well, or the"
    " tokens of the batch in its place",
]
ClipLow = Annotated[float, Range(0, 1), "no gradient where A < 0 and the ratio is below 1 less it"]
ClipHigh = Annotated[float, Range(0), "no gradient where A > 0 and the ratio is above 1 plus it"]

EPS, CORRECTION = 1e-4, 1
"""Of the standard deviation, as in ``grpo``."""

CURES: Mapping[str, Mapping[str, Any]] = {
    "normalisation": {"advantage": "leave_one_out"},
    "length": {"divisor": "none"},
}
"""Parameters without the causes of bias that advantages and divisors have."""

WHOLE: Mapping[str, Mapping[str, Any]] = {
    "prefix": {"level": "sequence"},
    "power": {"level": "sequence"},
}
"""The level without a bias."""


def advantages(responses: Responses, *, advantage: str, divisor: str, **other: Any) -> FloatArray:
    """Weights a (..., P, G) of responses, what averages over the batch included."""
    found = _ADVANTAGES[advantage](responses.returns)
    if divisor == "tokens":
        tokens = responses.lengths.sum(axis=BATCH, keepdims=True)
        return np.asarray(found / tokens.clip(1), np.float64)
    own = responses.lengths.clip(1) if divisor == "length" else 1.0
    return np.asarray(found / (responses.count * own), np.float64)


_ADVANTAGES: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "leave_one_out": leave_one_out,
    "group_mean": centred,
    "standardised": lambda x: standardised(x, EPS, correction=CORRECTION),
}


def bias(advantage: str, divisor: str, **other: Any) -> tuple[str, ...]:
    """Causes of bias on data of the policy itself."""
    own = ("normalisation",) * (advantage == "standardised") + ("length",) * (divisor != "none")
    return (*own, *("batch",) * (advantage != "leave_one_out"), "truncation")


def missing(level: str) -> tuple[str, ...]:
    """Causes of bias of a level on data of another policy."""
    return {"token": ("prefix",), "sequence": (), "geometric": ("power",)}[level]


def follows(advantage: str, **other: Any) -> Climbed:
    """What large groups climb on data of the policy itself."""
    return ARCSINE if advantage == "standardised" else CHANCE


ADVANTAGES: Mapping[str, str] = {
    "leave_one_out": r"R_i - \frac{1}{G-1}\sum_{j\neq i,\,j\in g(i)} R_j",
    "group_mean": r"R_i - \bar R_{g(i)}",
    "standardised": r"\frac{R_i - \bar R_{g(i)}}{std(R_{g(i)}) + \epsilon}",
}
DIVISORS: Mapping[str, str] = {
    "none": r"\frac{1}{n}\sum_i A_i",
    "length": r"\frac{1}{n}\sum_i A_i\,\frac{1}{|\tau_i|}",
    "tokens": r"\frac{1}{\sum_i |\tau_i|}\sum_i A_i",
}
LEVELS: Mapping[str, str] = {
    "token": "w_{i,t}",
    "sequence": r"\prod_l w_{i,l}",
    "geometric": r"(\prod_l w_{i,l})^{1/|\tau_i|}",
}
"""Advantages, what they are divided by, and ratios as LaTeX mathematics."""


def written(factor: str, advantage: str, divisor: str) -> str:
    """ĝ of a batch, with the factor of a token as LaTeX mathematics."""
    return (
        DIVISORS[divisor]
        + r"\sum_t u_{i,t}\,\psi_{i,t},\quad u_{i,t} = "
        + factor
        + r",\quad A_i = "
        + ADVANTAGES[advantage]
        + r",\quad w = \pi/\mu"
    )


def looks(several: bool, divisor: str, **other: Any) -> Looks:
    """What an advantage looks at."""
    return TOKENS if divisor == "tokens" else RETURNS


def at_level(w: FloatArray, taken: BoolArray, level: str) -> FloatArray:
    """Ratios of tokens (..., T) as a level has them, from those of their own."""
    if level == "token":
        return w
    with np.errstate(divide="ignore"):
        total = np.log(w).sum(axis=-1, keepdims=True)
    number = 1 if level == "sequence" else taken.sum(axis=-1, keepdims=True).clip(1)
    with np.errstate(over="ignore"):  # a product may be infinite, and is clipped then
        return np.broadcast_to(np.exp(total / number), w.shape)


def within(w: FloatArray, low: float, high: float, most: float = NEVER) -> BoolArray:
    """Where the clipped surrogate has a gradient, for A ≥ 0 and for A < 0: (2, ...).

    min(w A, clip(w, 1-low, 1+high) A) has none where w > 1 + high and A > 0, or w < 1 - low and
    A < 0; with a dual clip neither where w > most and A < 0.
    """
    return np.stack([w <= 1 + high, (w >= 1 - low) & (w <= most)])


@dataclass(frozen=True)
class RatioEstimator(OutcomeEstimator):
    """An outcome estimator whose tokens have factors that look at ratios to the sampler.

    Attributes
    ----------
    factors
        ``factors(w, taken, *, parameter=...)`` gives u (F, ..., T) from the ratios w (..., T) of
        responses, 1 where no step is ``taken``. With F = 2 the second is for a < 0, the first for
        all others. They are 1 where all ratios are. Its keywords are the estimator's parameters.
    own
        ``own(**values)`` says whether a factor looks at the ratio of its token alone.
    """

    factors: Callable[..., FloatArray] = field(kw_only=True)
    own: Callable[..., bool] = field(kw_only=True)
    weights: Callable[..., FloatArray] = field(default=advantages, kw_only=True)
    looks: Callable[..., Looks | None] = field(default=looks, kw_only=True)
    follows: Callable[..., Climbed | None] = field(default=follows, kw_only=True)
    corrects: bool = field(default=True, kw_only=True)
    fewest: int = field(default=2, kw_only=True)
    alone: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "estimate", self._weighed)

    @property
    def maker(self) -> Callable[..., Any]:
        """The function that makes factors of ratios."""
        return self.factors

    def by_token(self, truth: FiniteTruth, values: Mapping[str, Any]) -> dict[str, Any]:
        """Factors as tables, or of the tokens of every response."""
        if truth.behaviour is None:
            return {}
        w = ratios(truth, truth.behaviour)

        def tokens(every: Listed) -> FloatArray:
            own = np.where(every.taken, w[every.states, every.actions], 1.0)
            return self.factors(own, every.taken, **values)

        if not self.own(**values):
            return {"tokens": tokens, "channel": by_sign}
        # Every pair is a response of one token.
        taken = np.ones((*w.shape, 1), bool)
        table = self.factors(w[..., None], taken, **values)[..., 0]
        return {"factor": table, "channel": by_sign}

    def _weighed(self, simulator: Simulator, **given: Any) -> FloatArray:
        """Σ_i a_i Σ_t u_{i,t} ψ_{i,t} (m, d) of a batch of each replicate."""
        values, truth = self.bound(**given), simulator.truth
        batch = simulator.batch()
        responses = batch.responses(simulator.group_size, simulator.horizon)
        a = simulator.n * np.asarray(self.weights(responses, **values), np.float64)
        a = a.reshape(simulator.m, simulator.n, 1)
        w = simulator.once("ratios", lambda: ratios(truth, truth.process.pi))
        u = self.factors(batch.at(w, otherwise=1.0), batch.mask, **values)
        return simulator.pull_back(batch.tables(a * np.where(a < 0, u[-1], u[0])))


def by_sign(responses: Responses, weights: FloatArray) -> IntArray:
    """1 where the weight is below zero, else 0."""
    return np.asarray(weights < 0, np.int64)
