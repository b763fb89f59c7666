"""A sampler of every kind, on tiny problems."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pgbench.exact import FiniteTruth
from pgbench.samplers import sampled

from .truths import tiny_truth

SAMPLERS: Mapping[str, Mapping[str, Any]] = {
    "floor": {"epsilon": 0.55},
    "logit_noise": {"scale": 0.5},
    "mixture": {"weight": 0.3},
    "stale": {"updates": 2, "step": 0.05},
    "temperature": {"value": 0.6},
    "theta": {"scale": 0.4},
    "top_k": {"k": 1},
    "top_p": {"p": 0.5},
}
"""Parameters with which every sampler but the policy itself draws something else."""

WHOLE = [name for name in SAMPLERS if not name.startswith("top")]
"""Those that draw whatever the policy does."""


@cache
def sampled_truth(problem: str, kind: str, sampler: str, objective: str = "J") -> FiniteTruth:
    """Exact quantities of a tiny problem under an objective, with data from a sampler."""
    truth = tiny_truth(problem, kind, objective)
    found: FiniteTruth = sampled(truth, sampler, **SAMPLERS[sampler])
    return found
