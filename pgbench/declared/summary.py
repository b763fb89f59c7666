"""Variables of a dataset's summary, and of its maps, of which there is one per setting."""

from typing import Any

from pgbench.declared.causes import PARTS
from pgbench.declared.outcomes import Status
from pgbench.declared.variables import SPREAD, Schema, Variable, code, text, with_ends

CELL = ("problem", "policy", "estimator", "batch_size")
SETTING = ("problem", "policy")
RATE = ("problem", "policy", "estimator")

DIMENSIONS = {"objective": "criterion", "theta": "initial", "horizon": "cutoff"}
"""Dimensions of axes whose own names are those of variables: the values of J, θ and H."""

AXES = ("criterion", "sampler", "initial", "cutoff", "seed")
"""Dimensions that a dataset has where its grid names their axes, after ``policy``."""


WORDS = {"initial": "θ {}", "cutoff": "H {}", "seed": "seed {}"}
"""What labels along these dimensions need beside others, to be understood."""


def dimension(axis: str) -> str:
    """Name of an axis of settings as a dimension."""
    return DIMENSIONS.get(axis, axis)


def in_words(dim: str, label: Any) -> str:
    """A label along a dimension, as it stands beside others."""
    return WORDS.get(dim, "{}").format(label)


OWN_AXES = {
    "sampler": "sampler",
    "own_penalty": "criterion",
    "divergence": "criterion",
    "later_penalty": "criterion",
}
"""The axes without which a cause of bias is none."""

STATUS_CODES = ", ".join(f"{status.value} {status.word}" for status in Status)
"""What the codes of a status mean."""

_SQUARE = "(reward/theta)^2"
_STATISTICS = {
    "bias": ("reward/theta", "norm of the bias with the noise removed, sign kept"),
    "bias_squared": (_SQUARE, "squared norm of the bias with the noise removed"),
    "relative_bias": ("1", "bias over the norm of what is estimated"),
    "variance": (_SQUARE, "trace of the covariance of the estimate"),
    "relative_variance": ("1", "variance over the squared norm of what is estimated"),
    "mse": (_SQUARE, "mean squared error against the exact value"),
    "rmse": ("reward/theta", "root mean squared error against the exact value"),
    "relative_rmse": ("1", "RMSE over the norm of what is estimated"),
    "snr": ("1", "signal to noise: squared norm of what is estimated over the variance"),
    "cosine": ("1", "mean cosine of the estimate with what is estimated"),
    "ascent_probability": ("1", "probability of a positive inner product with what is estimated"),
    "steps": ("environment steps", "environment steps per estimate"),
    "work_normalised_variance": (f"{_SQUARE} environment steps", "variance times steps"),
}

