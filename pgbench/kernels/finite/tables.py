"""Tables of estimators as rollouts read them: without what repeats.

Few estimators need all of their tables: rewards mostly belong to pairs and not to slots, κ and δ
are mostly γ everywhere, β is mostly 0. What is one number costs no load, and what is smaller stays
in a nearer cache.
"""

from typing import NamedTuple

import numpy as np

from pgbench.kernels.distinct import Distinct


class EstimatorTables(NamedTuple):
    """Tables of E estimators.

    Attributes
    ----------
    values
        (n,) float64, every distinct table once, end to end: (S·A·B,), (S·A,), or one number.
    sigma, kappa, beta, delta
        (E,) int64, where the estimator's table begins.
    sigma_by_slot, constant_kappa, constant_beta, constant_delta
        (E,) bool: σ has an entry per slot, not per pair; the table is one number.
    total
        (E,) bool, the shape.
    same_signal
        (E,) bool: σ and κ, and so x, are those of the estimator before.
    """

    values: np.ndarray
    sigma: np.ndarray
    kappa: np.ndarray
    beta: np.ndarray
    delta: np.ndarray
    sigma_by_slot: np.ndarray
    constant_kappa: np.ndarray
    constant_beta: np.ndarray
    constant_delta: np.ndarray
    total: np.ndarray
    same_signal: np.ndarray


def compact(tables) -> EstimatorTables:
    """The distinct tables of several estimators' ``Tables`` of one process, and who uses which.

    What they hold on terminal states, σ apart, and on slots of probability zero is never read.
    """
    mdp = tables[0].process.mdp
    live, used = ~mdp.terminal, mdp.probability > 0
    distinct = Distinct()
    sigma, by_slot = [], []
    for t in tables:
        by_slot.append(bool(((t.sigma != t.sigma[..., :1]) & used).any()))
        sigma.append(_place(distinct, t.sigma if by_slot[-1] else t.sigma[..., 0]))
    columns: dict[str, list[int]] = {"kappa": [], "beta": [], "delta": []}
    constant: dict[str, list[bool]] = {name: [] for name in columns}
    for name, column in columns.items():
        for t in tables:
            table = getattr(t, name)
            rows = table[live]
            constant[name].append(bool((rows == rows[0, 0]).all()))
            column.append(_place(distinct, rows[0, :1] if constant[name][-1] else table))
    signals = list(zip(sigma, by_slot, columns["kappa"], constant["kappa"], strict=True))
    begins = np.cumsum([0, *(table.size for table in distinct.arrays)])
    return EstimatorTables(
        values=np.concatenate(distinct.arrays),
        sigma=begins[sigma],
        **{name: begins[column] for name, column in columns.items()},
        sigma_by_slot=np.array(by_slot),
        **{f"constant_{name}": np.array(column) for name, column in constant.items()},
        total=np.array([bool(t.total) for t in tables]),
        same_signal=np.array([e > 0 and signals[e] == signals[e - 1] for e in range(len(signals))]),
    )


def _place(distinct: Distinct, table) -> int:
    return distinct.place(np.ascontiguousarray(table, np.float64).ravel())
