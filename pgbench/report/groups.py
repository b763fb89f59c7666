"""Figure of estimators of whole responses: what they climb, their bias and their noise."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.estimators import estimators
from pgbench.estimators.parts.outcomes import OutcomeEstimator
from pgbench.exact.finite.transform import transform
from pgbench.policies import NotApplicable
from pgbench.report.declared import sampled
from pgbench.report.marks import certain, decades, lines_and_marks, log_axis
from pgbench.report.panels import Drawing, NothingToDraw, add_legend, estimator_handles
from pgbench.report.parameters import of_estimator
from pgbench.report.plots import Plot
from pgbench.report.selection import of_the_best
from pgbench.report.statistic import Statistic
from pgbench.report.style import GUIDE, Style, looks
from pgbench.report.unresolved import noted

if TYPE_CHECKING:
    from xarray import Dataset

CHANCES = np.linspace(0.01, 0.99, 99)
"""Chances of success at which what is climbed is drawn."""


@of_the_best
def groups(summary: "Dataset") -> Drawing:
    """What estimators of responses climb, and their exact and measured bias and noise."""
    own = summary.isel(policy=int(np.argmin(sampled(summary))))
    success, sizes = own["success"].values, own["batch_size"].values
    outcomes = [outcome_weights(summary, e) for e in range(summary.sizes["estimator"])]
    if not np.isfinite(success).any() or not any(outcomes):
        raise NothingToDraw("no problem of the run has a verifier, or no estimator looks at it.")
    if sizes.size < 2:
        raise NothingToDraw("the run has a single batch size.")
    group = int(summary.attrs.get("group_size", sizes[-1]))
    at, last = int(np.nanargmin(np.abs(np.log(success / 0.3)))), sizes.size // 2
    figure = Figure(figsize=(11.6, 3.0), layout="constrained")
    climbed, bias, noise, hard = figure.subplots(1, 4)
    styles = looks(summary)
    _climbed(climbed, outcomes, styles, group)
    words = f"p = {success[at]:.2g}"
    _against(bias, own.isel(problem=at), "relative_bias", styles, 1.0)
    bias.set_title(f"bias, at {words}")
    bias.set_ylabel("bias over ‖∇J‖")
    _against(noise, own.isel(problem=at), "relative_variance", styles, sizes)
    noise.set_title(f"noise of a response, at {words}")
    noise.set_ylabel("variance over ‖∇J‖² × responses")
    _over_chances(hard, own.isel(batch_size=last), success, styles, int(sizes[last]))
    add_legend(figure, estimator_handles(summary, _shown(own)))
    return Drawing(figure, _caption(group, int(sizes[last])), _ALT)


def outcome_weights(summary: "Dataset", place: int) -> Any:
    """The weights of an outcome estimator with its parameters; None of any other."""
    estimator = estimators().get(str(summary["estimator_name"].values[place]))
    if not isinstance(estimator, OutcomeEstimator):
        return None
    given = of_estimator(summary, place, estimator.parameters)
    return partial(estimator.weights, **estimator.bound(**given))


def _climbed(ax: Axes, outcomes: list[Any], styles: list[Style], group: int) -> None:
    """F'(p) of every estimator."""
    for weights, style in zip(outcomes, styles, strict=True):
        if weights is None:
            continue
        try:
            slope = transform(weights, group).slope(CHANCES)
        except NotApplicable:  # k responses of pass@k in a smaller group
            continue
        ax.plot(CHANCES, np.where(slope > 0, slope, np.nan), color=style.colour, ls=style.line)
    decades(ax)
    ax.set(xlabel="chance of success p", ylabel="F′(p)", xlim=(0, 1))
    ax.set_title(f"what is climbed: F′(p) ∇p, G = {group}")


def _against(
    ax: Axes, own: "Dataset", name: str, styles: list[Style], factor: FloatArray | IntArray | float
) -> None:
    """Exact lines and measured marks of a statistic over batch sizes."""
    sizes = own["batch_size"].values
    exact, measured = own[f"exact_{name}"].values * factor, Statistic.of(own, name) * factor
    _on_decades(ax, sizes, exact, measured, styles)
    log_axis(ax, sizes, "responses per estimate")


def _over_chances(
    ax: Axes, own: "Dataset", success: FloatArray, styles: list[Style], size: int
) -> None:
    """The same of the noise of an estimate, over problems in order of their chance of success."""
    order = np.argsort(success)[: int(np.isfinite(success).sum())]
    exact = own["exact_relative_variance"].values[order].T
    measured = Statistic.of(own, "relative_variance")[order]
    measured = Statistic(measured.value.T, measured.low.T, measured.high.T)
    _on_decades(ax, success[order], exact, measured, styles)
    ax.set(xscale="log", xlabel="chance of success p", ylabel="variance over ‖∇J‖²")
    ax.set_title(f"noise of {size} responses")


def _on_decades(
    ax: Axes, x: Any, exact: FloatArray, measured: Statistic, styles: list[Style]
) -> None:
    """Lines and marks of what is not zero, with a level line at 1."""
    lines_and_marks(ax, x, *certain(exact, measured), styles)
    decades(ax)
    ax.axhline(1.0, color=GUIDE, lw=0.8, zorder=0)


def _shown(own: "Dataset") -> BoolArray:
    """Which estimators have anything to show."""
    return np.asarray(np.isfinite(own["relative_variance"].values).any(axis=(0, 2)))


def _caption(group: int, size: int) -> str:
    return (
        "Estimators that weigh a whole response by what became of it and of others. Left, what they"
        f" climb in groups of {group} where responses succeed or fail and are alike otherwise: a"
        " function F of the chance of success p, drawn by its slope; a level line at 1 is ∇p, and"
        " what rises to the left pulls harder on what rarely succeeds. Then bias and the noise"
        " of a single response against the responses of an estimate, on the problem whose chance of"
        f" success is nearest to 0.3, and right the noise of {size} responses against that chance."
        " Lines are exact, without sampling; marks are measured, with 95 % intervals, biases only"
        " where they can be told from none. Estimators without a line are too many sums for exact"
        " values."
    )


_ALT = "Slopes of the functions that are climbed, relative bias and relative variance, as lines."


plot = Plot("groups", "What groups of responses do", noted(groups), order=-3, explained=False)
