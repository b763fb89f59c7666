"""The report: every figure, one self-contained page, escaped, steady, honest about gaps."""

import re
from dataclasses import replace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from scipy import stats
from xarray import DataTree

from pgbench.cli.results_table import of_results
from pgbench.declared.summary import CELL, SUMMARY
from pgbench.declared.variables import on_axes
from pgbench.grid.reader import parse_grid
from pgbench.harness import measuring
from pgbench.harness.runner import execute
from pgbench.report import calibration, dots, extent, panels, write_report
from pgbench.report.causes import causes
from pgbench.report.declared import verdicts
from pgbench.report.panels import MOST_PIXELS, Drawing, NothingToDraw, save
from pgbench.report.plots import plots
from pgbench.report.selection import of_the_best
from pgbench.report.statistic import Statistic
from pgbench.report.style import problem_titles, shortened, styles, theme
from pgbench.report.tables import estimator_rows, number, p_value
from pgbench.results import dataset as results
from pgbench.results.coordinates import setting_coordinates
from pgbench.results.journal import Journal
from pgbench.statistics import holm
from tests.support.runs import unpublished

FIGURES = {name: plot for name, plot in plots("estimators").items() if plot.explained}

GRID = """
name: t
problems: [{problem: garnet, n_states: [3, 8], gamma: 0.7}, corridor]
policies: [softmax, loglinear]
estimators: [reward_to_go, {estimator: reward_to_go, discounted: false}, {estimator: gae, lam: 0.9}]
batch_sizes: [1, 4]
replicates: 120
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    with unpublished():
        return execute(parse_grid(GRID), tmp_path_factory.mktemp("run")).tree


@pytest.fixture
def small(tree):
    """One setting at one batch size: a report of it takes little time."""
    return tree.to_dataset().isel(problem=[0], policy=[0], batch_size=[1]).copy(deep=True)


def written(summary, directory):
    return write_report(DataTree(summary), directory).read_text(encoding="utf-8")


def of_one_policy(tree):
    """Half of the run: a report of it has every figure, and takes half the time."""
    return DataTree(tree.to_dataset().isel(policy=[1]))


@pytest.fixture(scope="module")
def page(tree, tmp_path_factory):
    return write_report(of_one_policy(tree), tmp_path_factory.mktemp("report"))


def test_every_figure_is_there_as_png_and_svg(page):
    for name in FIGURES:
        assert (page.parent / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (page.parent / "figures" / f"{name}.svg").read_bytes()


def test_formulas_are_those_of_the_parameters_of_the_run(tree):
    rows = {row["label"]: row["formula"] for row in estimator_rows(tree.to_dataset())}
    assert rows["reward_to_go"] == r"\sum_t \gamma^t \hat Q_t\,\psi_t"
    assert rows["reward_to_go[discounted=false]"] == r"\sum_t \hat Q_t\,\psi_t"


def test_the_page_holds_everything_it_shows(page):
    text = page.read_text(encoding="utf-8")
    assert text.count('<svg role="img"') == len(FIGURES)
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    formulas = [s for s in sources if s.startswith("data:image/svg+xml;base64,")]
    assert len(formulas) == 3
    # Images within figures are data, their parts are theirs, and the files are beside the page.
    assert all(s.startswith(("data:", "#", "figures/")) for s in sources)
    assert text.count("<script>") == 1
    assert "<script src" not in text
    assert "@import" not in text
    assert len(set(ids := re.findall(r'\bid="([^"]*)"', text))) == len(ids)


def test_the_page_says_what_was_found(page):
    text = page.read_text(encoding="utf-8")
    assert "3 of 3 estimators behave as they declare" in text
    assert "<b>18</b> measured" in text
    assert "garnet[n_states=8, gamma=0.7] × loglinear" in text
    assert "Baxter &amp; Bartlett 2001" in text
    assert GRID.splitlines()[2].split(":")[0] in text


@pytest.mark.usefixtures("unpublished", "unrendered")
def test_a_wrong_estimator_is_called_wrong(tmp_path, monkeypatch):
    """The verdict is not yes whatever happens: here the kernel weighs rewards twice."""
    make = measuring.make_subject

    def doubled(*given):
        subject = make(*given)
        tables = subject.tables
        return replace(subject, tables=replace(tables, sigma=2 * tables.sigma))

    monkeypatch.setattr(measuring, "make_subject", doubled)
    grid = GRID.replace("120", "400").replace(", loglinear", "").replace("[1, 4]", "4")
    text = written(execute(parse_grid(grid), tmp_path).tree.to_dataset(), tmp_path / "r")
    assert "3 of 3 estimators" not in text
    assert "its mean is not its own exact expectation" in text


@pytest.mark.usefixtures("unrendered", "one_figure")
def test_tables_of_a_large_run_are_cut_and_say_so(tree, tmp_path, monkeypatch):
    assert "results.nc holds" not in written(tree.to_dataset(), tmp_path / "all")
    monkeypatch.setattr(extent, "MOST_ROWS", 6)
    text = written(tree.to_dataset(), tmp_path / "cut")
    assert "Shown are the first 2 of 6 settings; results.nc holds all." in text
    assert text.count("<summary>garnet") + text.count("<summary>corridor") == 2


def test_captions_name_what_holds_all(tree, monkeypatch):
    assert extent.holder(tree.to_dataset()) == "the tables hold"
    monkeypatch.setattr(extent, "MOST_ROWS", 6)
    assert extent.holder(tree.to_dataset()) == "results.nc holds"


def test_no_image_is_longer_than_what_can_be_looked_at(tmp_path):
    with theme():
        save(Figure(figsize=(2, 200)), tmp_path / "long")
    assert max(plt.imread(tmp_path / "long.png").shape) == MOST_PIXELS


def test_a_legend_names_so_many_estimators_and_counts_the_others(tree, monkeypatch):
    monkeypatch.setattr(panels, "MOST_NAMED", 2)
    handles = panels.estimator_handles(tree.to_dataset(), np.ones(3, bool))
    assert [h.get_label() for h in handles][1:] == ["reward_to_go[discounted=false]", "and 1 more"]


def test_more_rows_than_fit_are_those_of_least_error(tree):
    with theme():
        drawing = of_the_best(dots.bias, most=2)(tree.to_dataset())
    assert "Drawn are the 2 of 3 estimators with the least error" in drawing.caption
    assert len(drawing.figure.axes[0].get_yticks()) == 2


def test_many_marks_are_an_image_and_the_file_stays_small(tree, tmp_path, monkeypatch):
    sizes = []
    for most in (10**4, 0):
        monkeypatch.setattr(calibration, "MOST_MARKS", most)
        with theme():
            save(calibration.calibration(tree.to_dataset()).figure, tmp_path / "c")
        sizes.append((tmp_path / "c.svg").read_text("utf-8").count("<image"))
    assert sizes[0] == 0 < sizes[1]


@pytest.mark.usefixtures("unrendered")
def test_text_from_the_data_is_escaped(small, tmp_path):
    summary = small.assign_coords(problem=["<script>x</script>"])
    summary.attrs["cpu"] = "<script>alert(1)</script>"
    text = written(summary, tmp_path)
    assert "<script>x" not in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text


def test_the_same_run_gives_the_same_figures(tree, page, tmp_path):
    again = write_report(of_one_policy(tree), tmp_path)
    for name in FIGURES:
        relative = f"figures/{name}.svg"
        assert (again.parent / relative).read_bytes() == (page.parent / relative).read_bytes()
    assert again.read_bytes() == page.read_bytes()


def test_an_estimator_looks_the_same_whatever_the_order(tree):
    summary = tree.to_dataset()
    turned = summary.isel(estimator=[2, 0, 1])
    assert styles(turned) == styles(summary)
    looks = [(s.colour, s.marker, str(s.line)) for s in styles(summary).values()]
    assert len(set(looks)) == 3


def test_a_partial_run_has_a_report(tree, tmp_path):
    grid = parse_grid(GRID)
    empty = results.build(grid, Journal(tmp_path / "j", [], []))
    text = write_report(empty, tmp_path / "empty").read_text(encoding="utf-8")
    assert "<b>36</b> missing" in text
    assert "No cell was measured" in text
    assert text.count("Not drawn:") == len(FIGURES)


@pytest.mark.usefixtures("unpublished", "unrendered")
def test_failed_cells_are_listed_with_their_messages(tmp_path, monkeypatch):
    def broken(*given):
        raise ArithmeticError("a < b & c")

    monkeypatch.setattr(measuring, "make_subject", broken)
    tree = execute(parse_grid(GRID), tmp_path).tree
    text = write_report(tree, tmp_path / "r").read_text(encoding="utf-8")
    assert "<b>36</b> failed" in text
    assert "ArithmeticError: a &lt; b &amp; c" in text


@pytest.mark.usefixtures("unpublished", "unrendered")
@pytest.mark.parametrize(
    "change", ["batch_sizes: [1, 4]/batch_sizes: 2", "n_states: [3, 8]/n_states: 3"]
)
def test_a_missing_axis_is_explained(tmp_path, change):
    grid = GRID.replace(*change.split("/")).replace(", loglinear", "")
    tree = execute(parse_grid(grid), tmp_path).tree
    text = write_report(tree, tmp_path / "r").read_text(encoding="utf-8")
    assert "Not drawn:" in text
    assert (tmp_path / "r" / "figures" / "bias.png").exists()


@pytest.mark.usefixtures("unpublished")
def test_a_gradient_of_zero_has_a_report(tmp_path):
    """With one arm the gradient vanishes and everything relative to it is undefined."""
    text = (
        "name: t\nproblems: {problem: bandit, n_actions: 1}\nestimators: [reinforce, td]\n"
        "batch_sizes: [1, 2]\nreplicates: 40\n"
    )
    tree = execute(parse_grid(text), tmp_path).tree
    assert np.isnan(tree["relative_bias"]).all()
    write_report(tree, tmp_path / "r")


UNRESOLVED = """
name: t
problems:
  - {problem: gridworld, size: 12, gamma: 0.1}
  - {problem: chain, length: 12}