SUMMARY: Schema = {
    **{
        part: variable
        for name, (units, meaning) in _STATISTICS.items()
        for part, variable in with_ends(name, Variable(CELL, units, meaning), SPREAD).items()
    },
    "bias_test_max_z": Variable(CELL, "1", "largest |z| of the mean against the exact gradient"),
    "bias_test_p": Variable(CELL, "1", "p-value of no bias, corrected over directions"),
    "bias_test_p_holm": Variable(CELL, "1", "the same, corrected over all cells by Holm's method"),
    "bias_test_directions": Variable(CELL, "1", "directions tested, at most 9"),
    "code_test_max_z": Variable(CELL, "1", "largest |z| of the mean against its own expectation"),
    "code_test_p": Variable(
        CELL, "1", "p-value of the exact expectation, corrected over directions"
    ),
    "code_test_p_holm": Variable(CELL, "1", "the same, corrected over all cells by Holm's method"),
    "code_test_directions": Variable(CELL, "1", "directions tested, at most 9"),
    "target_norm": Variable(
        CELL, "reward/theta", "norm of what is estimated: ∇J, or the natural gradient"
    ),
    "exact_bias": Variable(CELL, "reward/theta", "exact norm of the bias, no sampling"),
    "exact_relative_bias": Variable(CELL, "1", "exact bias over the norm of what is estimated"),
    **{
        f"exact_bias_{name}": Variable(
            CELL,
            "reward/theta",
            f"exact norm of the part of the bias {part.meaning}",
            axis=OWN_AXES.get(name, ""),
        )
        for name, part in PARTS.items()
    },
    "exact_variance": Variable(CELL, _SQUARE, "exact trace of the covariance of the estimate"),
    "exact_relative_variance": Variable(
        CELL, "1", "exact variance over the squared norm of what is estimated"
    ),
    "exact_rmse": Variable(CELL, "reward/theta", "exact root mean squared error"),
    "exact_note": text(CELL, "why there is no exact variance"),
    "interval_note": text(CELL, "why the variance and what hangs on it have no interval"),
    "mean_z": Variable(
        CELL, "1", "z of the mean along the gradient: exact expectation, exact variance"
    ),
    "variance_test_z": Variable(CELL, "1", "z of the variance against the exact one"),
    "variance_test_chi2": Variable(CELL, "1", "square of that z, χ² with one degree of freedom"),
    "variance_test_p": Variable(CELL, "1", "p-value of the exact variance"),
    "variance_test_p_holm": Variable(
        CELL, "1", "the same, corrected over all cells by Holm's method"
    ),
    "seconds": Variable(
        CELL, "s", "seconds per estimate of the estimator alone, on one thread", False
    ),
    "time_normalised_variance": Variable(CELL, f"{_SQUARE} s", "variance times seconds", False),
    "device": text(CELL, "where rollouts ran: cpu or cuda", False),
    "status": code(CELL, STATUS_CODES),
    "message": text(CELL, "why a cell failed or was skipped"),
    "rmse_rate": Variable(RATE, "1", "slope of log RMSE against log batch size"),
    "rmse_rate_low": Variable(RATE, "1", "slope of log RMSE, lower end of the 95 % interval"),
    "rmse_rate_high": Variable(RATE, "1", "slope of log RMSE, upper end of the 95 % interval"),
    "rmse_rate_intercept": Variable(RATE, "1", "log RMSE of the fit at batch size 1"),
    "objective": Variable(SETTING, "reward", "exact J(θ)"),
    "finite_objective": Variable(SETTING, "reward", "exact J_H(θ) over the horizon of a rollout"),
    "optimal_objective": Variable(
        SETTING, "reward", "exact optimum over all policies; NaN unknown"
    ),
    "gradient_norm": Variable(SETTING, "reward/theta", "norm of the exact gradient"),
    "gradient_error_bound": Variable(
        SETTING, "reward/theta", "proven bound on the norm of that gradient's error; NaN unknown"
    ),
    "gradient_note": text(
        SETTING, "why nothing is relative to the gradient's norm: it may be zero"
    ),
    "truncation_bias": Variable(SETTING, "1", "exact relative distance of the H-step gradient"),
    "tail_bias": Variable(SETTING, "1", "exact relative norm of the score terms beyond step H"),
    "support_bias": Variable(
        SETTING, "1", "exact relative norm of what actions of probability 0 add to the gradient"
    ),
    "horizon": Variable(SETTING, "environment steps", "largest number of steps of a rollout"),
    "expected_steps": Variable(SETTING, "environment steps", "exact mean length of a rollout"),
    "success": Variable(
        SETTING, "1", "exact chance that a rollout ends in success, as the problem's verifier says"
    ),
    "penalty_gradient_norm": Variable(
        SETTING,
        "reward/theta",
        "norm of what the objective's penalty adds to the gradient",
        axis="criterion",
    ),
    "n_parameters": Variable(SETTING, "1", "number of policy parameters d"),
    "value_error_bound": Variable(SETTING, "reward", "proven bound on the error of V"),
    "kept_mass": Variable(
        SETTING,
        "1",
        "least probability, over visited states, of the actions that the sampler may draw",
        axis="sampler",
    ),
    "effective_sample_share": Variable(
        SETTING,
        "1",
        "exact (E W)²/E W² of ratios W of whole rollouts: effective sample size over batch size",
        axis="sampler",
    ),
}
"""The summary's variables by name."""

WITHOUT_SAMPLER = {"kept_mass": 1.0, "effective_sample_share": 1.0}
"""What is said of a setting whose data come from the policy itself, where others' do not."""

MAPS: Schema = {
    "gradient": Variable(("parameter",), "reward/theta", "exact gradient"),
    "theta": Variable(("parameter",), "theta", "policy parameters"),
    "value": Variable(("state",), "reward", "exact state value V"),
    "visitation": Variable(("state",), "steps", "exact discounted visitation, unnormalised"),
    "landscape_gain": Variable(("gain",), "theta", "gains θ1 of the landscape"),
    "landscape_variance": Variable(("variance",), "theta", "variances θ2 of the landscape"),
    "landscape_objective": Variable(
        ("variance", "gain"), "reward", "exact J over gain and variance; NaN where not stable"
    ),
    "landscape_gradient": Variable(
        ("variance", "gain", "parameter"), "reward/theta", "exact ∇J over gain and variance"
    ),
    "landscape_natural_gradient": Variable(
        ("variance", "gain", "parameter"), "theta", "exact F†∇J over gain and variance"
    ),
    "mean_gradient": Variable(
        ("estimator", "batch_size", "parameter"), "reward/theta", "mean of the replicates"
    ),
    "expected_gradient": Variable(
        ("estimator", "batch_size", "parameter"),
        "reward/theta",
        "exact expectation of the estimator",
    ),
    "expected_variance": Variable(
        ("estimator", "batch_size", "parameter"), _SQUARE, "exact variance of the estimator"
    ),
    "gradient_variance": Variable(
        ("estimator", "batch_size", "parameter"), _SQUARE, "variance over the replicates"
    ),
}
"""Variables of the groups below ``maps``."""
