"""The table: time per step, ratios against their targets, where and with what it was measured."""

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratio:
    """Time of one contender over that of another, (name, threads) each, and what is hoped for."""

    title: str
    above: tuple[str, int]
    below: tuple[str, int]
    target: float
    at_most: bool = False

    def met(self, value):
        return value <= self.target if self.at_most else value >= self.target


RATIOS = (
    Ratio("pgbench / C in lock step", ("pgbench", 1), ("c_lockstep", 1), 1.15, at_most=True),
    Ratio("pgbench / C, two draws", ("pgbench", 1), ("c_two_draws", 1), 1.15, at_most=True),
    Ratio("pgbench / C, 32 in lock step", ("pgbench", 1), ("c_lockstep_32", 1), 1.15, at_most=True),
    Ratio("pgbench / C, 32, two draws", ("pgbench", 1), ("c_two_draws_32", 1), 1.15, at_most=True),
    Ratio("pgbench / C with AVX-512", ("pgbench", 1), ("c_avx512", 1), 1.5, at_most=True),
    Ratio("C one at a time / pgbench", ("c_plain", 1), ("pgbench", 1), 5),
    Ratio("JAX / pgbench, 1 thread", ("jax", 1), ("pgbench", 1), 8),
    Ratio("JAX / pgbench, 2 threads", ("jax", 2), ("pgbench", 2), 8),
    Ratio("NumPy / pgbench", ("numpy", 1), ("pgbench", 1), 30),
    Ratio("pgbench, 1 thread / 2 threads", ("pgbench", 1), ("pgbench", 2), 1.8),
)


def table(result):
    """Markdown of the dict that ``race`` returns."""
    sizes = sorted({lap["n_states"] for lap in result["laps"]})
    machine = result["machine"]
    versions = ", ".join(f"{name} {found}" for name, found in machine["versions"].items())
    rounds = len(result["laps"][0]["ns"])
    lines = [
        f"{machine['created'][:10]}, {machine['cpu']}, Python {machine['python']}, {versions}; "
        f"revision {machine['revision']}.",
        "",
        f"Nanoseconds of wall time per environment step: median of {rounds} rounds, in brackets "
        "the least and the largest.",
        "",
        *_header("contender | threads", sizes),
    ]
    laps = laps_by_place(result)
    failed = {(c["n_states"], c["name"], c["threads"]) for c in result["checks"] if not c["passed"]}
    for name, threads in starters(result):
        cells = [
            _cell(laps.get((size, name, threads)), (size, name, threads) in failed)
            for size in sizes
        ]
        lines.append(f"| {result['titles'][name]} | {threads} | {' | '.join(cells)} |")
    lines += ["", "Ratios, the median over rounds:", "", *_header("ratio | target", sizes)]
    for ratio in RATIOS:
        values = [ratio_of(laps, ratio, size) for size in sizes]
        if any(value is not None for value in values):
            sign = "≤" if ratio.at_most else "≥"
            cells = [_ratio_cell(ratio, value) for value in values]
            lines.append(f"| {ratio.title} | {sign} {ratio.target:g} | {' | '.join(cells)} |")
    lines += ["", "A ratio is bold where it misses its target. A dash: not run at this size.", ""]
    return "\n".join(lines)


def starters(result):
    """(name, threads) of everything timed or checked, in the order of the contenders."""
    order = list(result["titles"])
    found = {(check["name"], check["threads"]) for check in result["checks"]}
    return sorted(found, key=lambda starter: (order.index(starter[0]), starter[1]))


def laps_by_place(result):
    """Nanoseconds per step of every round by (n_states, name, threads)."""
    return {(lap["n_states"], lap["name"], lap["threads"]): lap["ns"] for lap in result["laps"]}


def ratio_of(laps, ratio, n_states):
    """Median over rounds of a ratio at one size, or None where a contender is missing."""
    above, below = laps.get((n_states, *ratio.above)), laps.get((n_states, *ratio.below))
    if above is None or below is None:
        return None
    return median(a / b for a, b in zip(above, below, strict=True))


def _header(first, sizes):
    columns = first.count("|") + 1
    head = f"| {first} | {' | '.join(f'S = {size:,}' for size in sizes)} |"
    return head, f"|{'---|' * columns}{'--:|' * len(sizes)}"


def _cell(ns, failed):
    if ns is None:
        return "wrong" if failed else "-"
    return f"{_digits(median(ns))} ({_digits(min(ns))}-{_digits(max(ns))})"


def _ratio_cell(ratio, value):
    if value is None:
        return "-"
    return _digits(value) if ratio.met(value) else f"**{_digits(value)}**"


def _digits(value):
    """Three significant digits at most, no exponent."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"
