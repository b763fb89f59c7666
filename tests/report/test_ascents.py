"""The part of the report that is about ascents."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from xarray import DataTree

from pgbench.grid.reader import parse_grid
from pgbench.harness.runner import execute
from pgbench.report import write_report
from pgbench.report.ascents import comparisons, paths, section
from pgbench.report.ascents.runs import best, rule_labels, runs
from pgbench.report.panels import NothingToDraw
from pgbench.report.plots import plots
from pgbench.report.style import theme
from pgbench.results.coordinates import ascent_coordinates
from tests.support.runs import unpublished

GRID = """
name: t
horizon: 10
problems: {problem: garnet, n_states: [3, 5, 8], gamma: 0.8}
policies: [softmax, direct]
theta: {init: zeros}
ascent:
  steps: 30
  replicates: 5
  points: 10
  step_sizes: [0.1, 1, 3]
  batch_sizes: 2
  algorithms:
    - {algorithm: gradient, estimators: [exact, reward_to_go]}
    - {algorithm: natural, estimators: exact, step_sizes: [0.1, {step_size: kl, radius: 0.1}]}
    - {algorithm: actor_critic, critic_step: [0.1, 0.3, 100]}
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    with unpublished():
        return execute(parse_grid(GRID), tmp_path_factory.mktemp("r"))


@pytest.fixture(scope="module")
def half(outcome):
    """The part of one policy: its page has every figure, and takes half the time."""
    return outcome.tree.isel(policy=[0], missing_dims="ignore")


@pytest.fixture
def ascent(outcome):
    return outcome.tree["ascent"].to_dataset().copy(deep=True)


def drawn(figure, ascent):
    with theme():
        drawing = figure(ascent)
        drawing.figure.draw_without_rendering()
    return drawing


def coloured(ax, run):
    return [line for line in ax.lines if to_hex(line.get_color()) == run.colour
            and line.get_linestyle() != "None"]  # fmt: skip


def test_lines_are_the_curves_of_the_dataset(ascent):
    few = ascent.isel(algorithm=[0, 1], step_size=[1])
    drawing = drawn(paths.suboptimality, few)
    ax = drawing.figure.axes[0]
    for run in runs(few):
        (line, *_) = coloured(ax, run)
        expected = few["suboptimality_iqm"].values[0, 0][run.place]
        shown = np.isfinite(line.get_ydata())
        assert shown.sum() > 5
        np.testing.assert_allclose(line.get_ydata()[shown], expected[shown])
        assert line.get_xdata()[0] == 0.5  # where the start stands
        np.testing.assert_array_equal(line.get_xdata()[1:], few["step"].values[1:])
    assert ax.get_title() == "garnet, n_states=3"


def test_bounds_are_drawn_where_they_come_into_view(ascent):
    few = ascent.isel(algorithm=[2], policy=[0])
    few["bound"].values[..., 5:] = few["suboptimality_iqm"].values[..., :1]
    drawing = drawn(paths.suboptimality, few)
    dashed = [line for line in drawing.figure.axes[0].lines if line.get_linestyle() == "--"]
    assert dashed
    labels = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert "proven bound on the run of that colour" in labels
    few["bound"].values[...] = 1e9
    labels = [t.get_text() for t in drawn(paths.suboptimality, few).figure.legends[0].get_texts()]
    assert "proven bound on the run of that colour" not in labels


def test_returns_show_the_goal(ascent):
    drawing = drawn(paths.returns, ascent)
    goals = ascent["goal"].values.ravel()
    for ax, goal in zip(drawing.figure.axes, goals.reshape(3, 2).T.ravel(), strict=False):
        assert any(np.allclose(line.get_ydata(), goal) for line in ax.lines)


def test_too_many_runs_are_reduced_to_the_best(ascent):
    chosen, note = best(ascent, limit=4)
    assert len(chosen) == 4
    assert "Drawn are 4 of" in note
    left = ascent["suboptimality_iqm"].values[..., -1] / ascent["suboptimality_iqm"].values[..., 0]
    for run in chosen:
        own = left[..., run.algorithm, :]
        mean = np.log10(np.clip(np.nan_to_num(own, nan=np.inf), 1e-12, 1e3)).mean(axis=(0, 1))
        assert mean[run.step_size] == mean[np.isfinite(mean)].min()


def test_the_map_shows_what_is_left(ascent):
    drawing = drawn(comparisons.step_map, ascent)
    ax = drawing.figure.axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.1", "1", "3"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["α_w = 100", "α_w = 0.3", "α_w = 0.1"]
    gap = ascent["suboptimality_iqm"].values[0, 0]
    table = (gap[..., -1] / gap[..., 0])[[5, 4, 3]][:, :3]
    np.testing.assert_allclose(
        ax.images[0].get_array(), np.clip(np.nan_to_num(table, nan=np.inf), 1e-3, 1)
    )
    assert sum(text.get_text() == "×" for text in ax.texts) >= 1  # α_w = 100 diverges


