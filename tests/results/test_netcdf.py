"""Files of trees: the same as xarray's, written and read without a walk per variable."""

import h5py
import pytest
import xarray as xr

from pgbench.grid.reader import parse_grid
from pgbench.harness.runner import execute
from pgbench.results.netcdf import read_tree, tree_bytes
from tests.support.runs import unpublished

ESTIMATORS = """
name: t
problems: [{problem: garnet, n_states: 3, gamma: 0.7}, corridor]
policies: softmax
estimators: [reward_to_go, rloo]
batch_sizes: [2, 4]
replicates: 20
ascent: {steps: 4, replicates: 2, points: 3, algorithms: gradient, step_sizes: 0.1,
         estimators: reward_to_go}
"""

ASCENTS = """
name: t
problems: {problem: lqg, A: 1, B: 1, Q: 1, R: 1, gamma: 0.9}
policies: gaussian
ascent: {steps: 4, points: 3, algorithms: gradient, estimators: exact, step_sizes: 0.1}
"""


@pytest.fixture(scope="module", params=[ESTIMATORS, ASCENTS], ids=["estimators", "ascents"])
def tree(request, tmp_path_factory):
    with unpublished():
        return execute(parse_grid(request.param), tmp_path_factory.mktemp("run")).tree


def looks(tree):
    """Everything about a tree that identity in xarray does not ask for."""
    return {
        node.path: [
            [(name, type(value)) for name, value in node.attrs.items()],
            [(name, v.dtype, v.dims, repr(v.attrs)) for name, v in node.variables.items()],
            [*node.coords],
        ]
        for node in tree.subtree
    }


def test_a_file_is_read_as_xarray_reads_it(tree, tmp_path):
    tree.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "t.nc", engine="h5netcdf") as opened:
        expected = opened.load()
    found = read_tree(tmp_path / "t.nc")
    xr.testing.assert_identical(found, expected)
    assert looks(found) == looks(expected)


def test_xarray_reads_what_is_written_as_what_it_writes_itself(tree, tmp_path):
    tree.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    (tmp_path / "own.nc").write_bytes(tree_bytes(tree))
    with (
        xr.open_datatree(tmp_path / "t.nc", engine="h5netcdf") as theirs,
        xr.open_datatree(tmp_path / "own.nc", engine="h5netcdf") as own,
    ):
        xr.testing.assert_identical(own.load(), theirs.load())
        assert looks(own) == looks(theirs)


def test_no_two_dimensions_have_a_number(tree, tmp_path):
    (tmp_path / "own.nc").write_bytes(tree_bytes(tree))
    with h5py.File(tmp_path / "own.nc") as file:
        numbers = []
        file.visititems(
            lambda _, own: (
                numbers.append(int(own.attrs["_Netcdf4Dimid"])) if "CLASS" in own.attrs else None
            )
        )
    assert len(set(numbers)) == len(numbers)


def test_the_same_tree_gives_the_same_bytes(tree):
    assert tree_bytes(tree) == tree_bytes(tree)


def test_a_damaged_file_is_no_tree(tree, tmp_path):
    (tmp_path / "t.nc").write_bytes(tree_bytes(tree)[:-4000])
    with pytest.raises((OSError, ValueError, KeyError)):
        read_tree(tmp_path / "t.nc")
