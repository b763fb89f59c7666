"""Forms of estimators as rollouts read them: without what repeats."""

from typing import NamedTuple

import numpy as np

from pgbench.kernels.distinct import Distinct


class EstimatorTables(NamedTuple):
    """What E estimators compute: places of forms (E,), -1 for none, and numbers (E,).

    forms (k, J, p, p): upper triangles, entries off the diagonal doubled, of one policy or of one
    per replicate.
    """

    forms: np.ndarray
    sigma: np.ndarray
    after: np.ndarray
    beta: np.ndarray
    kappa: np.ndarray
    delta: np.ndarray
    total: np.ndarray


def compact(tables) -> EstimatorTables:
    """The distinct forms of several estimators' ``Forms``, and who uses which."""
    distinct = Distinct()
    forms = [[_place(distinct, form) for form in (t.sigma, t.after, t.beta)] for t in tables]
    places = np.array(forms, np.int64)
    size = tables[0].sigma.matrix.shape[-1]
    k = max((len(form) for form in distinct.arrays), default=1)
    whole = [np.broadcast_to(form, (k, size, size)) for form in distinct.arrays]
    return EstimatorTables(
        forms=np.stack(whole, axis=1) if whole else np.zeros((k, 0, size, size)),
        sigma=places[:, 0].copy(),
        after=places[:, 1].copy(),
        beta=places[:, 2].copy(),
        kappa=np.array([t.kappa for t in tables]),
        delta=np.array([t.delta for t in tables]),
        total=np.array([t.total for t in tables]),
    )


def _place(distinct: Distinct, form) -> int:
    """Place of the upper triangle, entries off the diagonal doubled; -1 where all are zero."""
    if not form.matrix.any():
        return -1
    whole = form.matrix.reshape(-1, *form.matrix.shape[-2:])
    return distinct.place(np.triu(whole) + np.triu(whole, 1))
