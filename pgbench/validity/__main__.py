"""The study, its tables, and the page they are written to."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pgbench.validity
from pgbench.sampling import single_threaded_blas
from pgbench.validity.cases import CASES, RATE_BATCHES, RATES, Case
from pgbench.validity.repetition import COLUMNS, Repeated, rates, repeat
from pgbench.validity.study import REFERENCE, study

LEGEND = """# Measured coverage and false alarms

Written by `python -m pgbench.validity --output docs/validity.md` (`make validity`); the methods
are described in [statistics.md](statistics.md). Entries are per cent of the repetitions with
binomial standard errors; in square brackets the per cent of repetitions in which an interval or
test was given, if not all; — where it was in fewer than ten. The first columns are the coverage of
95 % intervals: `bias_squared` stands for `bias` and `relative_bias` too, `variance` for
`relative_variance` and `snr`, `mse` for `rmse` and `relative_rmse`, which are functions of it.
Where the exact variance is known it guards these intervals; *unguarded* are those of the same
samples for who does not know it. Then the test of the mean against the exact expectation: false
alarms at the 5 % level, and the power against a mean four standard errors off along the gradient;
the p-value of a Kolmogorov-Smirnov test that `mean_z` is N(0, 1); the test of the variance: false
alarms, the power against a variance 10 % off, and the same p-value."""

WHERE = ("problem", "policy", "estimator", "d")


def main(
    arguments: Sequence[str] | None = None,
    cases: Sequence[Case] = CASES,
    fitted: Sequence[Case] = RATES,
) -> int:
    """Run the study, print its tables and write them to a file."""
    parser = argparse.ArgumentParser(
        prog="python -m pgbench.validity", description=pgbench.validity.__doc__
    )
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--replicates", type=int, nargs="+", default=[1000, 200])
    parser.add_argument("--reference", type=int, default=REFERENCE)
    parser.add_argument("--output", type=Path, help="a Markdown file for the tables")
    options = parser.parse_args(arguments)
    tables: dict[int, list[str]] = {replicates: [] for replicates in options.replicates}
    with single_threaded_blas():
        for case in cases:
            begin = time.perf_counter()
            prepared = study(case, options.reference)
            for replicates, lines in tables.items():
                for repeated in repeat(prepared, replicates, options.repetitions):
                    lines.append(_row(repeated))
            seconds = time.perf_counter() - begin
            print(f"{prepared.subjects[0].label}: {seconds:.0f} s", file=sys.stderr, flush=True)
        fits = [
            f"| {label} | {replicates} | {share} |"
            for replicates in tables
            for case in fitted
            for label, share in rates(case, replicates, options.repetitions, options.reference)
        ]
    parts = [LEGEND]
    for replicates, lines in tables.items():
        title = f"## R = {replicates}, {options.repetitions} repetitions"
        parts += [title, "\n".join([*_head(*WHERE, "n", *COLUMNS), *lines])]
    parts.append(f"## Fitted rate over n = {', '.join(map(str, RATE_BATCHES))}")
    parts.append("\n".join([*_head(*WHERE, "R", "rmse_rate"), *fits]))
    text = "\n\n".join(parts)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    return 0


def _head(*names: str) -> list[str]:
    return [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]


def _row(repeated: Repeated) -> str:
    values = repeated.columns().values()
    cells = (f"{x:.2g}" if isinstance(x, float) else str(x) for x in values)
    return f"| {repeated.subject.label} | {' | '.join(cells)} |".replace("nan", "—")


if __name__ == "__main__":
    sys.exit(main())
