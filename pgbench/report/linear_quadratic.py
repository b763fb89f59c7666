"""The lecture's picture: plain against natural gradient over gain and variance of a scalar problem.

And what little exploration costs: the variance of the gradient along the gain against θ2.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import LogLocator, NullFormatter

from pgbench.arrays import FloatArray
from pgbench.declared.outcomes import Status
from pgbench.estimators import estimators
from pgbench.report.marks import decades
from pgbench.report.panels import Drawing, NothingToDraw, add_legend, estimator_handles
from pgbench.report.plots import Plot
from pgbench.report.style import INK, looks, problem_titles

if TYPE_CHECKING:
    from xarray import Dataset, DataTree


STARTS = 6
"""Most starts whose paths are drawn."""

ARROWS = 15
"""Arrows of a field along the gain; along the variance there are two thirds of it."""

PANELS = {
    "gradient": ("plain gradient", "landscape_gradient"),
    "natural": ("natural gradient", "landscape_natural_gradient"),
}
"""Algorithms that have a panel: its title, and the field that is drawn."""

COLOURS = ("#c23b22", "#0b5fa5", "#6a3d9a", "#2a7f3f")
"""Of what sampled paths follow."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One problem: its landscape, and the settings that climb it.

    problem is its place on the axis, land the dataset of the widest landscape, starts the places of
    policies and their θ_0.
    """

    problem: int
    title: str
    land: "Dataset"
    starts: list[tuple[int, FloatArray]]
    goal: float


def scenes(tree: "DataTree") -> Iterator[Scene]:
    """Every problem that has a landscape."""
    summary = tree.to_dataset()
    policies = [str(p) for p in summary["policy"].values]
    for i, (problem, title) in enumerate(problem_titles(summary).items()):
        found = [
            (policies.index(str(node.attrs["policy"])), node.to_dataset())
            for node in (tree["maps"].children.values() if "maps" in tree.children else ())
            if node.attrs["problem"] == problem and "landscape_objective" in node
        ]
        if found:
            found.sort(key=lambda pair: pair[0])
            land = max((own for _, own in found), key=_extent)
            starts = [(j, own["theta"].values) for j, own in found]
            goal = float(summary["optimal_objective"].values[i, found[0][0]])
            yield Scene(i, title, land, starts, goal)


def _extent(land: "Dataset") -> float:
    gain, variance = land["landscape_gain"].values, land["landscape_variance"].values
    return float(np.ptp(gain) * variance[-1])


def landscape(tree: "DataTree") -> Drawing:
    """Contours of J over gain and variance, fields of both gradients, and paths of ascents."""
    found = list(scenes(tree))
    if not found:
        raise NothingToDraw("no scalar linear-quadratic problem is in the run.")
    ascent = tree["ascent"].to_dataset() if "ascent" in tree.children else None
    shown = found[:3]
    figure = Figure(figsize=(10.2, 4.6 * len(shown) + 0.4), layout="constrained")
    grid = figure.subplots(len(shown), 2, squeeze=False, sharex="row", sharey="row")
    labels: dict[str, Line2D] = {}
    for axes, scene in zip(grid, shown, strict=True):
        for ax, (name, (title, field)) in zip(axes, PANELS.items(), strict=True):
            mesh = _contours(ax, scene)
            _arrows(ax, scene, field)
            if ascent is not None:
                labels |= _paths(ax, scene, ascent, name)
            ax.set_title(title if len(found) == 1 else f"{title}, {scene.title}")
            ax.set_xlabel("gain θ₁")
        axes[0].set_ylabel("variance θ₂")
        bar = figure.colorbar(mesh, ax=list(axes), shrink=0.86, pad=0.01, aspect=28)
        bar.set_label("J* − J(θ)")
        bar.ax.yaxis.set_major_locator(LogLocator(10))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.outline.set_visible(False)
    if labels:
        figure.legend(
            handles=list(labels.values()), loc="outside lower center", ncols=min(len(labels), 4)
        )
    return Drawing(
        figure,
        "Suboptimality of a Gaussian policy u ~ N(θ1 x, θ2) over its gain and "
        "its variance, exact, with the directions of the plain and of the natural gradient, and "
        "where they lead: black lines follow the exact gradient, coloured ones its estimates, one "
        "replicate each; dots are starts, the star is the optimum, where nothing is explored. "
        "The plain gradient pulls the variance down with a force that does not care where it is; "
        "near the bottom estimates are noise (see the next figure) and paths are thrown about on "
        "the plateau. The natural gradient is rescaled by θ2/E[x²] and 2θ2²: it lets exploration "
        "fade as fast as the gain is learned.",
        "Two contour maps of suboptimality over gain and variance with arrow fields and paths of"
        " plain and natural gradient ascent.",
    )


def _contours(ax: Axes, scene: Scene) -> Any:
    gain, variance = (scene.land[f"landscape_{x}"].values for x in ("gain", "variance"))
    gap = scene.goal - scene.land["landscape_objective"].values
    low, high = np.nanquantile(gap, [0.01, 0.97])
    low = max(float(low), 1e-3 * float(high))
    levels = np.geomspace(low, high, 13)
    colours = sns.color_palette("crest_r", as_cmap=True)
    norm = LogNorm(low, high)
    mesh = ax.contourf(
        gain, variance, np.clip(gap, low, high), levels=levels, cmap=colours, norm=norm, zorder=0
    )
    ax.contour(
        gain, variance, gap, levels=levels, colors="white", linewidths=0.45, alpha=0.65, zorder=1
    )
    ax.grid(visible=False)
    ax.set_xlim(gain[0], gain[-1])
    ax.set_ylim(0, variance[-1])
    best = float(gain[np.nanargmin(gap[0])])
    ax.plot(
        [best], [0], marker="*", markersize=15, color="#ffd23f", markeredgecolor=INK,
        markeredgewidth=0.8, clip_on=False, zorder=8,
    )  # fmt: skip
    return mesh


def _arrows(ax: Axes, scene: Scene, field: str) -> None:
    """Directions of a field, as they look on the page."""
    gain, variance = (scene.land[f"landscape_{x}"].values for x in ("gain", "variance"))
    i = np.linspace(0, gain.size - 1, ARROWS + 2).round().astype(int)[1:-1]
    k = np.linspace(0, variance.size - 1, 2 * ARROWS // 3 + 2).round().astype(int)[1:-1]
    own = scene.land[field].values[np.ix_(k, i)]
    # Lengths as drawn: the panel is about as wide as it is high times 1.15.
    u, v = own[..., 0] / np.ptp(gain) * 1.15, own[..., 1] / variance[-1]
    size = np.hypot(u, v)
    ax.quiver(
        gain[i], variance[k], u / size, v / size, color="white", alpha=0.7, angles="uv",
        scale=30, width=0.0032, headwidth=4.2, headlength=4.5, pivot="mid", zorder=2,
    )  # fmt: skip


def _paths(ax: Axes, scene: Scene, ascent: "Dataset", algorithm: str) -> dict[str, Line2D]:
    """Exact and sampled paths of an algorithm, from several starts; legend entries by label."""
    if "theta" not in ascent:
        return {}
    names = [str(name) for name in ascent["algorithm_name"].values]
    follows = [str(name) for name in ascent["follows"].values]
    rows = [a for a, name in enumerate(names) if name == algorithm]
    sampled = list(dict.fromkeys(f for f in follows if f and f != "exact"))
    status, theta = ascent["ascent_status"].values, ascent["theta"].values
    labels: dict[str, Line2D] = {}
    for j, start in _spread(scene.starts):
        for a in rows:
            done = np.flatnonzero(status[scene.problem, j, a] == Status.DONE)
            if not done.size:
                continue
            path = theta[scene.problem, j, a, done[0], 0, :, :2]
            exact = follows[a] == "exact"
            colour = INK if exact else COLOURS[sampled.index(follows[a]) % len(COLOURS)]
            label = "exact gradient" if exact else f"estimates, {follows[a]}"
            (line,) = ax.plot(
                path[:, 0],
                path[:, 1],
                color=colour,
                linewidth=1.8 if exact else 0.9,
                alpha=1.0 if exact else 0.75,
                zorder=6 if exact else 5,
                solid_capstyle="round",
                solid_joinstyle="round",
            )
            if exact:
                halo = Stroke(linewidth=3.0, foreground="white", alpha=0.6)
                line.set_path_effects([halo, Normal()])
            labels.setdefault(label, Line2D([], [], color=colour, linewidth=1.7, label=label))
        ax.plot(
            [start[0]], [start[1]], marker="o", markersize=5, color="white",
            markeredgecolor=INK, markeredgewidth=1.0, zorder=7,
        )  # fmt: skip
    return labels


def _spread(starts: list[tuple[int, FloatArray]]) -> list[tuple[int, FloatArray]]:
    """At most ``STARTS`` of the starts, far from one another, largest variances first."""
    left = sorted(starts, key=lambda pair: -pair[1][1])
    kept = left[:1]
    places = np.array([theta[:2] for _, theta in left])
    size = np.ptp(places, axis=0)
    scaled = places / np.where(size > 0, size, 1.0)
    chosen = [0]
    while len(kept) < min(STARTS, len(left)):
        distance = np.min([np.linalg.norm(scaled - scaled[c], axis=1) for c in chosen], axis=0)
        chosen.append(int(np.argmax(distance)))
        kept.append(left[chosen[-1]])
    return kept


def exploration(tree: "DataTree") -> Drawing:
    """Variance of the gradient along the gain against the policy's variance, measured and exact."""
    summary = tree.to_dataset()
    series = list(_series(tree, summary))
    if not series:
        raise NothingToDraw("no scalar problem has several variances at one gain.")
    figure = Figure(figsize=(4.6 * min(len(series), 2) + 2.2, 4.2), layout="constrained")
    axes = figure.subplots(1, min(len(series), 2), squeeze=False)[0]
    styles, drawn = looks(summary), np.zeros(summary.sizes["estimator"], bool)
    plain = [_of_gradient(str(name)) for name in summary["estimator_name"].values]
    for ax, (title, theta2, measured, exact) in zip(axes, series, strict=False):
        ax.set_xscale("log")
        for e, style in enumerate(styles):
            if not plain[e]:
                continue
            known = np.isfinite(exact[:, e])
            ax.plot(theta2[known], exact[known, e], color=style.colour, linestyle=style.line,
                    linewidth=1.3, zorder=3)  # fmt: skip
            seen = np.isfinite(measured[:, e])
            ax.plot(
                theta2[seen], measured[seen, e], color=style.colour, marker=style.marker,
                linestyle="none", markeredgecolor="white", markeredgewidth=0.5, zorder=4,
            )  # fmt: skip
            drawn[e] = known.any() or seen.any()
        decades(ax)
        _guide(ax, theta2, np.where(np.isfinite(exact), exact, measured))
        ax.set_xlabel("variance of the policy θ₂")
        ax.set_ylabel("variance of ∂/∂θ₁")
        ax.set_title(title)
        sns.despine(ax=ax)
    add_legend(figure, estimator_handles(summary, drawn))
    n = int(summary["batch_size"].values[0])
    return Drawing(
        figure,
        f"Variance of one estimate from {n} {'trajectory' if n == 1 else 'trajectories'} along the "
        "gain θ1 against the variance θ2 of the policy: marks are measured, lines exact where that "
        "is known. Everything that multiplies scores (u - θ1 x)x/θ2 by more than the advantage "
        "grows as 1/θ2, the dotted slope, because rewards that the action has no part in are "
        "weighed by it; pathwise and deterministic gradients need no score and do not. Estimators "
        "of the natural gradient are left out.",
        "Variance of the gradient along the gain against the variance of the policy on logarithmic"
        " axes, measured and exact, one colour per estimator.",
    )


