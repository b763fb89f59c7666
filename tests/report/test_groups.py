"""The figure of groups: exact lines, measured marks, and where there is nothing to draw."""

import numpy as np
import pytest
import xarray as xr

from pgbench.estimators import find_estimator
from pgbench.grid.reader import parse_grid
from pgbench.harness.runner import execute
from pgbench.process.responses import Responses
from pgbench.report.groups import CHANCES, groups, outcome_weights
from pgbench.report.panels import NothingToDraw
from pgbench.results.coordinates import estimator_coordinates
from tests.support.runs import unpublished

GRID = """
name: t
problems: {problem: sequences, verifier: pattern, pattern: ["0", "01"], length: 3, prompts: 1}
estimators: [rloo, grpo, {estimator: pass_at_k, k: 4}, baseline_value]
batch_sizes: [2, 8]
replicates: 200
"""


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    with unpublished():
        return execute(parse_grid(GRID), tmp_path_factory.mktemp("run")).tree.to_dataset()


def test_lines_are_exact_and_marks_measured(summary):
    drawing = groups(summary)
    climbed, bias, noise, hard = drawing.figure.axes
    slopes = [line.get_ydata() for line in climbed.get_lines()]
    np.testing.assert_allclose(slopes[0], 1.0)
    np.testing.assert_allclose(slopes[2], 4 * (1 - CHANCES) ** 3, rtol=1e-9)
    at = int(np.argmin(np.abs(np.log(summary["success"].values[:, 0] / 0.3))))
    exact = summary["exact_relative_variance"].values[at, 0] * summary["batch_size"].values
    np.testing.assert_allclose(noise.get_lines()[0].get_ydata(), exact[0])
    assert "8" in climbed.get_title()
    assert bias.get_ylabel() == "bias over ‖∇J‖"
    assert len(hard.get_lines()) >= 4


def test_without_a_verifier_nothing_is_drawn(summary):
    unsaid = summary.assign(success=summary["success"] * np.nan)
    with pytest.raises(NothingToDraw, match="no problem of the run has a verifier"):
        groups(unsaid)
    with pytest.raises(NothingToDraw):
        groups(summary.sel(estimator=["baseline_value"]))
    with pytest.raises(NothingToDraw, match="a single batch size"):
        groups(summary.isel(batch_size=[0]))


def test_weights_of_a_label_have_its_parameters():
    own = Responses(
        np.array([[[1.0, 0.0, 0.0]]]), np.ones((1, 1, 3)), np.zeros((1, 1, 3), bool), None, 1
    )
    weights = find_estimator("grpo").weights
    entries = "[{estimator: grpo, std: false, eps: 0.5, correction: 0}, {estimator: reward_to_go, "
    text = f"name: t\nproblems: corridor\nestimators: {entries}baseline: [0, 1]}}]\n"
    made = xr.Dataset(coords=estimator_coordinates(parse_grid(text)))
    found = outcome_weights(made, 0)(own)
    np.testing.assert_array_equal(found, weights(own, std=False, eps=0.5, correction=0))
    assert outcome_weights(made, 1) is None
