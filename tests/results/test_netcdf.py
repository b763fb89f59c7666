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


@pytest.fixture(scope="module")
def own(tree):
    """The bytes of our file."""
    return tree_bytes(tree)


@pytest.fixture(scope="module")
def theirs(tree, tmp_path_factory):
    """The file that xarray writes."""
    path = tmp_path_factory.mktemp("theirs") / "t.nc"
    tree.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture(scope="module")
def expected(theirs):
    """What xarray reads of it."""
    return opened(theirs)


def opened(path):
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        return tree.load()


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


def test_a_file_is_read_as_xarray_reads_it(theirs, expected):
    found = read_tree(theirs)
    xr.testing.assert_identical(found, expected)
    assert looks(found) == looks(expected)


def test_xarray_reads_what_is_written_as_what_it_writes_itself(own, expected, tmp_path):
    (tmp_path / "own.nc").write_bytes(own)
    found = opened(tmp_path / "own.nc")
    xr.testing.assert_identical(found, expected)
    assert looks(found) == looks(expected)


def test_no_two_dimensions_have_a_number(own, tmp_path):
    (tmp_path / "own.nc").write_bytes(own)
    with h5py.File(tmp_path / "own.nc") as file:
        numbers = []
        file.visititems(
            lambda _, item: (
                numbers.append(int(item.attrs["_Netcdf4Dimid"])) if "CLASS" in item.attrs else None
            )
        )
    assert len(set(numbers)) == len(numbers)


def test_the_same_tree_gives_the_same_bytes(tree, own):
    assert tree_bytes(tree) == own


def test_a_damaged_file_is_no_tree(own, tmp_path):
    (tmp_path / "t.nc").write_bytes(own[:-4000])
    with pytest.raises((OSError, ValueError, KeyError)):
        read_tree(tmp_path / "t.nc")
