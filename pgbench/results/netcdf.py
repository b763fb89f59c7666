"""Trees to netCDF files and back, in a time that grows with what they hold.

xarray does both through h5netcdf, which looks every dimension up again for whatever is done with a
variable. To write the maps of hundreds of settings so takes most of the time of publishing a run;
to read them takes minutes, for HDF5 walks the file to tell the name of a dimension. Here dimensions
are known by the numbers that netCDF gives them. The files are the same.
"""

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

NUMBER, DIMENSIONS = "_Netcdf4Dimid", "_Netcdf4Coordinates"
"""Attributes: the number of a dimension, and those of the dimensions of a variable."""

FORMAT = (NUMBER, DIMENSIONS, "_NCProperties", "CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST")
"""Attributes by which netCDF says how a file is laid out."""


MAPS = "maps"
"""The group whose groups are many, each with variables of numbers and no coordinates."""


def tree_bytes(tree: xr.DataTree) -> bytes:
    """The netCDF file of a tree, made in memory: what ``DataTree.to_netcdf`` writes."""
    image = bytes(tree.drop_nodes(MAPS, errors="ignore").to_netcdf(engine="h5netcdf"))
    if MAPS not in tree.children:
        return image
    with h5py.File.in_memory(image) as file:
        inherited = {name: own for name, own in file.items() if "CLASS" in own.attrs}
        numbers = count(_dimensions(file))
        maps = file.create_group(MAPS, track_order=True)
        for name, node in tree.children[MAPS].children.items():
            _write_map(maps.create_group(name, track_order=True), node, inherited, numbers)
        file.flush()
        return file.id.get_file_image()


def _dimensions(group: h5py.Group) -> int:
    """How many dimensions a group and those below define."""
    below = (own for own in group.values() if isinstance(own, h5py.Group))
    return sum("CLASS" in own.attrs for own in group.values()) + sum(map(_dimensions, below))


def _write_map(
    group: h5py.Group,
    node: xr.DataTree,
    inherited: Mapping[str, h5py.Dataset],
    numbers: Iterator[int],
) -> None:
    """Write arrays of numbers, and the dimensions that the root does not have."""
    data = node.to_dataset(inherit=False)
    group.attrs.update(data.attrs)
    scales: dict[Any, h5py.Dataset] = dict(inherited)
    for dim in data.sizes:
        if dim not in scales:
            scales[dim] = _write_dimension(group, str(dim), data.sizes[dim], next(numbers))
    known = {name: int(scale.attrs[NUMBER]) for name, scale in scales.items()}
    for name, array in data.data_vars.items():
        stored = group.create_dataset(name, data=array.values, fillvalue=np.nan, track_order=True)
        for axis, dim in enumerate(array.dims):
            stored.dims[axis].attach_scale(scales[dim])
        stored.attrs[DIMENSIONS] = np.array([known[dim] for dim in array.dims], np.int32)
        stored.attrs[NUMBER] = np.int32(known[array.dims[0]])
        stored.attrs["_FillValue"] = np.array([np.nan])
        stored.attrs.update(array.attrs)


def _write_dimension(group: h5py.Group, name: str, size: int, number: int) -> h5py.Dataset:
    scale = group.create_dataset(name, (size,), ">f4", track_order=True)
    scale.attrs[NUMBER] = np.int32(number)
    scale.make_scale(f"This is a netCDF dimension but not a netCDF variable.{size:10}")
    return scale


def read_tree(path: Path) -> xr.DataTree:
    """The tree that a file holds, in memory: what ``xarray.open_datatree`` reads.

    Raises
    ------
    OSError
        If the file cannot be read or is damaged.
    KeyError, ValueError
        If it is not a netCDF file, or was written by something that numbers no dimensions.
    """
    with h5py.File(path) as file:
        return xr.DataTree.from_dict(dict(_datasets(file, {})))


def _datasets(group: h5py.Group, above: Mapping[int, str]) -> Iterator[tuple[str, xr.Dataset]]:
    """Paths and datasets of a group and those below; ``above`` names the dimensions it inherits."""
    members = dict(group.items())
    stored = {name: own for name, own in members.items() if isinstance(own, h5py.Dataset)}
    scales = {name: own for name, own in stored.items() if "CLASS" in own.attrs}
    names = {**above, **{int(own.attrs[NUMBER]): name for name, own in scales.items()}}
    variables = {name: _variable(own, names) for name, own in stored.items() if _has_values(own)}
    yield group.name, xr.decode_cf(xr.Dataset(variables, attrs=_attributes(group)))
    for own in members.values():
        if isinstance(own, h5py.Group):
            yield from _datasets(own, names)


def _has_values(stored: h5py.Dataset) -> bool:
    """Whether it is a variable, and not a dimension alone."""
    return "CLASS" not in stored.attrs or DIMENSIONS in stored.attrs


def _variable(stored: h5py.Dataset, names: Mapping[int, str]) -> xr.Variable:
    dims = [names[number] for number in stored.attrs[DIMENSIONS].tolist()]
    values = stored.asstr()[...].astype("U") if stored.dtype.kind == "O" else stored[...]
    return xr.Variable(dims, values, _attributes(stored))


def _attributes(stored: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Attributes that the writer gave; netCDF keeps a number as an array of one."""
    given = {name: value for name, value in stored.attrs.items() if name not in FORMAT}
    return {
        name: value[0] if isinstance(value, np.ndarray) and value.size == 1 else value
        for name, value in given.items()
    }
