"""A grid that names samplers, run from one end to the other."""

import numpy as np
import pytest

from pgbench.__main__ import main
from pgbench.declared.summary import AXES, SUMMARY, dimension
from pgbench.exact.finite.ratios import effective_share
from pgbench.grid import plan
from pgbench.grid.grid import DEFAULTS, MORE
from pgbench.grid.plan import settings
from pgbench.grid.reader import parse_grid
from pgbench.harness.horizon_study import study
from pgbench.harness.runner import execute
from pgbench.harness.tasks import Shard
from pgbench.report import write_report
from pgbench.report.declared import verdicts
from pgbench.report.horizon_study import write_study
from pgbench.report.tables import estimator_rows
from pgbench.results import dataset as results
from pgbench.results.folding import folded
from tests.support.runs import unpublished

PLAIN = """
name: t
problems: [{problem: garnet, n_states: 4, gamma: 0.7}, lqg]
policies: [softmax, gaussian]
estimators: [reward_to_go, importance_sampling, rloo, spsa]
batch_sizes: [2, 8]
horizon: 8
replicates: 200
"""
TWO = PLAIN + "samplers: [on_policy, {sampler: temperature, value: 0.6}]\n"
THREE = (
    PLAIN + "samplers: [on_policy, {sampler: temperature, value: 0.6}, {sampler: top_k, k: 1}]\n"
)