def _of_gradient(name: str) -> bool:
    """Whether an estimator is of ∇J; what is not known here is."""
    known = estimators().get(name)
    return known is None or known.target == "gradient"


def _series(
    tree: "DataTree", summary: "Dataset"
) -> Iterator[tuple[str, FloatArray, FloatArray, FloatArray]]:
    """Title, variances (v,), and measured and exact variances (v, estimator) along the gain."""
    groups: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    if "maps" not in tree.children:
        return
    for node in tree["maps"].children.values():
        if "landscape_objective" in node and "gradient_variance" in node:
            own = node.to_dataset()
            key = str(node.attrs["problem"]), float(own["theta"].values[0])
            nothing = np.full(own["gradient_variance"].shape, np.nan)
            exact = own["expected_variance"].values if "expected_variance" in own else nothing
            groups.setdefault(key, []).append(
                {
                    "theta2": float(own["theta"].values[1]),
                    "measured": own["gradient_variance"].values[:, 0, 0],
                    "exact": exact[:, 0, 0],
                }
            )
    titles = problem_titles(summary)
    for (problem, gain), found in groups.items():
        if len({own["theta2"] for own in found}) < 3:
            continue
        found.sort(key=lambda own: float(own["theta2"]))
        arrays = (np.array([own[x] for own in found]) for x in ("theta2", "measured", "exact"))
        theta2, measured, exact = arrays
        # Rounding of an estimator without variance is none.
        exact = np.where(exact > 1e-12 * np.nanmax(exact), exact, np.nan)
        yield f"{titles[problem]}, θ1 = {gain:g}", theta2, measured, exact


def _guide(ax: Axes, theta2: FloatArray, values: FloatArray) -> None:
    """A line of slope -1 beside the steepest curve."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.where(values > 0, values, np.nan))
    fall = logs[0] - logs[-1]
    if not np.isfinite(fall).any():
        return
    top = float(np.exp(logs[0][np.nanargmax(fall)])) * 2.2
    x = theta2[[0, len(theta2) // 2]]
    ax.plot(x, top * x[0] / x, linestyle=":", color=INK, linewidth=1.2)
    ax.annotate("∝ 1/θ₂", (x[0], top), xytext=(6, 2), textcoords="offset points")


landscape_plot = Plot(
    "landscape", "Plain against natural gradient", landscape, order=1, of="run", explained=False
)
exploration_plot = Plot(
    "exploration", "What little exploration costs", exploration, order=2, of="run", explained=False
)
