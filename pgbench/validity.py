"""How often our own intervals cover and our own tests raise a false alarm, by repetition.

``python -m pgbench.validity`` repeats small cells, each many times on fresh trajectories, and
compares every interval and test with the exact truth: mean and variance of the estimator from
``exact.moments``, the number of steps from ``exact.horizon``. Mean cosine and ascent probability
have no closed form; their truth is a separate run of 200 000 replicates.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pgbench.estimators import make_tables
from pgbench.exact.horizon import expected_steps, shortest_horizon
from pgbench.exact.moments import directional_variance, table_moments
from pgbench.exact.truth import Truth
from pgbench.exact.values import evaluate
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.sampling import gradient_blocks, single_threaded_blas
from pgbench.simulator import Draws
from pgbench.statistics import (
    Estimate,
    Sample,
    directions,
    fit_rate,
    mean_test,
    mean_z,
    summarise,
    variance_test,
)
from pgbench.sums import Sums
from pgbench.tables import Tables

FloatArray = NDArray[np.float64]

LEVEL = 0.05
REFERENCE = 200_000
MAX_HORIZON = 150
FEWEST = 10
"""A share of fewer repetitions is not printed."""

IMAGES = {
    "bias_squared": ("bias", "relative_bias"),
    "variance": ("relative_variance", "snr"),
    "mse": ("rmse", "relative_rmse"),
}
"""Statistics that are monotone functions of another one, and so are covered when it is."""

Chosen = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """Estimators on the same trajectories of one problem, policy and batch size."""

    problem: Chosen
    policy: Chosen
    batch_size: int
    estimators: tuple[Chosen, ...]


NOISY: Chosen = ("gae", {"lam": 0.9, "critic_noise": 0.5})
LATE: Chosen = ("reward_to_go", {"discounted": False})
GARNET: Chosen = ("garnet", {"n_states": 10, "gamma": 0.95})
SOFTMAX: Chosen = ("softmax", {})
LINEAR: Chosen = ("loglinear", {})
REINFORCE, TO_GO, BASELINE, ORACLE, TD = (
    (name, dict[str, Any]())
    for name in ("reinforce", "reward_to_go", "baseline_value", "advantage_oracle", "td")
)

CASES = (
    Case(GARNET, ("loglinear", {"n_features": 1}), 1, (TO_GO, NOISY)),
    Case(("bandit", {"n_actions": 2}), SOFTMAX, 1, (REINFORCE,)),
    Case(("corridor", {}), LINEAR, 1, (REINFORCE, TO_GO, NOISY)),
    Case(("corridor", {}), LINEAR, 16, (REINFORCE, TO_GO, NOISY)),
    Case(("two_state", {}), SOFTMAX, 1, (REINFORCE, TD)),
    Case(GARNET, LINEAR, 4, (REINFORCE, BASELINE, LATE, NOISY)),
    Case(GARNET, SOFTMAX, 1, (REINFORCE, ORACLE, LATE, NOISY)),
    Case(GARNET, SOFTMAX, 64, (ORACLE, NOISY)),
    Case(("garnet", {"n_states": 100, "gamma": 0.95}), SOFTMAX, 1, (BASELINE, NOISY)),
    Case(("garnet", {"n_states": 1000, "gamma": 0.9}), SOFTMAX, 4, (BASELINE, NOISY)),
    Case(("riverswim", {}), SOFTMAX, 1, (REINFORCE, TO_GO, TD)),
    Case(("riverswim", {}), SOFTMAX, 16, (REINFORCE, TO_GO, TD)),
    Case(("gymnasium", {"id": "FrozenLake-v1"}), SOFTMAX, 1, (REINFORCE, BASELINE, TD)),
    Case(("gymnasium", {"id": "FrozenLake-v1"}), SOFTMAX, 16, (REINFORCE, BASELINE, TD)),
    Case(("chain", {"length": 4}), SOFTMAX, 1, (REINFORCE, ORACLE)),
    Case(("chain", {"length": 4}), SOFTMAX, 64, (REINFORCE, ORACLE)),
)

RATES = (
    Case(GARNET, SOFTMAX, 1, (REINFORCE, ORACLE, NOISY)),
    Case(("corridor", {}), LINEAR, 1, (REINFORCE, NOISY)),
    Case(("riverswim", {}), SOFTMAX, 1, (REINFORCE, TD)),
)
RATE_BATCHES = (1, 4, 16, 64)


@dataclass(frozen=True, eq=False)
class Subject:
    """An estimator in a case, with everything that is true of it.

    ``expected`` (d,) and ``variance`` are exact; ``along`` (m, d) holds the tested directions and
    ``along_variance`` (m,) the exact variances along them; ``values`` true values by statistic.
    """

    label: str
    tables: Tables
    expected: FloatArray
    along: FloatArray
    along_variance: FloatArray
    values: dict[str, float]


@dataclass(frozen=True)
class Share:
    """How many of some repetitions, and of how many it could be said."""

    hits: int
    known: int
    total: int

    @classmethod
    def of(cls, hits: Iterable[bool], known: Iterable[bool]) -> "Share":
        """Count the hits among the known."""
        h, k = np.fromiter(hits, bool), np.fromiter(known, bool)
        return cls(int((h & k).sum()), int(k.sum()), k.size)

    @property
    def share(self) -> float:
        """Hits among the known, NaN if there are none."""
        return self.hits / self.known if self.known else np.nan

    def __str__(self) -> str:
        """Per cent with its binomial standard error; in brackets how often it was known."""
        if self.known < FEWEST:
            return "—"
        error = 100 * np.sqrt(max(self.share * (1 - self.share), 0.5 / self.known) / self.known)
        text = f"{100 * self.share:.1f} ± {error:.1f}"
        return text if self.known == self.total else f"{text} [{100 * self.known / self.total:.0f}]"


@dataclass(frozen=True, eq=False)
class Repeated:
    """What R replicates said, in each repetition: summaries, p-values, z-scores and powers."""

    subject: Subject
    summaries: Sequence[dict[str, Estimate]]
    p: FloatArray
    p_shifted: FloatArray
    z: FloatArray
    variance_z: FloatArray
    p_variance_wrong: FloatArray

    def coverage(self, name: str) -> Share:
        """How often the interval of a statistic holds its true value."""
        value = self.subject.values[name]
        # A constant is known exactly, except for the rounding of its exact value.
        slack = 1e-9 * abs(value)
        found = [summary[name] for summary in self.summaries]
        return Share.of(
            (e.low - slack <= value <= e.high + slack for e in found),
            (np.isfinite(e.low) for e in found),
        )

    def columns(self) -> dict[str, Share | float]:
        """The row of the table."""
        tests = (
            _below(self.p),
            _below(self.p_shifted),
            _uniformity(self.z),
            _below(2 * stats.norm.sf(np.abs(self.variance_z))),
            _below(self.p_variance_wrong),
            _uniformity(self.variance_z),
        )
        return dict(zip(COLUMNS, (*map(self.coverage, COVERED), *tests), strict=True))


COVERED = (
    "bias_squared",
    "variance",
    "mse",
    "cosine",
    "ascent_probability",
    "steps",
    "work_normalised_variance",
)


COLUMNS = (
    *COVERED,
    "mean_test: alarms",
    "mean_test: power",
    "mean_z: KS p",
    "variance_test: alarms",
    "variance_test: power",
    "variance_test: KS p",
)


def _below(p: FloatArray) -> Share:
    return Share.of(p < LEVEL, np.isfinite(p))


def _uniformity(z: FloatArray) -> float:
    """p-value of the Kolmogorov-Smirnov test of N(0, 1); NaN with fewer than 50 z-scores."""
    z = z[np.isfinite(z)]
    return float(stats.kstest(z, "norm").pvalue) if z.size >= 50 else np.nan


@dataclass(frozen=True, eq=False)
class Study:
    """A case with its exact quantities, horizon and subjects."""

    truth: Truth
    horizon: int
    batch_size: int
    subjects: Sequence[Subject]


def study(case: Case) -> Study:
    """Work out everything that is true of a case."""
    name, options = case.problem
    mdp = make_problem(name, **options)
    policy = make_policy(case.policy[0], mdp, **case.policy[1])
    truth = evaluate(mdp, policy, policy.initial(seed=0))
    horizon = min(shortest_horizon(truth), MAX_HORIZON)
    tables = [
        make_tables(truth, estimator, horizon, **given) for estimator, given in case.estimators
    ]
    reference = _reference(truth, tables, Draws(horizon, case.batch_size, REFERENCE, 1, 0))
    steps = expected_steps(mdp, truth.pi, horizon) * case.batch_size
    along = directions(truth.gradient.size, truth.gradient)
    subjects = []
    for e, (estimator, given) in enumerate(case.estimators):
        exact = table_moments(truth, tables[e], horizon)
        variance = float(exact.variance.sum()) / case.batch_size
        values = {
            "bias_squared": float(np.sum((exact.mean - truth.gradient) ** 2)),
            "variance": variance,
            "cosine": reference[e, 0],
            "ascent_probability": reference[e, 1],
            "steps": steps,
            "work_normalised_variance": variance * steps,
        }
        subjects.append(
            Subject(
                label=_label(case, estimator, given, truth.gradient.size),
                tables=tables[e],
                expected=exact.mean,
                along=along,
                along_variance=directional_variance(truth, tables[e], horizon, along)
                / case.batch_size,
                values=_with_images(values, float(np.linalg.norm(truth.gradient))),
            )
        )
    return Study(truth, horizon, case.batch_size, subjects)


def _label(case: Case, estimator: str, given: dict[str, Any], d: int) -> str:
    problem = case.problem[1].get("id", case.problem[0])
    size = case.problem[1].get("n_states", "")
    mark = {"critic_noise": " (wrong critic)", "discounted": " (no γ^t)"}
    note = "".join(text for key, text in mark.items() if key in given)
    return f"{problem}{size} | {estimator}{note} | {d} | {case.batch_size}"


def _with_images(values: dict[str, float], norm: float) -> dict[str, float]:
    """The values with those of the statistics that are functions of others."""
    mse = values["bias_squared"] + values["variance"]
    bias = np.sqrt(values["bias_squared"])
    return values | {
        "bias": bias,
        "relative_bias": bias / norm,
        "mse": mse,
        "rmse": np.sqrt(mse),
        "relative_rmse": np.sqrt(mse) / norm,
        "relative_variance": values["variance"] / norm**2,
        "snr": norm**2 / values["variance"],
    }


def _reference(truth: Truth, tables: Sequence[Tables], draws: Draws) -> FloatArray:
    """Mean cosine and ascent probability of each estimator, (E, 2)."""
    sums = np.zeros((len(tables), 2))
    g = truth.gradient / np.linalg.norm(truth.gradient)
    for block in gradient_blocks(truth, tables, draws):
        for e, gradients in enumerate(block.gradients):
            product, norm = gradients @ g, np.linalg.norm(gradients, axis=1)
            cosine = np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0)
            sums[e] += cosine.sum(), (product > 0).sum()
    return sums / draws.replicates


def repetitions(
    truth: Truth, tables: Sequence[Tables], draws: Draws, n: int
) -> Iterator[tuple[list[FloatArray], NDArray[np.int64]]]:
    """Gradients per estimator (R, d) and steps (R,) of n repetitions of R replicates."""
    R = draws.replicates
    gradients: list[list[FloatArray]] = [[] for _ in tables]
    steps: list[NDArray[np.int64]] = []
    held = 0
    for block in gradient_blocks(truth, tables, replace(draws, replicates=n * R)):
        for kept, new in zip(gradients, block.gradients, strict=True):
            kept.append(new)
        steps.append(block.steps)
        held += block.steps.size
        while held >= R:
            whole = [np.concatenate(kept) for kept in gradients]
            taken = np.concatenate(steps)
            yield [g[:R] for g in whole], taken[:R]
            gradients, steps, held = [[g[R:]] for g in whole], [taken[R:]], held - R


def repeat(study: Study, replicates: int, n: int) -> list[Repeated]:
    """Every subject of a study measured n times with fresh replicates."""
    truth, subjects = study.truth, study.subjects
    records: list[list[Any]] = [[] for _ in subjects]
    draws = Draws(study.horizon, study.batch_size, replicates, seed=2, stream=replicates)
    for gradients, steps in repetitions(truth, [s.tables for s in subjects], draws, n):
        for subject, own, record in zip(subjects, gradients, records, strict=True):
            record.append(_measure(truth, subject, own, steps))
    return [
        Repeated(subject, *(columns[0],), *(np.array(c) for c in columns[1:]))
        for subject, columns in (
            (s, list(zip(*r, strict=True))) for s, r in zip(subjects, records, strict=True)
        )
    ]


def sample_of(
    gradients: FloatArray,
    steps: NDArray[np.int64],
    truth: FloatArray,
    expected: FloatArray,
    exact_variance: float = np.nan,
) -> Sample:
    """The sample of replicates (R, d) that are all in memory."""
    sums = Sums(truth, [expected], len(gradients), np.zeros((0, truth.size)))
    sums.add_gradients(0, gradients[:, None], steps)
    return sums.sample(0, exact_variance)


def _measure(
    truth: Truth, subject: Subject, gradients: FloatArray, steps: NDArray[np.int64]
) -> tuple[Any, ...]:
    variance = subject.values["variance"]
    sample = sample_of(gradients, steps, truth.gradient, subject.expected, variance)
    projections, mean = gradients @ subject.along.T, subject.along @ subject.expected
    # Wrong truths: four standard errors off along the gradient, and a variance 10 % too large.
    shifted = mean + 4 * np.sqrt(subject.along_variance[-1] / len(gradients)) * (
        subject.along @ truth.gradient / np.linalg.norm(truth.gradient)
    )
    z = mean_z(projections, mean, subject.along_variance)
    return (
        summarise(sample),
        mean_test(projections, mean).p_value,
        mean_test(projections, shifted).p_value,
        z[0],
        variance_test(sample.squared_deviation, variance).z,
        variance_test(sample.squared_deviation, 1.1 * variance).p_value,
    )


def rates(case: Case, replicates: int, n: int) -> list[tuple[str, Share]]:
    """Coverage of the fitted rate over batch sizes, per estimator.

    What it should cover is the fit through the true RMSE: -1/2 exactly where there is no bias.
    """
    runs = [repeat(study(replace(case, batch_size=size)), replicates, n) for size in RATE_BATCHES]
    rows = []
    for own in zip(*runs, strict=True):
        true = np.array([r.subject.values["rmse"] for r in own])
        hits, known = [], []
        for i in range(n):
            found = [r.summaries[i]["rmse"] for r in own]
            y, low, high = np.array([(e.value, e.low, e.high) for e in found]).T
            fit = fit_rate(RATE_BATCHES, y, low, high)
            known_true = np.where(np.isfinite(low), true, np.nan)
            exact = fit_rate(RATE_BATCHES, known_true, known_true, known_true)
            hits.append(fit.low <= exact.slope <= fit.high)
            known.append(bool(np.isfinite(fit.low)))
        rows.append((own[0].subject.label.rsplit(" | ", 1)[0], Share.of(hits, known)))
    return rows


LEGEND = """# Measured coverage and false alarms

