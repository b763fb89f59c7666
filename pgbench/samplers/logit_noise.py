"""Logits with a fixed error, as of a second numerical engine."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.exact.truth import Truth
from pgbench.policies.actions import softmax
from pgbench.samplers.sampler import Sampler, log_probabilities


def table(
    truth: Truth,
    *,
    scale: Annotated[float, Range(0), "σ: standard deviation of the error of a logit"] = 0.1,
    seed: Annotated[int, Range(0), "of the errors"] = 0,
) -> FloatArray:
    """Logits log π + σξ(s,a) with fixed standard normal ξ: a policy that another engine runs."""
    xi = np.random.default_rng(seed).standard_normal(truth.pi.shape)
    return np.asarray(softmax(log_probabilities(truth) + scale * xi), np.float64)


sampler = Sampler(
    "logit_noise",
    table,
    r"\mu \propto \pi\,\exp(\sigma\,\xi)",
    "Yao, Liu, Zhang, Dong, Shang & Gao 2025 (engines that disagree)",
    identity={"scale": 0.0},
)
