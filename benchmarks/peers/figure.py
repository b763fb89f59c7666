"""The figure: time per step, a row per contender, a panel per size."""

from statistics import median

from benchmarks.peers.table import laps_by_place, starters

OTHER, OWN = "#5a5a5a", "#0173b2"


def draw(result, path):
    """Write a PNG of the dict that ``race`` returns."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    from pgbench.report.style import INK, theme

    rows, laps = starters(result), laps_by_place(result)
    sizes = sorted({place[0] for place in laps})
    with theme():
        figure = Figure(
            figsize=(1.9 + 1.75 * len(sizes), 0.75 + 0.24 * len(rows)), layout="constrained"
        )
        axes = figure.subplots(1, len(sizes), sharex=True, sharey=True, squeeze=False)[0]
        for ax, size in zip(axes, sizes, strict=True):
            own = laps.get((size, "pgbench", 1))
            if own:
                ax.axvline(median(own), color=OWN, linewidth=0.8, zorder=0.6)
            for y, (name, threads) in enumerate(rows):
                ns = laps.get((size, name, threads))
                if ns is None:
                    continue
                colour = OWN if name == "pgbench" else OTHER
                ax.plot([min(ns), max(ns)], [y, y], color=colour, linewidth=1.2)
                ax.plot(
                    median(ns),
                    y,
                    "o",
                    color=colour,
                    markerfacecolor=colour if threads == 1 else "white",
                    zorder=3,
                )
            ax.set_xscale("log")
            ax.set_title(f"{size:,} states", color=INK)
            ax.xaxis.set_major_locator(LogLocator())
            ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.tick_params(axis="y", length=0)
        axes[0].set_yticks(
            range(len(rows)),
            [f"{result['titles'][name]}, {n} thread{'s' * (n > 1)}" for name, n in rows],
        )
        axes[0].set_ylim(len(rows) - 0.4, -0.6)
        figure.supxlabel("ns per environment step", fontsize=8.5)
        figure.savefig(path)
