"""Tests of comparing runs: what is the same, what differs by chance, and what differs."""

import numpy as np
import pytest
from scipy import stats

from pgbench.declared.outcomes import Status
from pgbench.grid.reader import parse_grid
from pgbench.harness.runner import execute
from pgbench.results.comparing import MEASURED, compare
from pgbench.statistics import holm
from tests.support.runs import unpublished

GRID = """
name: t
problems: [{problem: garnet, n_states: 5}, {problem: chain, length: 3}]
policies: [softmax, {policy: loglinear, n_features: 3}]
estimators: [reward_to_go, {estimator: gae, lam: [0, 0.5], critic_noise: 0.5}, rloo]
theta: {init: zeros}
horizon: 12
batch_sizes: [2, 8]
replicates: 300
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The grid with two seeds, of which the second runs other estimators too."""
    folder = tmp_path_factory.mktemp("runs")
    fixed = GRID.replace("garnet,", "garnet, seed: 1,")
    texts = (fixed, fixed.replace("rloo]", "rloo, td]") + "seed: 4\n")
    with unpublished():
        return [
            execute(parse_grid(text), folder / str(i)).tree.to_dataset()
            for i, text in enumerate(texts)
        ]


def test_a_run_is_the_same_as_itself(runs):
    found = compare(runs[0], runs[0])
    assert (found.paired, found.only_a, found.only_b) == (32, 0, 0)
    assert found.identical
    assert not found.differs
    assert found.smallest_p == 1
    assert all(own.ratio == 1 and not own.differs for own in found.speeds)


def test_other_seeds_differ_by_chance_alone(runs):
    found = compare(*runs)
    assert (found.paired, found.only_a, found.only_b) == (32, 0, 8)
    assert not found.identical
    assert not found.differs
    assert found.tests > 150
    assert found.smallest_p > 0.05
    assert found.seeds == (0, 4)
    assert compare(runs[0], runs[0]).seeds is None


def test_scores_are_standard_normal_where_nothing_differs(runs):
    """A standard error that is wrong by a fifth would show."""
    a, b = runs
    b = b.sel(estimator=a["estimator"])
    z = (b["variance"] - a["variance"]) / np.hypot(a["variance_se"], b["variance_se"])
    # One batch size, as cells of a setting share trajectories.
    assert 0.6 < float(z.std()) < 1.4
    p = 2 * stats.norm.sf(np.abs(z.values))
    assert np.nanmin(holm(p)) > 0.05


def test_what_is_wrong_is_found_and_named(runs):
    """The variance of one estimator is that of half as many trajectories, in one setting."""
    a, b = runs[0], runs[1].copy(deep=True)
    place = {"problem": 0, "policy": 1, "estimator": 3, "batch_size": 1}
    b["variance"][place] *= 2
    found = compare(a, b)
    assert found.differs
    (own,) = (d for d in found.measured if d.quantity == "variance")
    assert own.cell["estimator"] == "rloo"
    assert own.cell["batch_size"] == 8
    assert own.b == pytest.approx(2 * float(runs[1]["variance"][place]))
    assert own.z == pytest.approx(
        (own.b - own.a) / np.hypot(a["variance_se"][place], b["variance_se"][place]).item()
    )
    assert own.p < 0.05


def test_exact_numbers_differ_by_no_more_than_rounding(runs):
    a, b = runs[0], runs[0].copy(deep=True)
    b["objective"][0, 0] *= 1 + 1e-12
    assert not compare(a, b).exact
    b["objective"][0, 0] *= 1 + 1e-6
    (own,) = compare(a, b).exact
    assert (own.quantity, own.cell["policy"]) == ("objective", "softmax")
    assert np.isnan(own.p)


def test_cells_that_failed_in_one_run_are_not_pairs(runs):
    a, b = runs[0], runs[0].copy(deep=True)
    b["status"][0, 0, 0, 0] = int(Status.FAILED)
    found = compare(a, b)
    assert (found.paired, found.only_a, found.only_b) == (31, 1, 0)
    b["status"][:] = int(Status.FAILED)
    with pytest.raises(ValueError, match="no measured cell in common"):
        compare(a, b)


def test_runs_of_other_axes_are_not_compared(runs):
    other = runs[0].expand_dims({"sampler": ["on_policy"]}, axis=2)
    with pytest.raises(ValueError, match="different axes: problem, policy, estimator, batch_size,"):
        compare(runs[0], other)


def test_slower_estimators_are_found_where_most_cells_say_so(runs):
    a, b = runs[0], runs[0].copy(deep=True)
    rng = np.random.default_rng(0)
    b["seconds"] = b["seconds"] * np.exp(rng.normal(0, 0.1, b["seconds"].shape))
    assert not any(own.differs for own in compare(a, b).speeds)
    b["seconds"][:, :, 2] *= 1.5
    (slow,) = (own for own in compare(a, b).speeds if own.differs)
    assert slow.estimator == str(a["estimator"].values[2])
    assert slow.ratio == pytest.approx(1.5, rel=0.1)


def test_two_machines_are_named(runs):
    a, b = runs[0], runs[0].copy(deep=True)
    b.attrs["cpu"] = "another (64 cores)"
    assert compare(a, b).machines == (a.attrs["cpu"], "another (64 cores)")


def test_every_quantity_that_is_compared_has_an_error(runs):
    assert {f"{name}_se" for name in MEASURED} <= {*map(str, runs[0])}
