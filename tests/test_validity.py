"""Intervals and tests on real cells: how often they cover and raise a false alarm.

A short version of ``python -m pgbench.validity``; the slow tests are the study itself. Bounds are
four binomial standard errors of the nominal rate.
"""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pgbench import validity
from pgbench.sampling import single_threaded_blas
from pgbench.validity import CASES, COVERED, GARNET, IMAGES, LINEAR, NOISY, RATES, TO_GO, Case


def slack(n, rate=0.05):
    return 4 * np.sqrt(rate * (1 - rate) / n)


def measured(case, replicates, n):
    """The repetitions of a case, by estimator."""
    with single_threaded_blas():
        return validity.repeat(validity.study(case), replicates, n)


@pytest.fixture(scope="module")
def small():
    """Unbiased and biased estimators on a small garnet, 250 repetitions of 500 replicates."""
    return measured(Case(GARNET, LINEAR, 1, (TO_GO, NOISY)), 500, 250)


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
    """A variance a third off, and a cosine and a bias three times too large, are found out."""
    for name, factor in (("variance", 4 / 3), ("mse", 4 / 3), ("cosine", 3), ("bias", 3)):
        wrong = factor * small[1].subject.values[name]
        held = [s[name].low <= wrong <= s[name].high for s in small[1].summaries]
        assert np.mean(held) < 0.8, name


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
    study = validity.study(Case(GARNET, LINEAR, 2, (TO_GO,)))
    subject = study.subjects[0]
    assert subject.along.shape == (9, 8)
    total = subject.along_variance[:8] / np.sum(subject.along[:8] ** 2, axis=1)
    assert total.sum() == pytest.approx(subject.values["variance"], rel=1e-10)


def test_repetitions_are_the_replicates_in_order():
    study = validity.study(Case(GARNET, LINEAR, 1, (TO_GO, NOISY)))
    tables = [s.tables for s in study.subjects]
    draws = validity.Draws(5, 1, 30, seed=0, stream=0)
    pieces = list(validity.repetitions(study.truth, tables, draws, 7))
    assert [len(steps) for _, steps in pieces] == [30] * 7
    whole = list(
        validity.repetitions(study.truth, tables, validity.replace(draws, replicates=210), 1)
    )
    for e in range(2):
        joined = np.concatenate([gradients[e] for gradients, _ in pieces])
        assert joined.tobytes() == whole[0][0][e].tobytes()


def test_command_writes_its_tables(tmp_path, monkeypatch, capsys):
    case = Case(("bandit", {"n_actions": 2}), LINEAR, 1, (validity.REINFORCE,))
    monkeypatch.setattr(validity, "CASES", (case,))
    monkeypatch.setattr(validity, "RATES", (case,))
    path = tmp_path / "tables.md"
    assert validity.main(["--repetitions", "4", "--replicates", "50", "--output", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.strip() == capsys.readouterr().out.strip()
    rows = [line for line in text.splitlines() if line.startswith("| bandit | reinforce | 8 ")]
    assert len(rows) == 2
    assert rows[0].count("|") == len(validity.COLUMNS) + 5


def test_documented_table_is_of_these_cases():
    text = (Path(__file__).parents[1] / "docs" / "validity.md").read_text(encoding="utf-8")
    assert text.startswith(validity.LEGEND)
    assert all(f" {column} |" in text for column in validity.COLUMNS)
    rows = [line for line in text.splitlines() if line.count("|") == len(validity.COLUMNS) + 5]
    assert len(rows) == 2 * (2 + sum(len(case.estimators) for case in CASES))


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.problem[0]}-{case.policy[0]}-{case.batch_size}"
)
def test_the_study(case):
    """500 repetitions of 1000 replicates, as in the documentation: where given, intervals cover."""
    for repeated in measured(case, 1000, 500):
        for name in COVERED:
            found = repeated.coverage(name)
            if found.known:
                assert found.share > 0.95 - slack(found.known), (name, str(found))
        p = repeated.p[np.isfinite(repeated.p)]
        if p.size > 250:
            assert abs(np.mean(p < 0.05) - 0.05) < slack(p.size)


@pytest.mark.slow
@pytest.mark.parametrize("case", RATES, ids=lambda case: case.problem[0])
def test_fitted_rates_cover(case):
    with single_threaded_blas():
        for label, share in validity.rates(case, 1000, 300):
            assert share.share > 0.95 - slack(share.known), (label, str(share))
