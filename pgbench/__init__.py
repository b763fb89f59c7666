"""pgbench measures policy-gradient estimators against exact truth.

Names are loaded when they are first used, so that ``import pgbench`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgbench import (
        estimators,
        exact,
        kernels,
        objectives,
        plot,
        policies,
        problems,
        results,
        samplers,
        statistics,
    )
    from pgbench.api import ascend, estimated_trace, moments, sample_gradients
    from pgbench.declared.claims import estimates, subject
    from pgbench.declared.learners import learner
    from pgbench.estimators import add_estimator
    from pgbench.harness.runner import run
    from pgbench.objectives import make_objective
    from pgbench.policies import Direct, Gaussian, LogLinear, Neural, Softmax, make_policy
    from pgbench.problems import FiniteMDP, LinearQuadratic, make_problem
    from pgbench.results.dataset import read

__version__ = "0.2.0"

__all__ = [
    "Direct",
    "FiniteMDP",
    "Gaussian",
    "LinearQuadratic",
    "LogLinear",
    "Neural",
    "Softmax",
    "__version__",
    "add_estimator",
    "ascend",
    "estimated_trace",
    "estimates",
    "estimators",
    "exact",
    "kernels",
    "learner",
    "make_objective",
    "make_policy",
    "make_problem",
    "moments",
    "objectives",
    "plot",
    "policies",
    "problems",
    "read",
    "results",
    "run",
    "sample_gradients",
    "samplers",
    "statistics",
    "subject",
]

_HOMES = {
    "Direct": "policies",
    "FiniteMDP": "problems",
    "Gaussian": "policies",
    "LinearQuadratic": "problems",
    "LogLinear": "policies",
    "Neural": "policies",
    "Softmax": "policies",
    "add_estimator": "estimators",
    "ascend": "api",
    "estimated_trace": "api",
    "estimates": "declared.claims",
    "learner": "declared.learners",
    "make_objective": "objectives",
    "make_policy": "policies",
    "make_problem": "problems",
    "moments": "api",
    "read": "results.dataset",
    "run": "harness.runner",
    "sample_gradients": "api",
    "subject": "declared.claims",
}
"""Where public names are defined; all others are modules of the package."""


if not TYPE_CHECKING:  # type checkers and editors have the imports above

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(importlib.import_module(f"pgbench.{_HOMES[name]}"), name)
        if name in __all__:
            return importlib.import_module(f"pgbench.{name}")
        raise AttributeError(f"module 'pgbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
