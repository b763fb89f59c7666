"""Linear-quadratic problems as a user meets them: grid, run, dataset, report, listing."""

import numpy as np
import pytest

from pgbench.__main__ import main
from pgbench.exact import evaluate, optimal_regulator
from pgbench.grid.reader import GridError, parse_grid
from pgbench.harness.runner import Interrupted, execute
from pgbench.policies import make_policy
from pgbench.problems import make_problem
from pgbench.report import linear_quadratic
from pgbench.report.plots import plots
from pgbench.results import dataset as results
from pgbench.results.dataset import same_numbers
from tests.support.runs import StopAfter

GRID = """
name: small
seed: 4
horizon: 12
replicates: 300
batch_sizes: [1, 4]
problems:
  - lqg
  - {problem: lqg_random, n: 3, m: 2}
  - {problem: garnet, n_states: 4}
policies:
  - {policy: gaussian, gain: -0.4, variance: [0.05, 0.2, 1.0], floor: 0.001}
  - softmax
theta: {init: zeros}
estimators: [reward_to_go, baseline_value, rloo, pathwise, actor_critic]
ascent:
  steps: 20
  replicates: 3
  points: 8
  batch_sizes: 8
  algorithms:
    - {algorithm: gradient, estimators: [exact, baseline_value], step_sizes: [0.0002, 10.0]}
    - {algorithm: natural, estimators: [exact, baseline_value], step_sizes: 0.001}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The grid run once."""
    return execute(parse_grid(GRID), tmp_path_factory.mktemp("results"))


def test_nothing_fails_and_what_makes_no_sense_is_skipped(run):
    assert run.failed == 0
    tree = run.tree
    message = tree["message"].sel(problem="lqg", policy="softmax").values
    assert all("softmax is a policy for finite problems, lqg is linear-quadratic" in m
               for m in message.ravel())  # fmt: skip
    own = tree["message"].isel(problem=2).sel(policy="softmax")
    assert "pathwise is for linear-quadratic problems" in str(own.sel(estimator="pathwise").values)
    other = tree["message"].sel(problem="lqg").isel(policy=0).sel(estimator="actor_critic").values
    assert "actor_critic is for finite problems" in str(other)


def test_the_dataset_knows_sizes_and_optima(run):
    tree = run.tree
    problem = list(tree["problem"].values)
    assert tree["state_dimension"].values.tolist() == [1, 3, 0]
    assert tree["action_dimension"].values.tolist() == [1, 2, 0]
    assert tree["n_states"].values.tolist() == [0, 0, 4]
    best = tree["optimal_objective"].isel(problem=0, policy=0)
    assert float(best) == optimal_regulator(make_problem("lqg")).objective
    assert problem[0] == "lqg"


def test_measured_variances_are_the_exact_ones(run):
    tests = run.tree["variance_test_p_holm"].values
    assert np.isfinite(tests).sum() > 10
    assert np.nanmin(tests) > 1e-3
    assert np.nanmin(run.tree["code_test_p_holm"].values) > 1e-3


def test_landscapes_are_exact(run):
    node = next(n for n in run.tree["maps"].children.values() if "landscape_objective" in n)
    land = node.to_dataset()
    mdp = make_problem("lqg")
    policy = make_policy("gaussian", mdp)
    for i, j in ((1, 3), (30, 40), (60, 60)):
        theta = [float(land["landscape_gain"][j]), float(land["landscape_variance"][i])]
        truth = evaluate(mdp, policy, theta)
        assert float(land["landscape_objective"][i, j]) == pytest.approx(truth.objective)
        np.testing.assert_allclose(land["landscape_gradient"][i, j], truth.gradient, rtol=1e-9)
        np.testing.assert_allclose(
            land["landscape_natural_gradient"][i, j], truth.natural_gradient(), rtol=1e-9
        )


def test_paths_and_outcomes_are_kept(run):
    ascent = run.tree["ascent"].to_dataset()
    own = ascent.sel(problem="lqg", step_size="0.0002").isel(policy=0, algorithm=0)
    np.testing.assert_array_equal(own["theta"][0, 0, :2], [-0.4, 0.05])
    policy = make_policy("gaussian", make_problem("lqg"))
    last = own["theta"].values[0, -1, :2]
    truth = evaluate(policy.problem, policy, last)
    assert float(own["objective"][0, -1]) == pytest.approx(truth.objective, rel=1e-9)
    wild = ascent.sel(problem="lqg", step_size="10").isel(algorithm=0)
    assert (wild["outcome"].values[:3, 0] == 4).all()
    assert (wild["unstable_share"].values[:3] == 1).all()
    assert (wild["diverged_share"].values[:3] == 0).all()