@pytest.fixture(scope="module", autouse=True)
def _small_portions():
    """Cells of 8 trajectories are large: they come in portions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "PORTION_STEPS", 2**12)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The grid with two samplers run, then with a third one: the second run, and both trees."""
    folder = tmp_path_factory.mktemp("run")
    first = execute(parse_grid(TWO), folder)
    return first, execute(parse_grid(THREE), folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with unpublished():
        return execute(parse_grid(PLAIN), tmp_path_factory.mktemp("plain"))


def garnet(tree):
    return tree.to_dataset().isel(problem=0, policy=0)


def test_axes_are_named_once_everywhere():
    assert tuple(map(dimension, DEFAULTS)) == AXES
    assert [*MORE] == [*DEFAULTS][: len(MORE)]


def test_one_sampler_more_runs_no_old_cell_again(run):
    first, second = run
    assert first.measured == 20
    assert second.measured == 6
    assert second.reused == first.measured
    assert first.failed == second.failed == 0
    old, new = garnet(first.tree), garnet(second.tree)
    for name in ("variance", "bias", "exact_bias", "objective"):
        kept = new[name].isel(sampler=[0, 1])
        np.testing.assert_array_equal(old[name].values, kept.values)


def test_cells_of_the_policy_itself_are_those_of_the_grid_without_samplers(run, plain):
    """Run in its directory they are found; here every number is the same."""
    own, alone = run[1].tree.to_dataset().isel(sampler=0), plain.tree.to_dataset()
    assert "sampler" not in alone.coords
    assert {name for name in SUMMARY if name not in alone.data_vars} == {
        name for name, variable in SUMMARY.items() if variable.axis
    }
    for name, array in alone.data_vars.items():
        if SUMMARY[name].reproducible and not name.endswith("holm"):
            np.testing.assert_array_equal(own[name].values, array.values, err_msg=name)


def test_the_dataset_has_the_axis(run):
    data = run[1].tree.to_dataset()
    assert data["variance"].dims == ("problem", "policy", "sampler", "estimator", "batch_size")
    assert data["objective"].dims == ("problem", "policy", "sampler")
    assert [str(s) for s in data["sampler"].values] == [
        "on_policy",
        "temperature[value=0.6]",
        "top_k[k=1]",
    ]
    assert [str(s) for s in data["sampler_name"].values] == ["on_policy", "temperature", "top_k"]
    assert "garnet[n_states=4, gamma=0.7] softmax top_k[k=1]" in run[1].tree["maps"].children


def test_numbers_are_right(run):
    """Means and variances are those expected, ratios unbiased, and what is lost is told."""
    own = garnet(run[1].tree)
    assert float(own["code_test_p_holm"].min()) > 0.01
    assert float(own["variance_test_p_holm"].min()) > 0.01
    temperature = own.sel(sampler="temperature[value=0.6]", batch_size=8)
    horizon = float(own["truncation_bias"][0])
    exact = temperature["exact_relative_bias"]
    np.testing.assert_allclose(exact.sel(estimator="importance_sampling"), horizon, rtol=1e-9)
    assert float(exact.sel(estimator="reward_to_go")) > 10 * horizon
    assert float(temperature["bias_test_p_holm"].sel(estimator="reward_to_go")) < 1e-6
    assert np.isnan(float(exact.sel(estimator="rloo")))
    kept = own["kept_mass"].values
    assert kept[0] == kept[1] == 1
    assert 0 < kept[2] < 0.9
    assert own["effective_sample_share"].values[0] == 1
    truth = settings(parse_grid(TWO))[1].prepare().truth
    share = float(own["effective_sample_share"].values[1])
    assert share == effective_share(truth, 8)
    assert 0 < share < 1
    parts = own.sel(estimator="reward_to_go", batch_size=8)["exact_bias_sampler"].values
    assert np.isnan(parts[0])
    assert (parts[1:] > 0).all()
    ratios = own.sel(estimator="importance_sampling", batch_size=8)["exact_bias_support"].values
    assert np.isnan(ratios[:2]).all()
    assert ratios[2] > 0


def test_what_cannot_have_a_sampler_is_skipped_with_its_reason(run):
    data = run[1].tree.to_dataset()
    status, message = data["status"], data["message"]
    quadratic = {"problem": "lqg", "policy": "gaussian", "batch_size": 2}
    assert int(status.sel(**quadratic, sampler="on_policy", estimator="reward_to_go")) == 1
    there = message.sel(**quadratic, sampler="top_k[k=1]", estimator="reward_to_go")
    assert str(there.values) == "the sampler top_k is for finite problems, lqg is linear-quadratic"
    spsa = message.isel(problem=0, policy=0, sampler=1, batch_size=0).sel(estimator="spsa")
    assert str(spsa.values).startswith("spsa takes no sampler's data: its rollouts are drawn by")


@pytest.mark.usefixtures("unpublished")
def test_shards_make_the_same_bytes(run, tmp_path):
    """Apart, joined, and what waited for the portions of both made then."""
    grid = parse_grid(THREE)
    for number in (1, 2):
        execute(grid, tmp_path / str(number), shard=Shard(number, 2))
    runs = [str(tmp_path / str(number) / "t") for number in (1, 2)]
    assert main(["merge", *runs, "--output", str(tmp_path / "whole")]) == 0
    whole = execute(grid, tmp_path / "whole")
    assert results.same_numbers(whole.tree, run[1].tree) == []
    assert whole.measured + whole.reused + whole.skipped == 96


def test_the_dataset_is_read_back(run):
    tree, notes = results.read_noted(run[1].directory)
    assert notes == []
    assert results.same_numbers(tree, run[1].tree) == []


@pytest.mark.usefixtures("unrendered")
def test_the_report_shows_every_sampler_and_believes_the_estimators(run, tmp_path):
    tree = run[1].tree
    page = write_report(tree, tmp_path).read_text(encoding="utf-8")
    assert "garnet[n_states=4, gamma=0.7] × softmax, top_k[k=1]" in page
    data = folded(tree.to_dataset())
    answers = {verdict.label: verdict.answer for verdict in verdicts(data)}
    assert answers.pop("spsa") == "not tested"
    assert set(answers.values()) == {"yes"}
    words = {row["label"]: row["bias"] for row in estimator_rows(data)}
    assert "data come from another policy" in words["reward_to_go"]
    assert "data come from another policy" not in words["importance_sampling"]
    assert "left out by a sampler" in words["importance_sampling"]
    wrong = data.copy(deep=True)
    wrong["exact_relative_bias"] += 0.1
    answers = {v.label: v.answer for v in verdicts(wrong)}
    assert answers["reward_to_go"] == answers["importance_sampling"] == "no"


def test_show_prints_samplers(run, capsys):
    assert main(["show", str(run[1].directory), "--problem", "garnet", "--policy", "top_k"]) == 0
    printed = capsys.readouterr().out
    assert "softmax," in printed
    assert "top_k[k=1]" in printed


def test_check_prints_samplers(tmp_path, capsys):
    path = tmp_path / "grid.yaml"
    path.write_text(THREE, encoding="utf-8")
    assert main(["check", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "softmax, top_k[k=1]" in printed
    assert "the sampler top_k is for finite problems" in printed


def test_list_samplers(capsys):
    assert main(["list", "samplers"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("temperature", "top_p", "logit_noise"))
    assert "garnet" not in printed


@pytest.mark.usefixtures("unrendered")
def test_a_study_of_horizons_has_the_axis_too(tmp_path):
    found = study(parse_grid(TWO))
    assert found["relative_bias"].dims == ("problem", "policy", "sampler", "estimator", "point")
    own = found.isel(problem=0, policy=0).sel(estimator="importance_sampling")
    drawn = own["expected_steps"].values
    np.testing.assert_array_equal(own["status"].values, 1)
    assert np.isfinite(drawn).any()
    plain = found.isel(problem=0, policy=0).sel(estimator="reward_to_go")["relative_bias"].values
    last = np.isfinite(plain[0]).sum() - 1
    assert plain[0, last] < 0.01
    assert plain[1, last] > 0.1
    page = write_study(found, tmp_path).read_text(encoding="utf-8")
    assert "lqg × gaussian, temperature[value=0.6]" in page