def test_fates_add_up():
    lost = [1, np.nan]
    gap = np.array([[1, 0.001], [1, 0.05], [1, 0.5], [1, 0.9], lost, lost, [np.nan, np.nan]])
    outcome = np.array([1, 1, 1, 2, 3, 4, 0])
    shares = comparisons._fates(gap, outcome)
    assert shares == pytest.approx([1 / 6] * 6)
    assert len(comparisons.FATES) == len(shares)


def test_sizes_need_three(ascent):
    drawing = drawn(comparisons.sizes, ascent)
    left = drawing.figure.axes[0]
    run = best(ascent)[0][0]
    steps = ascent["steps_to_10"].values[:, 0, run.algorithm, run.step_size]
    medians = np.median(np.where(np.isnan(steps), np.inf, steps), axis=1)
    some = [line.get_ydata() for line in coloured(left, run) if len(line.get_ydata())]
    if np.isfinite(medians).any():
        np.testing.assert_allclose(some[0], medians[np.isfinite(medians)])
    with pytest.raises(NothingToDraw, match="3 sizes"):
        comparisons.sizes(ascent.isel(problem=[0, 1]))


def test_step_sizes_in_words():
    rules = (
        "[0.1, {step_size: kl, radius: 0.01}, smoothness, {step_size: normalised, step: 0.5},"
        " {step_size: decaying, step: 0.5, power: 1}]"
    )
    climb = f"{{algorithms: gradient, estimators: exact, step_sizes: {rules}}}"
    grid = parse_grid(f"name: t\nproblems: corridor\nascent: {climb}\n")
    assert rule_labels(xr.Dataset(coords=ascent_coordinates(grid.ascent))) == [
        "α = 0.1",
        "KL 0.01",
        "smoothness",
        "normalised 0.5",
        "decaying 0.5 power=1",
    ]


def test_the_page_has_the_section_and_nothing_of_estimators(half, tmp_path):
    page = write_report(half, tmp_path).read_text(encoding="utf-8")
    assert '<h2 id="ascents">Ascents</h2>' in page
    assert "none is violated" in page
    assert "diverged" in page
    assert "Verdicts" not in page
    assert "No cell was measured" not in page
    assert "KL 0.1" in page
    for name in plots("ascents"):
        there = name != "ascent_length"  # no problem has a verifier
        assert (tmp_path / "figures" / f"{name}.png").exists() == there, name
    assert not (tmp_path / "figures" / "bias.png").exists()
    assert "{{" not in page


@pytest.mark.usefixtures("unpublished", "unrendered")
def test_figures_of_ascents_go_with_them(half, tmp_path):
    write_report(half, tmp_path)
    text = "name: t\nproblems: corridor\nestimators: td\nreplicates: 20\nhorizon: 9\n"
    other = execute(parse_grid(text), tmp_path / "results")
    page = write_report(other.tree, tmp_path).read_text(encoding="utf-8")
    assert "Ascents" not in page
    assert not (tmp_path / "figures" / "ascent_returns.png").exists()


@pytest.mark.usefixtures("unrendered")
def test_violated_checks_are_told(half, tmp_path):
    tree = half.copy(deep=True)
    ascent = tree["ascent"].to_dataset()
    ascent["violations_bound"].values[0, 0, 2, 0] = 3
    tree["ascent"] = DataTree(ascent)
    page = write_report(tree, tmp_path).read_text(encoding="utf-8")
    assert "Failed checks, 1 of" in page
    assert "the proven bound on J* - J(θ_k): violated at 3 logged iterates" in page
    assert "violated: the proven bound" in page


def test_unknown_goals_are_told(ascent):
    ascent["goal_kind"].values[0, 0] = section.UPPER
    ascent["goal_kind"].values[1, 0] = section.UNKNOWN
    told = " ".join(section.sentences(ascent))
    assert "optimum over all policies, which the class may never reach" in told
    assert "no optimum is known" in told


def test_nothing_to_draw(ascent):
    ascent["suboptimality_iqm"].values[...] = np.nan
    with pytest.raises(NothingToDraw, match="no ascent of the run has what it shows"):
        paths.suboptimality(ascent)
    exact = ascent.isel(algorithm=[0])
    exact["outcome"].values[..., 1:] = 0
    exact["snr"].values[...] = np.nan
    for figure in (paths.noise, comparisons.outcomes):
        with pytest.raises(NothingToDraw, match="no ascent of the run was sampled"):
            figure(exact)