policies: loglinear
estimators: [reinforce, rloo]
batch_sizes: [2, 4]
replicates: 60
horizon: 20
"""
"""The goal of the gridworld is out of reach, and what its gradient is has no digit that is known;
the chain's is small, too, but known."""

RELATIVE = (
    *("relative_bias", "exact_relative_bias", "relative_variance", "exact_relative_variance"),
    *("relative_rmse", "snr", "cosine", "ascent_probability", "truncation_bias", "tail_bias"),
)


@pytest.mark.usefixtures("unpublished", "unrendered")
def test_nothing_is_relative_to_a_gradient_that_may_be_zero(tmp_path):
    """Neither in the dataset nor on the page nor in the terminal, and each says why."""
    found = execute(parse_grid(UNRESOLVED), tmp_path)
    far, chain = (found.tree.to_dataset().isel(problem=i) for i in (0, 1))
    assert 0 < float(far["gradient_norm"].item()) <= float(far["gradient_error_bound"].item())
    assert 0 < float(chain["gradient_error_bound"].item()) < 1e-9 * chain["gradient_norm"].item()
    for name in RELATIVE:
        assert np.isnan(far[name]).all(), name
        assert not np.isnan(chain[name]).all(), name
    assert np.isfinite(far["exact_bias"]).all()
    note = str(far["gradient_note"].item())
    assert "cannot be told from zero" in note
    assert str(chain["gradient_note"].item()) == ""
    label = f"{far['problem'].item()} × loglinear"
    text = written(found.tree.to_dataset(), tmp_path / "r")
    assert f"∇J cannot be told from zero there: {label}." in text
    assert text.count("Nothing is relative to ‖∇J‖ here:") == 1
    _, notes = of_results(found.tree.to_dataset())
    assert notes == [f"{label}: nothing is relative to ‖∇J‖: {note}."]


