"""What estimators declare about themselves, and whether a run agrees."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pgbench.arrays import BoolArray, FloatArray
from pgbench.declared.causes import HORIZON, UNDECLARED
from pgbench.declared.outcomes import Status
from pgbench.estimators import estimators
from pgbench.grid.grid import Grid
from pgbench.grid.reader import GridError, parse_grid
from pgbench.samplers import ON_POLICY
from pgbench.statistics import normality

if TYPE_CHECKING:
    from xarray import Dataset

TEST_LEVEL = 0.05
"""Level of every test of the report."""

_ROUNDING = 1e-7


@dataclass(frozen=True)
class Conformity:
    """One estimator of a run: what it declares and what was seen.

    causes
        Declared causes of bias, or None where the estimator is not known here.
    cells, tested, rejected
        Numbers of measured cells, of cells whose bias was tested and of those that reject.
    exact_bias
        Largest exact relative bias over the settings; NaN if there is none.
    code_p, variance_p
        Smallest Holm p-values of the mean and of the variance against the exact ones; NaN if no
        cell was tested.
    normal_p
        Holm p-value of standard normal z-scores of its means; NaN if there are too few.
    objection
        Why it does not behave as declared, or nothing.
    """

    label: str
    causes: tuple[str, ...] | None
    cells: int
    tested: int
    rejected: int
    exact_bias: float
    code_p: float
    variance_p: float
    normal_p: float
    objection: str

    @property
    def biased(self) -> bool:
        """Whether a bias is declared that a longer horizon does not remove."""
        return bool(set(self.causes or ()) - HORIZON - {UNDECLARED})

    @property
    def answer(self) -> str:
        """Whether the estimator behaves as declared: yes, no, or why that cannot be said."""
        if not self.cells:
            return "not measured"
        if self.objection:
            return "no"
        if self.causes is None:
            return "not known to this version"
        if UNDECLARED in self.causes:
            return "nothing declared"
        if np.isnan(self.code_p) and np.isnan(self.exact_bias):
            return "not tested"
        return "yes"


def read_back(summary: "Dataset") -> Grid | None:
    """The grid stored with a dataset, or None if it is not one that this version reads."""
    try:
        return parse_grid(str(summary.attrs.get("grid", "")))
    except GridError:
        return None


def declared_causes(summary: "Dataset") -> dict[str, tuple[str, ...] | None]:
    """Declared causes of bias by estimator label; None for estimators that are not known.

    Those that come with a sampler are among them where the run has one.
    """
    causes: dict[str, tuple[str, ...] | None] = dict.fromkeys(map(str, summary["estimator"].values))
    grid = read_back(summary)
    known, elsewhere = estimators(), bool(sampled(summary).any())
    for choice in grid.estimators if grid else ():
        if choice.label in causes and choice.name in known:
            own, values = known[choice.name], choice.values
            more = own.causes_elsewhere(**values) if elsewhere else ()
            causes[choice.label] = (*more, *own.causes(**values))
    return causes


def written_formulas(summary: "Dataset") -> dict[str, str]:
    """Formulas of estimators with the parameters that they have in the run, by label.

    Nothing for estimators that are not known.
    """
    written = dict.fromkeys(map(str, summary["estimator"].values), "")
    grid, known = read_back(summary), estimators()
    for choice in grid.estimators if grid else ():
        if choice.label in written and choice.name in known:
            written[choice.label] = known[choice.name].written(**choice.values)
    return written


def declared_biased(summary: "Dataset") -> dict[str, bool]:
    """Whether an estimator declares a bias that a longer horizon does not remove, by label."""
    return {
        label: bool(set(causes or ()) - HORIZON - {UNDECLARED})
        for label, causes in declared_causes(summary).items()
    }


def verdicts(summary: "Dataset") -> list[Conformity]:
    """What was seen of every estimator, in the order of the grid."""
    normal = normal_means(summary)
    return [
        _conformity(summary.isel(estimator=i), label, causes, float(normal[i]))
        for i, (label, causes) in enumerate(declared_causes(summary).items())
    ]


def normal_means(summary: "Dataset") -> FloatArray:
    """Holm p-values (estimator,) of standard normal z-scores of the means.

    An estimator's scores are independent: every setting and batch size has streams of its own.
    """
    return normality(np.moveaxis(summary["mean_z"].values, 2, -1))


def _conformity(
    own: "Dataset", label: str, causes: tuple[str, ...] | None, normal_p: float
) -> Conformity:
    values = {str(name): array.values for name, array in own.data_vars.items()}
    bias_p = values["bias_test_p_holm"]
    exact = values["exact_relative_bias"]
    tested = np.isfinite(bias_p)
    return Conformity(
        label=label,
        causes=causes,
        cells=int((values["status"] == Status.DONE).sum()),
        tested=int(tested.sum()),
        rejected=int((bias_p[tested] < TEST_LEVEL).sum()),
        exact_bias=float(exact[np.isfinite(exact)].max(initial=-np.inf))
        if np.isfinite(exact).any()
        else np.nan,
        code_p=smallest(values["code_test_p_holm"]),
        variance_p=smallest(values["variance_test_p_holm"]),
        normal_p=normal_p,
        objection=_objection(values, causes, str(own["estimator_name"].values), sampled(own)),
    )


def smallest(p: FloatArray) -> float:
    """The smallest p-value; NaN if there is none."""
    return float(p[np.isfinite(p)].min()) if np.isfinite(p).any() else np.nan


_OWN_MOMENTS = {
    "code_test_p_holm": "its mean is not its own exact expectation",
    "variance_test_p_holm": "its variance is not its own exact variance",
}


def sampled(summary: "Dataset") -> BoolArray:
    """Which policies have a sampler that draws their data in their place, (policy,)."""
    if "sampler_name" not in summary.coords:
        return np.zeros(summary.sizes["policy"], bool)
    return np.asarray(summary["sampler_name"].values != ON_POLICY)


def _objection(
    values: Mapping[str, FloatArray],
    causes: tuple[str, ...] | None,
    name: str,
    elsewhere: BoolArray,
) -> str:
    wrong = {text: int((values[name] < TEST_LEVEL).sum()) for name, text in _OWN_MOMENTS.items()}
    if any(wrong.values()):
        return "; ".join(
            f"{text} in {n} {'cell' if n == 1 else 'cells'}" for text, n in wrong.items() if n
        )
    if causes is None or set(causes) - HORIZON:
        return ""
    exact = values["exact_relative_bias"]
    allowed = np.full(exact.shape, _ROUNDING)
    for cause in causes:
        allowed = allowed + values[f"{cause}_bias"][..., None]
    # On the boundary of the simplex every estimator is biased by what it cannot see as well.
    unseen = values["support_bias"] > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        support = values["exact_bias_support"] / values["target_norm"]
        allowed += np.where(unseen[..., None], support, 0.0)
        if elsewhere.any():
            more = np.nan_to_num(support)
            more += np.nan_to_num(values["exact_bias_sampler"] / values["target_norm"])
            allowed += np.where(elsewhere[:, None], more, 0.0)
    # What the horizon explains is known of ∇J, not of the natural gradient.
    known = estimators()[name].target == "gradient"
    if known and (exact > allowed * (1 + _ROUNDING)).any():
        return "its exact bias is larger than the horizon explains"
    unexplained = (
        ~np.isfinite(exact)
        & (values["bias_test_p_holm"] < TEST_LEVEL)
        & ~(unseen | elsewhere)[..., None]
    )
    if not causes and unexplained.any():
        return f"it is biased in {int(unexplained.sum())} cells and declares no bias"
    return ""
