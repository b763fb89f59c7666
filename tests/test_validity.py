"""Intervals and tests on real cells: how often they cover and raise a false alarm.

A short version of ``python -m pgbench.validity``; the slow tests are the study itself. Bounds are
four binomial standard errors of the nominal rate.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pgbench.sampling import single_threaded_blas
from pgbench.simulator import Draws
from pgbench.statistics import mean_interval
from pgbench.tails import tail_index, unseen_mean
from pgbench.validity.__main__ import LEGEND, WHERE, main
from pgbench.validity.cases import (
    BASELINE,
    CASES,
    GARNET,
    LINEAR,
    LQG,
    NOISY,
    ORACLE,
    RATES,
    REINFORCE,
    RLOO,
    SHORT,
    SOFTMAX,
    TO_GO,
    Case,
    gaussian,
)
from pgbench.validity.repetition import COLUMNS, COVERED, GUARDED, IMAGES, rates, repeat
from pgbench.validity.study import repetitions, study


def slack(n, rate=0.05):
    return 4 * np.sqrt(rate * (1 - rate) / n)


def measured(case, replicates, n, reference=20_000):
    """The repetitions of a case, by estimator."""
    with single_threaded_blas():
        return repeat(study(case, reference), replicates, n)


@pytest.fixture(scope="module")
def small():
    """Unbiased and biased estimators on a small garnet, 250 repetitions of 500 replicates."""
    return measured(Case(GARNET, LINEAR, 1, (TO_GO, NOISY)), 500, 250, 200_000)


@pytest.fixture(scope="module")
def heavy():
    """A linear-quadratic cell whose squares have heavy tails, 250 repetitions of 200."""
    return measured(Case(LQG, gaussian(0.4), 1, (TO_GO, ORACLE)), 200, 250)


@pytest.mark.parametrize("e", [0, 1], ids=["unbiased", "biased"])
def test_intervals_cover_the_exact_values(small, e):
    for name in COVERED:
        found = small[e].coverage(name)
        assert found.known == found.total == 250, name
        assert found.share > 0.95 - slack(250), (name, str(found))


def test_functions_of_a_statistic_are_covered_with_it(small):
    for repeated in small:
        for name, images in IMAGES.items():
            for image in images:
                assert repeated.coverage(image) == repeated.coverage(name), image


def test_intervals_do_not_cover_what_is_wrong(small):
    """A variance half off, and a cosine and a bias three times too large, are found out."""
    for name, factor in (("variance", 3 / 2), ("mse", 3 / 2), ("cosine", 3), ("bias", 3)):
        wrong = factor * small[1].subject.values[name]
        held = [s[name].low <= wrong <= s[name].high for s in small[1].summaries]
        assert np.mean(held) < 0.8, name


@pytest.mark.parametrize("guarded", [True, False])
def test_of_a_hundred_runs_at_most_five_give_a_wrong_interval_of_heavy_squares(heavy, guarded):
    for repeated in heavy:
        for name in GUARDED:
            found = repeated.coverage(name, guarded)
            wrong = (found.known - found.hits) / found.total
            assert wrong < 0.05 + slack(found.total), (name, str(found))
            assert found.known > (0.7 if guarded else 0.1) * found.total, (name, str(found))


def test_intervals_that_know_nothing_of_tails_do_not_cover_heavy_squares():
    """Hall's alone, where the value of a state is the baseline of a linear-quadratic problem."""
    prepared = study(Case(LQG, gaussian(0.4), 1, (BASELINE,)), 1000)
    (subject,) = prepared.subjects
    value, wrong = subject.values["variance"], 0
    draws = Draws(prepared.horizon, 1, 200, seed=2, stream=200)
    for gradients, _ in repetitions(prepared.truth, subject.estimator, {}, draws, 250):
        estimate = mean_interval(np.sum((gradients - subject.expected) ** 2, axis=1))
        wrong += bool(np.isfinite(estimate.low)) and not estimate.low <= value <= estimate.high
    assert wrong / 250 > 0.05 + slack(250)


def test_the_tail_of_pareto_numbers_is_found():
    """Of P(X > x) = x^-2, ξ is 1/2 and what lies beyond M adds 2 M P(X > M) = 2/M to the mean."""
    x = np.random.default_rng(3).pareto(2.0, 100_000) + 1
    xi, s = tail_index(x)
    assert xi == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(316))
    assert s == pytest.approx(np.sqrt(100_000 / 316), rel=0.2)
    assert unseen_mean(x) == pytest.approx(2 / x.max(), rel=0.5)


def test_what_has_no_tail_adds_nothing():
    assert unseen_mean(np.ones(100)) == 0
    assert unseen_mean(np.eye(100)[0]) == 0
    assert unseen_mean(np.random.default_rng(1).uniform(size=1000)) < 0.01