def test_landscapes_are_drawn_with_paths_from_every_start(run):
    drawing = plots("run")["landscape"].draw(run.tree)
    assert drawing.caption
    axes = drawing.figure.axes[:2]
    assert [ax.get_title() for ax in axes] == ["plain gradient", "natural gradient"]
    starts = [line for ax in axes for line in ax.lines if line.get_marker() == "o"]
    assert len(starts) == 6
    assert {tuple(line.get_xydata()[0]) for line in starts} == {
        (-0.4, 0.05), (-0.4, 0.2), (-0.4, 1.0)
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in plots("run") if name != "landscape"])
def test_figures_are_drawn(run, name):
    drawing = plots("run")[name].draw(run.tree)
    assert drawing.caption
    (ax,) = drawing.figure.axes
    by_style = {line.get_linestyle() for line in ax.lines}
    assert {"-", "None"} <= by_style
    marked = [x for x in ax.lines if x.get_linestyle() == "None" and x.get_xdata().size]
    assert len(marked) == 3
    assert all(line.get_xdata().tolist() == [0.05, 0.2, 1.0] for line in marked)


@pytest.mark.usefixtures("unpublished")
def test_other_runs_have_no_such_figures(tmp_path):
    text = "name: other\nreplicates: 2\nhorizon: 2\nproblems: bandit\nestimators: reinforce\n"
    tree = execute(parse_grid(text), tmp_path).tree
    for plot in plots("run").values():
        with pytest.raises(linear_quadratic.NothingToDraw):
            plot.draw(tree)


@pytest.mark.usefixtures("unpublished")
def test_interruption_and_threads_change_no_byte(run, tmp_path):
    grid = parse_grid(GRID)
    with pytest.raises(Interrupted):
        execute(grid, tmp_path, threads=1, progress=StopAfter(3))
    again = execute(grid, tmp_path, threads=1)
    assert again.reused > 0
    assert same_numbers(run.tree, again.tree) == []


def test_the_dataset_reads_back(run):
    tree, notes = results.read_noted(run.directory)
    assert notes == []
    assert same_numbers(run.tree, tree) == []


@pytest.mark.usefixtures("unrendered")
def test_commands(tmp_path, capsys):
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    assert main(["check", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "dimensions of linear-quadratic ones" in shown
    assert "pathwise is for linear-quadratic problems" in shown
    output = ["--output", str(tmp_path / "r"), "--reports", str(tmp_path / "p")]
    quick = GRID.replace("replicates: 300", "replicates: 20").replace("batch_sizes: [1, 4]", "")
    quick = quick.replace("[0.05, 0.2, 1.0]", "0.2")
    for line in ("  - {problem: lqg_random, n: 3, m: 2}", "  - {problem: garnet, n_states: 4}",
                 "  - softmax"):  # fmt: skip
        quick = quick.replace(line + "\n", "")
    path.write_text(quick)
    assert main(["run", str(path), "--quiet", *output]) == 0
    page = (tmp_path / "p" / "small" / "index.html").read_text()
    for words in ("Plain against natural gradient", "left the stable region", "state dimension"):
        assert words in page
    capsys.readouterr()
    assert main(["show", str(tmp_path / "r" / "small"), "--problem", "lqg"]) == 0
    assert "pathwise" in capsys.readouterr().out
    assert main(["show", str(tmp_path / "r" / "small"), "--ascents"]) == 0
    assert main(["horizons", str(path), *output]) == 0


@pytest.mark.usefixtures("unpublished")
def test_an_unstable_theta_fails_its_cells_with_the_radius(tmp_path):
    text = GRID.replace("theta: {init: zeros}", "theta: {values: [0.5, 1.0]}")
    text = text.replace("gain: -0.4, variance: [0.05, 0.2, 1.0], ", "")
    tree = execute(parse_grid(text.split("ascent:")[0]), tmp_path).tree
    message = str(
        tree["message"].sel(problem="lqg").isel(policy=0, estimator=0, batch_size=0).values
    )
    assert "A + BK has the spectral radius 1.5, must be below" in message


def test_a_wrong_matrix_is_located():
    text = GRID.replace("  - lqg\n", '  - {problem: lqg, A: "1 x"}\n')
    with pytest.raises(
        GridError, match=r"grid.yaml:8:23: problems\.0\.lqg\.A: '1 x' is not of the"
    ):
        parse_grid(text)
