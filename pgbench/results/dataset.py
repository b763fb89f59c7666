"""The dataset on disk: written in one piece, read back or built again, compared."""

import warnings
from pathlib import Path
from typing import Any

import h5py  # noqa: F401 - loaded with the rest, not by xarray when memory may be short
import numpy as np
import xarray as xr

from pgbench.declared.ascents import ASCENT
from pgbench.declared.summary import SUMMARY
from pgbench.grid.grid import Grid
from pgbench.grid.reader import parse_grid
from pgbench.results.build import build
from pgbench.results.files import OutputError, write_file
from pgbench.results.journal import NAME as JOURNAL_NAME
from pgbench.results.journal import Journal
from pgbench.results.labelled import validate
from pgbench.results.netcdf import read_tree, tree_bytes

NAME = "results.nc"

ROOM = 2**25
"""Bytes that making a file takes beside twice the data: the file, and the buffer that grows."""


def write(tree: xr.DataTree, directory: Path) -> Path:
    """Write ``results.nc`` in one piece: readers see the old file or the new one, never a part."""
    path = directory / NAME
    try:
        write_netcdf(tree, path)
    except OutputError as error:
        raise OutputError(
            f"{error}; the journal is complete, so the same command writes it once there is room"
        ) from error
    return path


def write_netcdf(data: xr.DataTree | xr.Dataset, path: Path) -> None:
    """Write a tree or dataset to a file in one piece; OutputError where there is no room for it.

    The file is made in memory: HDF5 ends the process where a disk fills up under it.
    """
    needed = 2 * data.nbytes + ROOM
    try:
        # It would end it where memory does, too, so that is asked for once, at the outset.
        bytearray(needed)
    except MemoryError as error:
        raise OutputError(
            f"{path} cannot be made: it takes {needed / 2**20:.0f} MiB of memory"
        ) from error
    write_file(path, tree_bytes(data if isinstance(data, xr.DataTree) else xr.DataTree(data)))


def read(path: str | Path) -> xr.DataTree:
    """The dataset of a run: variables by problem, policy, estimator and batch size.

    Parameters
    ----------
    path
        The run's directory, such as ``results/demo``, or the file ``results.nc`` in it. Where the
        file is missing or older than the journal, the dataset is made from that, with a warning.

    Returns
    -------
    xarray.DataTree
        In memory: the summary at the root, ascents in ``ascent``, per-coordinate arrays in
        ``maps``; ``.to_dataset()`` of any of them is an xarray.Dataset.

    Raises
    ------
    OutputError
        A ValueError if there are no results.
    """
    path = Path(path)
    tree, notes = read_noted(path.parent if path.name == NAME else path)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return tree


def read_noted(directory: Path) -> tuple[xr.DataTree, list[str]]:
    """The dataset of a run's directory, in memory, and notes about anything unusual.

    Where ``results.nc`` is missing, damaged or older than the journal it is built again from it.

    Raises
    ------
    OutputError
        If the directory holds neither.
    """
    path, source = directory / NAME, directory / JOURNAL_NAME
    notes: list[str] = []
    try:
        if source.stat().st_mtime_ns > path.stat().st_mtime_ns:
            raise ValueError(f"{path} is older than the journal")
        tree = read_tree(path)
        validate(tree)
        return tree, notes
    except (OSError, ValueError, KeyError):
        journal = Journal.read(directory)
        grid = last_grid(journal)
        if path.exists():
            notes.append(f"{path} is damaged or out of date; the journal is read instead")
        return build(grid, journal), notes + journal.notes


def last_grid(journal: Journal) -> Grid:
    """The grid that was run last; OutputError where none was, GridError where it is not valid."""
    directory = journal.path.parent
    if not journal.grids:
        raise OutputError(f"{directory} holds no results yet")
    last = journal.grids[-1]
    return parse_grid(last["text"], str(directory / "grid.yaml"), last["contents"])


def same_numbers(a: xr.DataTree, b: xr.DataTree) -> list[str]:
    """Names of reproducible variables and coordinates that differ in any byte."""
    differing = []
    paths = sorted({node.path for tree in (a, b) for node in tree.subtree})
    for path in paths:
        try:
            left, right = a[path].to_dataset(), b[path].to_dataset()
        except KeyError:
            differing.append(path)
            continue
        names: list[Any] = sorted({*left.variables, *right.variables}, key=str)
        for name in names:
            schema = {"/": SUMMARY, "/ascent": ASCENT}.get(path, {})
            if name in schema and not schema[name].reproducible:
                continue
            if name not in left or name not in right or not _identical(left[name], right[name]):
                differing.append(f"{path.rstrip('/')}/{name}")
    return differing


def _identical(a: xr.DataArray, b: xr.DataArray) -> bool:
    if a.dtype.kind in "OUT":
        return bool(np.array_equal(a.values.astype(str), b.values.astype(str)))
    return a.dtype == b.dtype and a.shape == b.shape and a.values.tobytes() == b.values.tobytes()