def test_gaps_anywhere_leave_a_report(tree, tmp_path):
    """Every second cell is missing, and the estimator that others are compared with failed."""
    summary = tree.to_dataset().isel(problem=[0, 1], policy=[0]).copy(deep=True)
    gone = np.arange(summary["status"].size).reshape(summary["status"].shape) % 2 == 0
    gone[:, :, 0] = True
    for name, variable in on_axes(SUMMARY, ()).items():
        if variable.dims == CELL and summary[name].dtype.kind == "f":
            summary[name].values[gone] = np.nan
    summary["status"].values[gone] = 0
    text = written(summary, tmp_path)
    assert f"<b>{int((~gone).sum())}</b> measured" in text
    assert "2 of 2 estimators" in text
    assert "relative to the geometric mean of all" in text


@pytest.mark.usefixtures("unrendered", "one_figure")
def test_estimators_that_are_not_known_are_not_judged(small, tmp_path):
    small.attrs.pop("grid")
    text = written(small, tmp_path)
    assert "0 of 0 estimators" in text
    assert "Measured but not judged: reward_to_go, " in text


@pytest.mark.usefixtures("unrendered")
def test_the_caller_s_matplotlib_is_left_alone(small, tmp_path):
    before = dict(matplotlib.rcParams)
    written(small, tmp_path)
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []


