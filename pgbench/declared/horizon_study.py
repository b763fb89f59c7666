"""Variables of a study of horizons."""

from pgbench.declared.summary import SETTING, STATUS_CODES
from pgbench.declared.variables import Schema, Variable, code, text

ESTIMATOR = (*SETTING, "estimator")
CURVE = (*ESTIMATOR, "point")

CURVES: Schema = {
    "relative_truncation_bias": Variable(
        CURVE, "1", "exact norm of what of the bias is due to the horizon, over ‖∇J‖"
    ),
    "relative_remaining_bias": Variable(CURVE, "1", "exact norm of the rest of it, over ‖∇J‖"),
    "relative_bias": Variable(CURVE, "1", "exact norm of the bias, over ‖∇J‖"),
    "relative_variance": Variable(
        CURVE, "1", "exact variance of a one-trajectory estimate, over ‖∇J‖²"
    ),
    "expected_steps": Variable(CURVE, "environment steps", "exact mean length of a rollout"),
}
"""What is known of an estimator at each horizon."""

STUDY: Schema = {
    "horizon": Variable(
        (*SETTING, "point"), "environment steps", "largest number of steps of a rollout"
    ),
    "grid_horizon": Variable(SETTING, "environment steps", "horizon of the grid"),
    "gradient_norm": Variable(SETTING, "reward/theta", "norm of the exact gradient"),
    **CURVES,
    "status": code(ESTIMATOR, STATUS_CODES),
    "message": text(ESTIMATOR, "why there is no curve, or why it ends early"),
}
"""The variables of a study by name."""
