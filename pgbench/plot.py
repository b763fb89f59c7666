"""Figures of a run as functions: ``pgbench.plot.ranking(dataset)``, for notebooks and papers.

Each takes a dataset, the tree of a run, or its directory, and gives a ``Drawing``: ``figure`` is
matplotlib's, ``caption`` says how to read it, and ``save`` writes PDF, SVG or PNG. What is selected
beforehand is what is drawn: ``ranking(dataset.sel(policy=["softmax"]))``. NothingToDraw, a
ValueError, says why there is nothing to draw.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Union

from pgbench.report.panels import Drawing, NothingToDraw
from pgbench.report.plots import Subject, plots
from pgbench.report.style import theme
from pgbench.results.folding import part_of

if TYPE_CHECKING:
    from xarray import Dataset, DataTree

__all__ = [
    "ascent_cosine",
    "ascent_entropy",
    "ascent_gradient",
    "ascent_length",
    "ascent_map",
    "ascent_noise",
    "ascent_outcomes",
    "ascent_pooled",
    "ascent_returns",
    "ascent_sizes",
    "ascent_suboptimality",
    "bias",
    "calibration",
    "causes",
    "direction",
    "exploration",
    "groups",
    "landscape",
    "mismatch",
    "p_values",
    "penalties",
    "ranking",
    "rates",
    "rmse",
    "scaling",
    "sweeps",
]

Data = Union["Dataset", "DataTree", str, Path]
"""A dataset, the tree of a run, or the directory of one."""


def landscape(data: Data) -> Drawing:
    """Contours of J over gain and variance, fields of both gradients, and paths of ascents."""
    return _drawn("landscape", "run", data)


def exploration(data: Data) -> Drawing:
    """Variance of the gradient along the gain against the policy's variance, measured and exact."""
    return _drawn("exploration", "run", data)


def groups(data: Data) -> Drawing:
    """What estimators of responses climb, and their exact and measured bias and noise."""
    return _drawn("groups", "estimators", data)


def mismatch(data: Data) -> Drawing:
    """Bias and variance against how far the sampler of the data is from the policy."""
    return _drawn("mismatch", "estimators", data)


def penalties(data: Data) -> Drawing:
    """Error of the penalty's gradient, and variance, against the size of a problem."""
    return _drawn("penalties", "estimators", data)


def ranking(data: Data) -> Drawing:
    """Variance times work, and times seconds, relative to reward-to-go or to the mean estimator."""
    return _drawn("ranking", "estimators", data)


def bias(data: Data) -> Drawing:
    """Measured relative bias next to the exact one, at the largest batch size."""
    return _drawn("bias", "estimators", data)


def causes(data: Data) -> Drawing:
    """Norms of the parts of the exact bias at the smallest and at the largest batch size."""
    return _drawn("causes", "estimators", data)


def scaling(data: Data) -> Drawing:
    """Relative variance, relative bias and time of an estimate against the size of the problem."""
    return _drawn("scaling", "estimators", data)


def sweeps(data: Data) -> Drawing:
    """Bias, variance and error of an estimator against its parameters."""
    return _drawn("sweeps", "estimators", data)


def rmse(data: Data) -> Drawing:
    """Relative root mean squared error against batch size, with the fitted power law."""
    return _drawn("rmse", "estimators", data)


def rates(data: Data) -> Drawing:
    """Fitted exponents of RMSE against batch size."""
    return _drawn("rates", "estimators", data)


def direction(data: Data) -> Drawing:
    """Mean cosine with the exact gradient against batch size."""
    return _drawn("direction", "estimators", data)


def calibration(data: Data) -> Drawing:
    """Measured variances and means against exact ones, over all cells."""
    return _drawn("calibration", "estimators", data)


def p_values(data: Data) -> Drawing:
    """Distributions of the p-values of the code check and of the bias test."""
    return _drawn("p_values", "estimators", data)


def ascent_length(data: Data) -> Drawing:
    """Exact mean length of episodes along the path, and their chance of success."""
    return _drawn("ascent_length", "ascents", data)


def ascent_suboptimality(data: Data) -> Drawing:
    """J* - J(θ_k) against updates, with proven bounds where they come into view."""
    return _drawn("ascent_suboptimality", "ascents", data)


def ascent_pooled(data: Data) -> Drawing:
    """What is left of the gap, all problems together."""
    return _drawn("ascent_pooled", "ascents", data)


def ascent_returns(data: Data) -> Drawing:
    """J(θ_k) against updates, and the goal."""
    return _drawn("ascent_returns", "ascents", data)


def ascent_map(data: Data) -> Drawing:
    """What is left of the gap over step size and another parameter, or algorithms."""
    return _drawn("ascent_map", "ascents", data)


def ascent_sizes(data: Data) -> Drawing:
    """Updates to a tenth of the gap, and the gradient at the start, against size."""
    return _drawn("ascent_sizes", "ascents", data)


def ascent_outcomes(data: Data) -> Drawing:
    """What became of the replicates of every run."""
    return _drawn("ascent_outcomes", "ascents", data)


def ascent_gradient(data: Data) -> Drawing:
    """Norm of the exact gradient along the path."""
    return _drawn("ascent_gradient", "ascents", data)


def ascent_noise(data: Data) -> Drawing:
    """Signal to noise and entropy along the path."""
    return _drawn("ascent_noise", "ascents", data)


def ascent_cosine(data: Data) -> Drawing:
    """Cosine of what is followed with the gradient along the path."""
    return _drawn("ascent_cosine", "ascents", data)


def ascent_entropy(data: Data) -> Drawing:
    """Entropy of the policy along the path, and how often it acts wrongly."""
    return _drawn("ascent_entropy", "ascents", data)


def _drawn(name: str, of: Subject, data: Data) -> Drawing:
    """The figure of that name; NothingToDraw where the data lack what it shows."""
    own = part_of(data, of)
    if own is None:
        raise NothingToDraw(f"the run has no {of}.")
    with theme():
        return plots(of)[name].draw(own)
