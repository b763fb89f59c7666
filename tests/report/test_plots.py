"""Figures are found by their files and keep their places on the page."""

import pytest
import xarray as xr

from pgbench.grid.reader import parse_grid
from pgbench.problems import families
from pgbench.report.plots import Plot, plots
from pgbench.report.style import problem_titles
from pgbench.results.coordinates import setting_coordinates

PAGE = {
    "run": "landscape exploration",
    "estimators": "groups mismatch penalties ranking bias causes scaling sweeps rmse rates"
    " direction calibration p_values",
    "ascents": "length suboptimality pooled returns map sizes outcomes gradient noise cosine"
    " entropy",
}


@pytest.mark.parametrize("of", PAGE)
def test_the_order_of_the_page(of):
    found = plots(of)
    assert [name.removeprefix("ascent_") for name in found] == PAGE[of].split()
    assert len({plot.order for plot in found.values()}) == len(found)
    assert all(plot.summary and not plot.parameters for plot in found.values())


def test_a_file_with_a_figure_is_all_there_is_to_adding_one(monkeypatch, tmp_path):
    import pgbench.report

    (tmp_path / "one_more.py").write_text(
        "from pgbench.report.plots import Plot\n"
        "def draw(summary):\n    'A line.'\n"
        "plot = Plot('one_more', 'One more', draw, order=0)\n"
    )

    class Mine(Plot):
        """Nobody has asked for records of this class before."""

    monkeypatch.setattr(pgbench.report, "__path__", [*pgbench.report.__path__, str(tmp_path)])
    monkeypatch.setattr("pgbench.report.plots.Plot", Mine)
    assert [*plots("estimators")] == ["one_more"]


def test_problems_go_by_what_their_family_declares(tmp_path):
    text = "name: t\nproblems: [{problem: gymnasium, id: [a, b]}, {problem: file, path: c/d.npz}]\n"
    grid = parse_grid(text + "estimators: td\n")
    titles = problem_titles(xr.Dataset(coords=setting_coordinates(grid)))
    assert [*titles.values()] == ["a", "b", "c/d.npz"]
    files = {"cassandra", "explicit", "file", "mdptoolbox"}
    assert {f.name for f in families().values() if f.named_by} >= {"gymnasium", *files}
