"""Variables of a dataset's ascents, and what of ascents is checked."""

from collections.abc import Mapping

from pgbench.declared.outcomes import LOST
from pgbench.declared.summary import SETTING, STATUS_CODES
from pgbench.declared.variables import Schema, Variable, code, text, with_ends

RUN = ("problem", "policy", "algorithm", "step_size")
REPLICATE = (*RUN, "replicate")
STEP = (*RUN, "step")
PATH = (*RUN, "replicate", "step")
POOLED = ("policy", "algorithm", "step_size", "step")

CHECKS: Mapping[str, str] = {
    "bound": "the proven bound on J* - J(θ_k)",
    "monotone": "J never falls",
    "gradient_bound": "‖∇J‖ ≤ 2R/(1-γ)², tabular softmax",
    "gradient_domination": "‖∇J‖ is at least what J* - J demands, tabular softmax",
}
"""What logged iterates are checked for, where it is valid."""

FRACTIONS: Mapping[str, float] = {"10": 0.1, "1": 0.01, "01": 0.001}
"""Parts of the initial suboptimality, in percent, that a run may fall below."""

_GAP = "J* - J(θ), or from the best of the class where that is known"

ASCENT: Schema = {
    "objective": Variable(PATH, "reward", "exact J(θ) of a logged iterate"),
    "suboptimality": Variable(PATH, "reward", _GAP),
    "gradient_norm": Variable(PATH, "reward/theta", "norm of the exact gradient"),
    "entropy": Variable(
        PATH,
        "nat",
        "mean entropy of π over visited states; of a Gaussian differential",
    ),
    "unseen": Variable(
        PATH, "1", "visited states where actions of probability 0 have a say in the gradient"
    ),
    "distance": Variable(PATH, "1", "probability of an action that is not optimal, or ‖K - K*‖"),
    "length": Variable(
        PATH, "environment steps", "exact mean length of an episode; NaN under a discount"
    ),
    "success": Variable(
        PATH, "1", "exact chance that an episode ends in success, as the problem's verifier says"
    ),
    "cosine": Variable(
        PATH, "1", "cosine of the estimate that is followed with what is estimated, at its iterate"
    ),
    "environment_steps": Variable(PATH, "environment steps", "taken up to the iterate"),
    **with_ends(
        "suboptimality_iqm",
        Variable(STEP, "reward", f"interquartile mean over replicates of {_GAP}"),
    ),
    **with_ends(
        "objective_iqm", Variable(STEP, "reward", "interquartile mean over replicates of J(θ)")
    ),
    "theta": Variable((*PATH, "parameter"), "theta", "θ of a logged iterate, of few parameters"),
    "snr": Variable(
        STEP, "1", "squared norm of what is estimated over the mean squared error of estimates"
    ),
    "bound": Variable(STEP, "reward", "proven upper bound on J* - J(θ), where it is valid"),
    "bound_name": text(RUN, "what the bound is and where it is proven"),
    **{
        f"violations_{check}": Variable(
            RUN, "1", f"logged iterates that violate: {proven}; NaN where it is not valid"
        )
        for check, proven in CHECKS.items()
    },
    "outcome": code(
        REPLICATE,
        "0 no run, 1 finished, 2 collapsed, 3 diverged, 4 left the stable gains",
    ),
    "stopped_at": Variable(REPLICATE, "1", "update in which a replicate diverged; -1 none"),
    **{
        f"steps_to_{key}": Variable(
            REPLICATE,
            "1",
            f"first logged update with at most {100 * part:g} % of the initial gap left",
        )
        for key, part in FRACTIONS.items()
    },
    **{
        f"seconds_to_{key}": Variable(
            RUN,
            "s",
            f"seconds of one run to {100 * part:g} % of the initial gap, median run",
            False,
        )
        for key, part in FRACTIONS.items()
    },
    **{
        name: variable
        for outcome in LOST
        for name, variable in with_ends(
            f"{outcome.name.lower()}_share",
            Variable(RUN, "1", f"share of replicates that {outcome.meaning}"),
        ).items()
    },
    "rate_kind": text(RUN, "which decay fits the last decade: power law, geometric"),
    **with_ends("rate", Variable(RUN, "1", "fitted p of k^-p, or c of exp(-ck)")),
    "rate_r_squared": Variable(RUN, "1", "share of the variance of log suboptimality explained"),
    "seconds_per_update": Variable(RUN, "s", "seconds per update of one replicate", False),
    "ascent_status": code(RUN, STATUS_CODES),
    "ascent_message": text(RUN, "why a run failed or was skipped"),
    "goal": Variable(SETTING, "reward", "what suboptimality is measured from; NaN unknown"),
    "goal_kind": text(SETTING, "what the goal is"),
    **with_ends(
        "relative_suboptimality_iqm",
        Variable(POOLED, "1", "interquartile mean over problems and replicates of the gap left"),
    ),
}
"""Variables of the group ``ascent`` by name."""
