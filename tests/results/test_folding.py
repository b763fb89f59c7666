"""Axes of settings that a grid names besides, folded into that of policies."""

import numpy as np
import pytest
import xarray as xr

from pgbench.grid.reader import parse_grid
from pgbench.harness.runner import execute
from pgbench.results.folding import folded, folded_tree

GRID = """
name: t
problems: [bandit, {problem: garnet, n_states: 3, gamma: 0.7}]
policies: [softmax, loglinear]
samplers: [on_policy, {sampler: top_k, k: 1}, {sampler: mixture, weight: 0.5}]
estimators: [reward_to_go, importance_sampling]
batch_sizes: [2, 4]
horizon: 3
replicates: 16
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return execute(parse_grid(GRID), tmp_path_factory.mktemp("run")).tree


def test_a_policy_with_a_sampler_is_a_policy(tree):
    wide, data = tree.to_dataset(), folded(tree.to_dataset())
    assert "sampler" not in data.sizes
    assert data.sizes["policy"] == 6
    labels = [str(label) for label in data["policy"].values]
    assert labels[:2] == ["softmax, on_policy", "softmax, top_k[k=1]"]
    assert data["sampler_name"].dims == data["sampler"].dims == ("policy",)
    for name in ("variance", "objective", "rmse_rate", "kept_mass", "status"):
        assert data[name].dims == tuple(d for d in wide[name].dims if d != "sampler")
        for j, label in enumerate(labels):
            policy, sampler = label.split(", ")
            own = wide[name].sel(policy=policy, sampler=sampler)
            np.testing.assert_array_equal(data[name].isel(policy=j).values, own.values)
    assert str(data["sampler"].values[4]) == "top_k[k=1]"
    assert data["gamma"].dims == ("problem",)
    np.testing.assert_array_equal(data["gamma"].values, wide["gamma"].values)
    assert data.attrs == wide.attrs


def test_maps_go_by_the_same_names(tree):
    data = folded_tree(tree)
    labels = {str(label) for label in data["policy"].values}
    assert {node.attrs["policy"] for node in data["maps"].children.values()} == labels
    assert set(data["maps"].children) == set(tree["maps"].children)
    assert tree["maps/bandit softmax on_policy"].attrs["policy"] == "softmax"


def test_what_names_no_more_axes_is_left_alone():
    data = xr.Dataset({"x": (("problem", "policy"), np.zeros((1, 2)))})
    assert folded(data) is data
    tree = xr.DataTree(data)
    assert folded_tree(tree) is tree
