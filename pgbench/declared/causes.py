"""Causes of bias: what is said of an estimator that has one, and the part of the bias it makes."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A part of a bias: what it is due to, after ``the part of the bias``, and in a legend."""

    meaning: str
    short: str


@dataclass(frozen=True)
class Cause:
    """A cause of bias: what is said of an estimator that declares it, and its part of the bias.

    The causes of the horizon have none of their own: what is left at last is theirs.
    """

    sentence: str
    part: Part | None = None


CAUSES: Mapping[str, Cause] = {
    "truncation": Cause("unbiased for the gradient of the H-step objective"),
    "tail": Cause("unbiased for ∇J less the score terms beyond step H"),
    "discount": Cause(
        "biased: the factor γ^t is missing",
        Part("that is due to the missing γ^t", r"missing $\gamma^t$"),
    ),
    "critic": Cause(
        "biased by the error of the critic",
        Part("that is due to the error of the critic", "error of the critic"),
    ),
    "batch": Cause(
        "biased at a finite size of batch or group, by statistics of what it is applied to",
        Part("that vanishes as batch or group grow", "statistics of the own batch"),
    ),
    "length": Cause(
        "biased: divided by lengths, so its length is not ‖∇J‖ and short trajectories count more",
        Part("that is due to division by lengths", "division by lengths"),
    ),
    "filtering": Cause(
        "biased: some trajectories are left out for what became of them",
        Part("that is due to trajectories left out", "trajectories left out"),
    ),
    "shaping": Cause(
        "biased: the gradient of another reward",
        Part("that is due to another reward", "another reward"),
    ),
    "transform": Cause(
        "biased: the gradient of a function of the chance of success",
        Part("that is due to the function of the chance of success", "function of the chance"),
    ),
    "normalisation": Cause(
        "biased: divided by a statistic of the batch, so its length is not ‖∇J‖",
        Part("that is due to division by a statistic of the batch", "division by a statistic"),
    ),
    "clipping": Cause(
        "biased: importance ratios are clipped",
        Part("that is due to clipped ratios", "clipped ratios"),
    ),
    "masking": Cause(
        "biased: tokens or responses are left out for their importance ratio",
        Part("that is due to ratios left out", "ratios left out"),
    ),
    "prefix": Cause(
        "biased: a token is weighed by its own ratio, and not by those before and after it",
        Part("that is due to ratios of tokens without the others", "other tokens' ratios missing"),
    ),
    "power": Cause(
        "biased: the ratio of a response is taken to the power of one over its length",
        Part("that is due to a power of the ratio", "power of the ratio"),
    ),
    "states": Cause(
        "biased: states are visited as often as another policy visits them",
        Part("that is due to states visited by another policy", "states of another policy"),
    ),
    "smoothing": Cause(
        "biased: the gradient of an objective smoothed over perturbations of θ",
        Part("that is due to perturbations of θ of finite size", "finite perturbations of θ"),
    ),
    "damping": Cause(
        "biased: the Fisher matrix is damped",
        Part("that is due to damping the Fisher matrix", "damped Fisher matrix"),
    ),
    "exploration": Cause(
        "biased: nothing moves the policy's variance",
        Part("that is due to leaving the policy's variance alone", "variance left alone"),
    ),
    "own_penalty": Cause(
        "biased: the penalty of a step, differentiated for itself, has mean zero",
        Part("that is due to penalties whose gradient has mean zero", "penalties of mean zero"),
    ),
    "divergence": Cause(
        "biased: the divergence of the reference from the policy in place of the reverse",
        Part("that is due to following the other divergence", "other divergence"),
    ),
    "later_penalty": Cause(
        "biased: a step answers for its own penalty alone, and not for those of later steps",
        Part("that is due to leaving out the penalties of later steps", "penalties of later steps"),
    ),
    "undeclared": Cause("nothing is declared: its bias is measured"),
    "sampler": Cause(
        "biased: data come from another policy, and nothing corrects for that",
        Part("that is due to data of another policy", "data of another policy"),
    ),
    "support": Cause(
        "biased: no rollout sees an action of probability 0, on the boundary of the simplex or left"
        " out by a sampler",
        Part(
            "that is due to actions of probability 0, which no rollout sees", "actions never taken"
        ),
    ),
}
"""Causes of bias by name. The first two are of the horizon; an estimator has one or neither.

The last two hang on θ and on where data come from: see ``Estimator.causes_at``. Functions of users
have the cause before them, of which nothing is known.
"""

UNMEANT = frozenset({"own_penalty", "undeclared", "support"})
"""Causes that nobody chooses knowingly: no declaration is suggested that accepts them."""

UNDECLARED = "undeclared"
"""The cause of what declares none."""

HORIZON = frozenset({"truncation", "tail"})
"""Causes of bias that vanish as the horizon grows."""

PARTS: Mapping[str, Part] = {
    **{name: cause.part for name, cause in CAUSES.items() if cause.part is not None},
    "horizon": Part("that is left: what the horizon cuts off", "horizon"),
}
"""What a bias is split into: declared causes, and what the horizon leaves."""

UNBIASED = "unbiased for ∇J"
"""What is said of an estimator without any cause of bias."""
