"""Growth with size: fitted exponents, their intervals, and what the figure and table hold."""

import numpy as np
import pytest
from scipy import stats

from pgbench.grid.reader import parse_grid
from pgbench.harness.runner import execute
from pgbench.report import scaling
from pgbench.report.page import write_report
from pgbench.report.panels import NothingToDraw
from pgbench.report.scaling import exponents, fit_power_law, quantities
from tests.support.numbers import close
from tests.support.runs import unpublished

SIZES = np.repeat([10.0, 100.0, 1000.0, 10000.0], 3)


def test_exponent_of_an_exact_power_law():
    law = fit_power_law(SIZES, 7 * SIZES**1.5)
    close([law.exponent, law.constant], [1.5, 7.0], 1e-9)
    # The interval is made of 1 - R², of which only rounding is left.
    close([law.low, law.high], [1.5, 1.5], 1e-7)
    assert law.points == 12
    assert law.label == "1.50 [1.50, 1.50]"
    assert fit_power_law(SIZES, 7 * SIZES**-0.5).label == "−0.50 [−0.50, −0.50]"
    assert fit_power_law(SIZES, np.full(12, 2.0) * (1 + 1e-9)).label == "0.00 [0.00, 0.00]"


def test_the_interval_is_that_of_students_t():
    """Of the slope from three points, whose scatter has one degree of freedom."""
    x, y = np.array([1.0, 10.0, 100.0]), np.array([2.0, 11.0, 130.0])
    line = stats.linregress(np.log(x), np.log(y))
    half = stats.t.ppf(0.975, 1) * line.stderr
    law = fit_power_law(x, y)
    found = [law.exponent, law.low, law.high]
    close(found, [line.slope, line.slope - half, line.slope + half])


def covered(rng, spread):
    """Share of 2000 intervals that hold the exponent when log y scatters by ``spread(S)``."""
    hits = 0
    for _ in range(2000):
        y = 3 * SIZES**0.8 * np.exp(spread(SIZES) * rng.standard_normal(SIZES.size))
        law = fit_power_law(SIZES, y)
        hits += law.low <= 0.8 <= law.high
    return hits / 2000


def test_intervals_cover_the_exponent_as_often_as_they_say():
    """Four standard errors of 2000 trials around 95 %; scatter that grows with S breaks it."""
    error = np.sqrt(0.95 * 0.05 / 2000)
    rate = covered(np.random.default_rng(1), lambda S: 0.7)
    assert abs(rate - 0.95) < 4 * error
    rate = covered(np.random.default_rng(1), lambda S: 0.01 + 2.0 * (S > 5000))
    assert rate < 0.95 - 4 * error


def test_what_cannot_be_fitted_is_left_out():
    y = 2 * SIZES
    y[:3] = [np.nan, 0.0, -1.0]
    law = fit_power_law(SIZES, y)
    close(law.exponent, 1.0, 1e-9)
    assert law.points == 9
    two = fit_power_law([10, 100], [1.0, 10.0])
    close(two.exponent, 1.0, 1e-9)
    assert np.isnan(two.low)
    assert two.label == "1.00"
    assert fit_power_law([10, 10], [1.0, 2.0]).label == "–"


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    grid = parse_grid("""
name: t
problems:
  - {problem: garnet, n_states: [4, 8, 16], gamma: 0.7, instances: 2}
  - {problem: chain, length: [2, 30], gamma: 0.5}
estimators: [reward_to_go, {estimator: gae, lam: 0.9}]
batch_sizes: [2, 4]
replicates: 100
""")
    with unpublished():
        return execute(grid, tmp_path_factory.mktemp("run")).tree.to_dataset()


def test_quantities_are_those_of_the_dataset(summary):
    own = summary.isel(batch_size=0)
    found = quantities(summary)
    np.testing.assert_array_equal(
        found["relative variance"].value[:6], own["exact_relative_variance"].values[:6]
    )
    np.testing.assert_array_equal(
        found["relative bias"].value[:6], own["exact_relative_bias"].values[:6]
    )
    per_step = found["seconds per step"].value * own["steps"].values
    np.testing.assert_allclose(per_step, found["seconds per estimate"].value, rtol=1e-12)


def test_measured_bias_stands_in_for_an_unknown_exact_one(summary):
    without = summary.copy(deep=True)
    without["exact_relative_bias"][:] = np.nan
    measured = without["relative_bias"].values[..., 0]
    found = quantities(without)["relative bias"].value
    np.testing.assert_array_equal(np.isfinite(found), measured > 1e-12)
    np.testing.assert_array_equal(found[np.isfinite(found)], measured[measured > 1e-12])


def test_measured_variance_without_an_interval_is_left_out(summary):
    """Exponents do not rest on what the replicates cannot have seen; the exact one is no such."""
    without = summary.copy(deep=True)
    without["relative_variance_low"][0] = np.nan
    without["exact_relative_variance"][:2] = np.nan
    found = quantities(without)["relative variance"].value
    assert np.isnan(found[0]).all()
    measured = without["relative_variance"].values[..., 0]
    np.testing.assert_array_equal(found[1], measured[1])
    np.testing.assert_array_equal(
        found[2:6], summary["exact_relative_variance"].values[2:6, :, :, 0]
    )


def test_figure_holds_marks_lines_and_exponents(summary):
    drawing = scaling.scaling(summary)
    axes = drawing.figure.axes
    assert len(axes) == 2 * 4
    assert [ax.get_ylabel() for ax in axes[:4]] == list(quantities(summary))
    law = fit_power_law(
        summary["n_states"].values[:6], summary["exact_relative_variance"].values[:6, 0, 0, 0]
    )
    texts = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert f"p = {law.label}" in texts
    assert len(texts) == 2
    (line,) = [x for x in axes[0].lines if x.get_label() == f"p = {law.label}"]
    np.testing.assert_allclose(line.get_xdata(), [4, 16])
    np.testing.assert_allclose(
        line.get_ydata(), law.constant * np.array([4.0, 16.0]) ** law.exponent
    )
    assert "2 trajectories" in drawing.caption


@pytest.mark.usefixtures("unrendered")
def test_table_holds_the_same_exponents(summary, tmp_path):
    names, rows = exponents(summary)
    assert names == list(quantities(summary))
    assert [(row[0], row[1]) for row in rows][:2] == [
        ("garnet × softmax", "reward_to_go"),
        ("garnet × softmax", "gae[lam=0.9]"),
    ]
    law = fit_power_law(
        summary["n_states"].values[:6], summary["exact_relative_variance"].values[:6, 0, 0, 0]
    )
    assert rows[0][3] == law.label
    assert rows[0][2] == "4 to 16"
    from xarray import DataTree

    text = write_report(DataTree(summary), tmp_path).read_text(encoding="utf-8")
    assert f'<td class="n">{law.label}</td>' in text


def test_a_single_size_has_no_growth(summary):
    with pytest.raises(NothingToDraw, match="several sizes"):
        scaling.scaling(summary.isel(problem=[0, 1]))
    assert exponents(summary.isel(problem=[0, 1]))[1] == []
