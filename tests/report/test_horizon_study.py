"""The figure of a study of horizons: drawn from what there is, exact where it computes."""

import numpy as np
import pytest

from pgbench.grid.reader import parse_grid
from pgbench.harness.horizon_study import study
from pgbench.report.horizon_study import error_at_cost, horizons, messages, write_study
from pgbench.report.panels import NothingToDraw, save
from pgbench.report.style import theme

GRID = """
name: t
problems: [{problem: garnet, n_states: [3, 5], gamma: 0.7, instances: 2}, corridor]
policies: [softmax, loglinear]
estimators: [reward_to_go, {estimator: gae, lam: 0.9}, visitation_q]
"""


@pytest.fixture(scope="module")
def found():
    return study(parse_grid(GRID))


def test_the_page_holds_figure_caption_and_what_is_missing(found, tmp_path):
    path = write_study(found, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert '<svg role="img"' in text
    assert "Drawn are 6 of 10 settings" in text
    assert "it draws its horizon at random" in text
    assert (tmp_path / "figures" / "horizons.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "figures" / "horizons.svg").read_bytes()


def test_a_study_with_gaps_is_drawn(found, tmp_path):
    gappy = found.copy(deep=True)
    for name in ("relative_bias", "relative_variance", "relative_truncation_bias"):
        gappy[name].values[0, :, 0] = np.nan
        gappy[name].values[1, :, :, 5:] = np.nan
        gappy[name].values[2, :, :, ::2] = np.nan
    gappy["relative_variance"].values[4, :, 1] = 0.0
    with theme():
        save(horizons(gappy).figure, tmp_path / "gaps")
    assert (tmp_path / "gaps.png").stat().st_size > 10_000


def test_a_study_without_a_curve_says_so(found, tmp_path):
    empty = found.copy(deep=True)
    empty["relative_variance"].values[:] = np.nan
    with pytest.raises(NothingToDraw), theme():
        horizons(empty)
    text = write_study(empty, tmp_path).read_text(encoding="utf-8")
    assert "Not drawn: no estimator has exact moments, or the gradient is zero." in text
    assert not (tmp_path / "figures" / "horizons.png").exists()


def test_a_problem_of_one_step_has_no_figure():
    one_step = study(
        parse_grid("name: t\nproblems: {problem: bandit, n_actions: 4}\nestimators: reinforce\n")
    )
    with pytest.raises(NothingToDraw, match="one step is all there is"), theme():
        horizons(one_step)


def test_what_is_missing_is_said_once(found):
    assert messages(found) == [
        "visitation_q in 8 settings: it draws its horizon at random",
        "visitation_q in 2 settings: gamma is 1, so no horizon can be drawn at random",
    ]
    same = found.copy(deep=True)
    same["message"].values[0, 0] = "the policy makes no sense"
    same["message"].values[1, 1, 0] = "too large"
    told = messages(same)
    assert told[0] == "garnet[n_states=3, gamma=0.7] × softmax: the policy makes no sense"
    assert told[1].startswith("visitation_q in 7 settings: ")
    assert "reward_to_go in garnet[n_states=3, gamma=0.7, seed=1] × loglinear: too large" in told


def test_the_error_at_equal_cost_is_that_of_more_and_shorter_rollouts():
    H = np.array([1.0, 5.0, 10.0, 200.0, np.nan])
    bias, variance = np.array([[0.5, 0.1, 0.01, 0.0, np.nan], [1.0, 4.0, 9.0, 9.0, np.nan]])
    error = error_at_cost(H, 10.0, bias, variance, H, budget=16)
    expected = [0.25 + 1 / 160, 0.01 + 4 / 32, 1e-4 + 9 / 16]
    np.testing.assert_allclose(error[:3] ** 2, expected)
    assert np.isnan(error[3:]).all()  # a rollout of 200 steps costs more than 16 of 10
    assert np.isnan(error_at_cost(H, 7.0, bias, variance, H, budget=16)).all()
