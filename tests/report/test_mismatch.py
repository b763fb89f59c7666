"""The figure of samplers: which it finds, exact lines, and where there is nothing to draw."""

import numpy as np
import pytest

from pgbench.grid.reader import parse_grid
from pgbench.harness.runner import execute
from pgbench.report.mismatch import mismatch, sweeps
from pgbench.report.panels import NothingToDraw
from pgbench.results.folding import folded
from tests.support.runs import unpublished

GRID = """
name: t
problems: {problem: sequences, verifier: pattern, pattern: ["0", "01"], length: 3, prompts: 1}
policies: [softmax, loglinear]
samplers:
  - {sampler: temperature, value: 1.5}
  - on_policy
  - {sampler: logit_noise, scale: 0.5}
  - {sampler: logit_noise}
  - {sampler: temperature, value: 0.5}
  - {sampler: top_k, k: 2}
estimators: [rloo, {estimator: importance_ratio, level: sequence}]
batch_sizes: [2, 8]
replicates: 200
"""


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    with unpublished():
        run = execute(parse_grid(GRID), tmp_path_factory.mktemp("run"))
    return folded(run.tree.to_dataset())


def test_a_sampler_with_several_values_is_found_and_ends_at_the_policy_itself(summary):
    heat, noise = sweeps(summary)
    assert (heat.name, heat.parameter) == ("temperature", "value")
    np.testing.assert_array_equal(heat.x, [0.5, 1.0, 1.5])
    np.testing.assert_array_equal(heat.policies, [4, 1, 0])
    # A default stands for its value; the policies are those of the first one.
    np.testing.assert_array_equal(noise.x, [0.0, 0.1, 0.5])
    np.testing.assert_array_equal(noise.policies, [1, 3, 2])


def test_lines_are_exact_and_the_policy_itself_keeps_all(summary):
    figure = mismatch(summary).figure
    bias, noise, kept = figure.axes[0], figure.axes[2], figure.axes[4]
    exact = summary["exact_relative_bias"].values[0, [4, 1, 0], :, -1].T
    lines = [line for line in bias.get_lines() if len(line.get_xdata()) == 3]
    np.testing.assert_allclose(lines[0].get_ydata(), exact[0])
    assert exact[0, 0] > 1e-3
    assert exact[1].max() < 1e-12
    exact = summary["exact_relative_variance"].values[0, [4, 1, 0], 1, -1]
    drawn = [line.get_ydata() for line in noise.get_lines()]
    assert any(len(y) == 3 and np.allclose(y, exact) for y in drawn)
    share = kept.get_lines()[0].get_ydata()
    assert share[1] == 1.0 > max(share[0], share[2])


def test_what_is_the_same_for_all_does_not_count(summary):
    named = [s.replace("logit_noise[scale=0.5]", "logit_noise[scale=0.5, seed=1]").replace(
        "logit_noise", "logit_noise[scale=0.1, seed=1]") if s == "logit_noise" else s.replace(
        "scale=0.5", "scale=0.5, seed=1") for s in map(str, summary["sampler"].values)]  # fmt: skip
    found = sweeps(summary.assign_coords(sampler=("policy", named)))
    assert [sweep.parameter for sweep in found] == ["value", "scale"]


def test_without_several_values_nothing_is_drawn(summary):
    with pytest.raises(NothingToDraw, match="no sampler is in the run with several values"):
        mismatch(summary.isel(policy=[1, 5]))
    assert sweeps(summary.drop_vars("sampler")) == []