Written by `python -m pgbench.validity --output docs/validity.md` (`make validity`); the methods
are described in [statistics.md](statistics.md). Entries are per cent of the repetitions with
binomial standard errors; in square brackets the per cent of repetitions in which an interval or
test was given, if not all; — where it was in fewer than ten. The first columns are the coverage of
95 % intervals: `bias_squared` stands for `bias` and `relative_bias` too, `variance` for
`relative_variance` and `snr`, `mse` for `rmse` and `relative_rmse`, which are functions of it.
Then the test of the mean against the exact expectation: false alarms at the 5 % level, and the
power against a mean four standard errors off along the gradient; the p-value of a Kolmogorov-
Smirnov test that `mean_z` is N(0, 1); the test of the variance: false alarms, the power against a
variance 10 % off, and the same p-value."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study, print its tables and write them to a file."""
    parser = argparse.ArgumentParser(prog="python -m pgbench.validity", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--replicates", type=int, nargs="+", default=[1000, 200])
    parser.add_argument("--output", type=Path, help="a Markdown file for the tables")
    options = parser.parse_args(arguments)
    tables: dict[int, list[str]] = {replicates: [] for replicates in options.replicates}
    with single_threaded_blas():
        for case in CASES:
            begin = time.perf_counter()
            prepared = study(case)
            for replicates, lines in tables.items():
                for repeated in repeat(prepared, replicates, options.repetitions):
                    lines.append(_row(repeated))
            seconds = time.perf_counter() - begin
            print(f"{prepared.subjects[0].label}: {seconds:.0f} s", file=sys.stderr, flush=True)
        fits = [
            f"| {label} | {replicates} | {share} |"
            for replicates in tables
            for case in RATES
            for label, share in rates(case, replicates, options.repetitions)
        ]
    parts = [LEGEND]
    for replicates, lines in tables.items():
        title = f"## R = {replicates}, {options.repetitions} repetitions"
        parts += [title, "\n".join([*_head("problem", "estimator", "d", "n", *COLUMNS), *lines])]
    parts.append(f"## Fitted rate over n = {', '.join(map(str, RATE_BATCHES))}")
    parts.append("\n".join([*_head("problem", "estimator", "d", "R", "rmse_rate"), *fits]))
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