def test_long_and_strange_labels_are_shortened(tree, tmp_path):
    """Dollar signs are no mathematics, and nothing is wider than its place."""
    labels = [f"file[path=/{'a' * 90}/$p$_{i}.npz]" for i in range(tree.sizes["problem"])]
    estimators = [f"mine[{'k=v, ' * 30}n={i}]" for i in range(tree.sizes["estimator"])]
    summary = tree.to_dataset().assign_coords(problem=labels, estimator=estimators)
    with theme():
        save(dots.bias(summary).figure, tmp_path / "bias")
    svg = (tmp_path / "bias.svg").read_text(encoding="utf-8")
    width = float(re.search(r'width="([0-9.]+)pt"', svg)[1])
    assert width < 72 * 14
    short = [shortened(label, 34) for label in estimators]
    assert all(len(text) == 34 for text in short)
    assert len(set(short)) == len(short)


@pytest.mark.parametrize("name", FIGURES)
def test_titles_do_not_run_into_each_other(tree, name):
    """Of policies with long names, side by side."""
    summary = tree.to_dataset()
    long = [f"gaussian[gain=-0.3, variance=0.0{j}, floor=0.001]" for j in range(2)]
    with theme():
        figure = FIGURES[name].draw(summary.assign_coords(policy=long)).figure
        figure.canvas.draw()
        texts = [ax.title for ax in figure.axes if ax.title.get_text()]
        boxes = [text.get_window_extent().padded(6) for text in texts]
    for k, box in enumerate(boxes):
        for text, other in zip(texts[:k], boxes[:k], strict=True):
            assert not box.overlaps(other), (texts[k].get_text(), text.get_text())


@pytest.mark.parametrize("name", ["bias", "rates", "rmse", "direction"])
def test_the_lowest_panel_of_every_column_has_numbers_on_its_axis(tree, name):
    """Of seven panels in rows of four the fourth has none below it."""
    summary = tree.to_dataset().isel(policy=[0], problem=[0, 1, 2, 0, 1, 2, 0])
    summary = summary.assign_coords(problem=[f"p{i}" for i in range(7)]).fillna(0.5)
    with theme():
        figure = FIGURES[name].draw(summary).figure
        figure.canvas.draw()
    named = [ax for ax in figure.axes if ax.get_xlabel()]
    assert len(named) == 4
    for ax in named:
        assert any(label.get_visible() and label.get_text() for label in ax.get_xticklabels())