def test_students_interval_of_a_variance_does_not_cover():
    """The same bound fails for mean ± t·se, where trajectories vary in length."""
    (repeated,) = measured(Case(("corridor", {}), LINEAR, 1, (TO_GO,)), 200, 250)
    value = repeated.subject.values["variance"]
    found = [s["variance"] for s in repeated.summaries]
    t = stats.t.ppf(0.975, 199)
    assert np.mean([abs(e.value - value) <= t * e.se for e in found]) < 0.95 - slack(250)


def test_false_alarms_are_as_frequent_as_stated(small):
    for repeated in small:
        assert abs(np.mean(repeated.p < 0.05) - 0.05) < slack(250)
        assert np.mean(repeated.p_shifted < 0.05) > 0.5
        assert stats.kstest(repeated.z, "norm").pvalue > 1e-3
        known = repeated.variance_z[np.isfinite(repeated.variance_z)]
        assert abs(np.mean(np.abs(known) > stats.norm.ppf(0.975)) - 0.05) < slack(known.size)


def test_exact_variances_along_directions_are_those_measured():
    """And add up to the total where the directions are a basis."""
    subject = study(Case(GARNET, LINEAR, 2, (TO_GO,)), 100).subjects[0]
    assert subject.along.shape == (9, 8)
    total = subject.along_variance[:8] / np.sum(subject.along[:8] ** 2, axis=1)
    assert total.sum() == pytest.approx(subject.values["variance"], rel=1e-10)


def test_what_has_no_formula_is_that_of_the_reference_run():
    """Of an estimator with one, the run agrees with it: 20 000 replicates, four standard errors."""
    prepared = study(Case(SHORT, SOFTMAX, 4, (RLOO, ("gae_learned", {}))), 20_000)
    known, learned = prepared.subjects
    assert known.exact
    assert not learned.exact
    assert np.isnan(learned.along_variance).all()
    assert learned.values["steps"] > known.values["steps"]  # the critic's data count too
    other = study(Case(SHORT, SOFTMAX, 4, (RLOO,)), 20_000).subjects[0]
    assert other.values == known.values


@pytest.mark.parametrize("estimator", [TO_GO, RLOO], ids=["tables", "batches"])
def test_repetitions_are_the_replicates_in_order(estimator):
    prepared = study(Case(GARNET, LINEAR, 2, (estimator,)), 100)
    (subject,) = prepared.subjects
    draws = Draws(5, 2, 30, seed=0, stream=0)
    own = (prepared.truth, subject.estimator, subject.given)
    pieces = list(repetitions(*own, draws, 7))
    assert [len(steps) for _, steps in pieces] == [30] * 7
    ((whole, _),) = repetitions(*own, replace(draws, replicates=210), 1)
    assert np.concatenate([g for g, _ in pieces]).tobytes() == whole.tobytes()


def test_command_writes_its_tables(tmp_path, capsys):
    case = Case(("bandit", {"n_actions": 2}), LINEAR, 1, (REINFORCE,))
    path = tmp_path / "tables.md"
    options = ["--repetitions", "4", "--replicates", "50", "--reference", "500"]
    assert main([*options, "--output", str(path)], [case], [case]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.strip() == capsys.readouterr().out.strip()
    rows = [line for line in text.splitlines() if line.startswith("| bandit | loglinear | rein")]
    assert len(rows) == 2
    assert rows[0].count("|") == len(COLUMNS) + len(WHERE) + 2


def test_documented_table_is_of_these_cases():
    text = (Path(__file__).parents[1] / "docs" / "validity.md").read_text(encoding="utf-8")
    assert text.startswith(LEGEND)
    assert all(f" {column} |" in text for column in COLUMNS)
    width = len(COLUMNS) + len(WHERE) + 2
    rows = [line for line in text.splitlines() if line.count("|") == width]
    assert len(rows) == 2 * (2 + sum(len(case.estimators) for case in CASES))


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.problem[0]}-{case.policy[0]}-{case.batch_size}"
)
def test_the_study(case):
    """500 repetitions of 1000 replicates: of 100 runs at most five give a wrong interval."""
    for repeated in measured(case, 1000, 500, 200_000):
        for name in COVERED:
            for guarded in (True, False)[: 1 + (name in GUARDED)]:
                found = repeated.coverage(name, guarded)
                wrong = (found.known - found.hits) / found.total
                assert wrong < 0.05 + slack(found.total), (name, guarded, str(found))
        p = repeated.p[np.isfinite(repeated.p)]
        if p.size > 250:
            assert abs(np.mean(p < 0.05) - 0.05) < slack(p.size)


@pytest.mark.slow
@pytest.mark.parametrize("case", RATES, ids=lambda case: case.problem[0])
def test_fitted_rates_cover(case):
    with single_threaded_blas():
        for label, share in rates(case, 1000, 300):
            assert share.share > 0.95 - slack(share.known), (label, str(share))
