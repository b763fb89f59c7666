"""Figure of data of another policy: bias and variance, by how far the sampler is off."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.report.marks import DASHES, decades, lines_and_marks
from pgbench.report.panels import Drawing, NothingToDraw, add_legend, estimator_handles
from pgbench.report.parameters import values_along
from pgbench.report.plots import Plot
from pgbench.report.selection import of_the_best
from pgbench.report.statistic import Statistic
from pgbench.report.style import looks
from pgbench.report.unresolved import noted
from pgbench.samplers import ON_POLICY, samplers

if TYPE_CHECKING:
    from xarray import Dataset

MOST_SAMPLERS = 5
"""Most panels side by side."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """Samplers of one name, of which a single parameter differs.

    Attributes
    ----------
    name, parameter
        Of the sampler, and of what differs.
    x
        (n,) float64, its values in rising order.
    policies
        (n,) int64, where in the run each is found.
    """

    name: str
    parameter: str
    x: FloatArray
    policies: IntArray


def sweeps(summary: "Dataset") -> list[Sweep]:
    """Every sampler that the run has with several values; the policy itself is one where known."""
    if "sampler" not in summary.coords:
        return []
    # Policies come with every sampler; of each the first place counts.
    places: dict[str, int] = {}
    for i, label in enumerate(map(str, summary["sampler"].values)):
        places.setdefault(label, i)
    names, values = summary["sampler_name"].values, values_along(summary, "sampler")
    found = []
    for name in dict.fromkeys(map(str, names)):
        policies = [i for i in places.values() if names[i] == name]
        varied = [key for key in values[policies[0]] if len({values[i][key] for i in policies}) > 1]
        if name not in samplers() or len(varied) != 1:
            continue
        parameter = varied[0]
        x = [float(values[i][parameter]) for i in policies]
        if parameter in samplers()[name].identity and ON_POLICY in places:
            x.append(samplers()[name].identity[parameter])
            policies.append(places[ON_POLICY])
        if len(set(x)) > 2:
            order = np.argsort(x)
            found.append(Sweep(name, parameter, np.array(x)[order], np.array(policies)[order]))
    return found


@of_the_best
def mismatch(summary: "Dataset") -> Drawing:
    """Bias and variance against how far the sampler of the data is from the policy."""
    found = sweeps(summary)[:MOST_SAMPLERS]
    if not found:
        raise NothingToDraw("no sampler is in the run with several values of a parameter.")
    own = summary.isel(problem=0, batch_size=-1)
    styles, size = looks(summary), int(summary["batch_size"].values[-1])
    figure = Figure(figsize=(3.1 * len(found) + 1.2, 6.4), layout="constrained")
    rows = figure.subplots(3, len(found), squeeze=False, sharey="row", sharex="col",
                           height_ratios=(1.5, 1.5, 1.0))  # fmt: skip
    for (bias, noise, kept), sweep in zip(rows.T, found, strict=True):
        at = own.isel(policy=sweep.policies)
        for ax, name in (bias, "relative_bias"), (noise, "relative_variance"):
            exact = at[f"exact_{name}"].values.T
            measured = Statistic.of(at.transpose("estimator", ...), name)
            lines_and_marks(ax, sweep.x, exact, measured, styles)
        decades(noise)
        _kept(kept, sweep, at)
        bias.set_title(sweep.name.replace("_", " "))
    rows[0, 0].set_ylabel("bias over ‖∇J‖")
    rows[1, 0].set_ylabel("variance over ‖∇J‖²")
    rows[2, 0].set_ylabel("share of the data")
    rows[2, 0].legend(loc="lower left", fontsize=7.5)
    add_legend(figure, estimator_handles(summary, _shown(own)))
    return Drawing(figure, _caption(str(own["problem"].values), size), _ALT)


def _kept(ax: Axes, sweep: Sweep, at: "Dataset") -> None:
    """Effective sample size and kept probability, which on data of the policy itself are 1."""
    for name, word, line in (
        ("effective_sample_share", "effective sample size", "-"),
        ("kept_mass", "least kept probability", DASHES),
    ):
        share = np.where(at["sampler_name"].values == ON_POLICY, 1.0, at[name].values)
        ax.plot(sweep.x, share, color="0.25", ls=line, lw=1.2, label=word)
    ax.set_ylim(0, 1.05)
    ax.set_xlabel(samplers()[sweep.name].parameters[sweep.parameter].meaning.split(":")[0])


def _shown(own: "Dataset") -> BoolArray:
    """Which estimators have anything to show."""
    return np.asarray(np.isfinite(own["relative_variance"].values).any(axis=0))


def _caption(problem: str, size: int) -> str:
    return (
        "Data come from another policy than the one that learns, further from it the further a"
        f" parameter is from where the sampler is the policy itself. {size} trajectories of"
        f" {problem}. Above, the bias over the norm of the gradient, then the variance over its"
        " square. Lines are exact, without sampling; marks are measured, with 95 % intervals, and"
        " stand alone where exact values are not known. Below, the effective sample size of whole"
        " trajectories over their number, and the least probability, over visited states, of what"
        " the sampler may draw: where that is below 1 no ratio brings back what is never drawn."
    )


_ALT = "Relative bias, relative variance and effective sample size against parameters of samplers."


plot = Plot(
    "mismatch", "What data of another policy do", noted(mismatch), order=-2, explained=False
)