def test_titles_of_problems_leave_out_what_is_shared():
    problems = "[{problem: garnet, n_states: [10, 20], gamma: 0.9}, corridor]"
    map_name = "{map_name: 8x8, is_slippery: false}"
    lake = f"{{problem: gymnasium, id: FrozenLake-v1, options: {map_name}}}"
    text = f"name: t\nproblems: [{problems[1:-1]}, {lake}]\nestimators: td\n"
    data = xr.Dataset(coords=setting_coordinates(parse_grid(text)))
    assert list(problem_titles(data).values()) == [
        "garnet, n_states=10",
        "garnet, n_states=20",
        "corridor",
        "FrozenLake-v1",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (np.nan, "—"),
        (-np.inf, "−∞"),
        (0.01234, "0.0123"),
        (23040.0, "23040"),
        (-1.5, "−1.5"),
        (1.84e-12, "1.84·10⁻¹²"),
        (1.8e8, "1.80·10⁸"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_far_tails_are_not_told_apart():
    assert p_value(1e-60) == p_value(0.0) == "< 10⁻¹⁶"
    assert p_value(0.034) == "0.034"
    assert p_value(np.nan) == "—"


def with_scores(tree, exact=1.0, shift=0.0):
    """A run with good z-scores, but for the first estimator's exact variance or shifted means."""
    summary = tree.to_dataset().copy(deep=True)
    summary["exact_variance"].values[:, :, 0] *= exact
    z, noise = np.random.default_rng(2).standard_normal((2, *summary["mean_z"].shape))
    z[:, :, 0] += shift
    summary["mean_z"].values[:] = z
    # Of variances that are known to 2 %.
    noise[:, :, 0] += (1 / exact - 1) / 0.02
    summary["variance_test_z"].values[:] = noise
    p = 2 * stats.norm.sf(np.abs(noise))
    summary["variance_test_p"].values[:] = p
    summary["variance_test_p_holm"].values[:] = holm(p)
    return summary


@pytest.mark.usefixtures("unrendered", "one_figure")
def test_a_right_variance_is_called_right(tree, tmp_path):
    text = written(with_scores(tree), tmp_path)
    assert "3 of 3 estimators behave as they declare" in text
    assert "z-scores of means follow the standard normal: smallest Holm p" in text
    assert "Measured variances were compared with exact variances in 36 of 36 cells" in text
    assert "Every one of 36 measured cells has an exact variance." in text


@pytest.mark.usefixtures("unrendered", "one_figure")
def test_a_variance_that_is_20_percent_off_is_called_wrong(tree, tmp_path):
    summary = with_scores(tree, exact=1.2)
    first, *others = verdicts(summary)
    assert first.answer == "no"
    assert first.objection == "its variance is not its own exact variance in 12 cells"
    assert all(verdict.answer == "yes" for verdict in others)
    assert first.objection in written(summary, tmp_path)


@pytest.mark.usefixtures("unrendered", "one_figure")
def test_shifted_means_are_not_standard_normal(tree, tmp_path):
    summary = with_scores(tree, shift=1.5)
    assert [v.normal_p < 0.05 for v in verdicts(summary)] == [True, False, False]
    text = written(summary, tmp_path)
    assert "z-scores of means do not follow the standard normal" in text


def test_cells_without_an_exact_variance_are_counted_with_their_reason(tree):
    summary = with_scores(tree)
    gone = (slice(None), slice(None), 1)
    for name in ("exact_variance", "mean_z", "variance_test_z"):
        summary[name].values[gone] = np.nan
    summary["exact_note"] = summary["exact_note"].astype(object)
    summary["exact_note"].values[gone] = "too large for exact moments: 9 GiB"
    summary["exact_note"].values[1, 0, 1] = "too large for exact moments: 7 GiB"
    with theme():
        caption = calibration.calibration(summary).caption
    assert (
        "12 of 36 measured cells have no exact variance: too large for exact moments (12)."
        in caption
    )


def test_what_has_no_interval_is_not_drawn_or_counted_with_one(tree):
    """It would be one of no length."""
    nan = np.nan
    x = Statistic(
        np.array([[1.0, 4.0], [4.0, 1.0]]),
        np.array([[-1.0, nan], [2.0, 0.5]]),
        np.array([[2.0, nan], [8.0, 2.0]]),
    )
    np.testing.assert_array_equal(x.positive.low, [[1.0, nan], [2.0, 0.5]])
    mean = x.geometric_mean()
    np.testing.assert_allclose(mean.value, [2.0, 2.0])
    assert np.isfinite(mean.low[0])
    assert np.isnan([mean.low[1], mean.high[1]]).all()
    summary = with_scores(tree)
    summary["variance_high"].values[0, 0, 0] = 0.5 * summary["exact_variance"].values[0, 0, 0]
    wrong = summary["variance_low"] > summary["exact_variance"]
    wrong |= summary["variance_high"] < summary["exact_variance"]
    for name in ("variance_low", "variance_high"):
        summary[name].values[wrong.values] = np.nan
    with theme():
        assert "100 % of the intervals hold" in calibration.calibration(summary).caption


def test_cells_without_an_interval_are_counted_with_their_reason(tree):
    summary = with_scores(tree)
    summary["variance_low"].values[1, 0, 1] = np.nan
    summary["interval_note"] = summary["interval_note"].astype(object)
    summary["interval_note"].values[1, 0, 1] = "rare events were not seen: 0.2 of the exact"
    count = int(np.isnan(summary["variance_low"].values).sum())
    with theme():
        caption = calibration.calibration(summary).caption
    assert f"{count} of 36 have no interval of the variance, RMSE or bias: " in caption
    assert "rare events were not seen (" in caption


@pytest.mark.parametrize("kept", ["exact_variance", "mean_z", "variance_test_z"])
def test_measured_against_exact_is_drawn_from_what_there_is(tree, tmp_path, kept):
    summary = with_scores(tree)
    for name in {"exact_variance", "mean_z", "variance_test_z"} - {kept}:
        summary[name].values[:] = np.nan
    with theme():
        save(calibration.calibration(summary).figure, tmp_path / kept)
    assert (tmp_path / f"{kept}.png").stat().st_size > 10_000


def test_a_bias_is_split_into_its_causes(tree):
    """reward_to_go without γ^t is the one estimator with a cause beside the horizon."""
    drawing = causes(tree.to_dataset())
    rows = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    assert rows == ["reward_to_go[discounted=false]"]
    with pytest.raises(NothingToDraw, match="beside that of the horizon"):
        causes(tree.to_dataset().isel(estimator=[0, 2]))


def test_lines_are_of_the_best_estimators_where_there_are_many(tree):
    summary = tree.to_dataset()
    names = [f"{label} {i}" for i in range(5) for label in summary["estimator"].values]
    many = summary.isel(estimator=[0, 1, 2] * 5).assign_coords(estimator=names)
    order = summary["relative_rmse"].isel(batch_size=-1).mean(("problem", "policy")).argsort()
    drawing = of_the_best(lambda s: Drawing(Figure(), " ".join(s["estimator"].values), ""))(many)
    drawn = drawing.caption.split(" Drawn are the 12 of 15")[0]
    best = summary["estimator"].values[order.values[0]]
    assert all(f"{best} {i}" in drawn for i in range(5))
    assert of_the_best(lambda s: Drawing(Figure(), "all", ""))(summary).caption == "all"
