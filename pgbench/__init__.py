"""pgbench measures policy-gradient estimators against exact truth.

Names are loaded when they are first used, so that ``import pgbench`` costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

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
_MODULES = (
    "estimators",
    "exact",
    "kernels",
    "objectives",
    "plot",
    "policies",
    "problems",
    "results",
    "samplers",
    "statistics",
)

__all__ = [*sorted(_HOMES), *_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"pgbench.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"pgbench.{name}")
    raise AttributeError(f"module 'pgbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
