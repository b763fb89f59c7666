"""The k most likely actions of a state."""

from typing import Annotated

import numpy as np

from pgbench.arrays import FloatArray
from pgbench.declared.parameters import Range
from pgbench.exact.truth import Truth
from pgbench.samplers.sampler import Sampler, normalised


def table(truth: Truth, *, k: Annotated[int, Range(1), "how many actions are kept"]) -> FloatArray:
    """The k most likely actions of a state, normalised; of equal ones the first."""
    order = np.argsort(-truth.pi, axis=1, kind="stable")
    kept = np.zeros_like(truth.pi)
    np.put_along_axis(kept, order[:, :k], 1.0, axis=1)
    return normalised(kept * truth.pi)


sampler = Sampler("top_k", table, r"\mu \propto \pi\,1[a \in top_k]", "Fan, Lewis & Dauphin 2018")
