"""A grid that names objectives, run from one end to the other."""

import numpy as np
import pytest

from pgbench.declared.outcomes import Status
from pgbench.exact.finite.soft_optimum import soft_optimum
from pgbench.grid.plan import settings
from pgbench.grid.reader import parse_grid
from pgbench.harness.runner import execute
from pgbench.report import write_report
from pgbench.results.folding import folded

PLAIN = """
name: t
problems: {problem: sequences, verifier: parity, length: 3, prompts: 2}
policies: [softmax, loglinear]
estimators: [reward_to_go, {estimator: penalty_in_loss, form: [k1, k2]}]
batch_sizes: [2, 8]
replicates: 400
"""
NAMED = PLAIN + "objectives: [J, {objective: kl, beta: 0.5}, entropy]\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return execute(parse_grid(NAMED), tmp_path_factory.mktemp("run")).tree


@pytest.fixture(scope="module")
def summary(tree):
    return tree.to_dataset()


def test_cells_of_j_are_those_of_a_grid_that_names_none():
    plain = {cell.key for s in settings(parse_grid(PLAIN)) for cell in s.cells}
    named = [s for s in settings(parse_grid(NAMED)) if s.objective.name == "J"]
    assert {cell.key for s in named for cell in s.cells} == plain
    others = {cell.key for s in settings(parse_grid(NAMED)) for cell in s.cells} - plain
    assert len(others) == 2 * len(plain)


def test_the_dimension_stands_after_the_policy(summary):
    assert summary["bias"].dims == ("problem", "policy", "criterion", "estimator", "batch_size")
    assert summary["criterion"].values.tolist() == ["J", "kl[beta=0.5]", "entropy"]
    assert summary["criterion_name"].values.tolist() == ["J", "kl", "entropy"]


def test_the_truth_is_that_of_the_objective(summary):
    for setting in settings(parse_grid(NAMED)):
        truth, own = (
            setting.prepare().truth,
            summary.sel(policy=setting.policy.label, criterion=setting.objective.label),
        )
        assert own["objective"].item() == pytest.approx(truth.objective, rel=1e-12)
        if penalty := truth.penalty:
            best = soft_optimum(penalty.plain, penalty.coefficient, penalty.reference)
            assert own["optimal_objective"].item() == pytest.approx(best.objective, rel=1e-9)
            assert own["optimal_objective"].item() > own["objective"].item()


def test_what_is_estimated_is_the_objectives_gradient(summary):
    told = summary.sel(estimator="reward_to_go")
    assert np.abs(told["exact_relative_bias"]).max() < 1e-12
    assert (told["bias_test_p_holm"] > 1e-3).all()
    k1 = summary.sel(estimator="penalty_in_loss[form=k1]", criterion="kl[beta=0.5]")
    assert (k1["exact_relative_bias"] > 0.05).all()
    assert (k1["exact_bias_own_penalty"] > 0).all()


def test_without_a_penalty_nobody_differentiates_it(summary):
    assert (summary["status"].sel(criterion="J")[..., 1:, :] == Status.SKIPPED).all()
    message = str(summary["message"].sel(criterion="J")[..., 1:, :].values.ravel()[0])
    assert message == "the objective has no penalty, as kl and entropy have"


@pytest.mark.usefixtures("unrendered")
def test_figures_have_an_objective_in_the_policys_label(tree, summary, tmp_path):
    assert folded(summary)["policy"].values.tolist()[1] == "softmax, kl[beta=0.5]"
    assert "softmax, kl[beta=0.5]" in write_report(tree, tmp_path).read_text("utf-8")
