"""Trees to netCDF files and back, in a time that grows with what they hold.

xarray does both through h5netcdf, which looks every dimension up again for whatever is done with a
variable. To write the maps of hundreds of settings so takes most of the time of publishing a run,
and the summary alone a second; to read them takes minutes, for HDF5 walks the file to tell the name
of a dimension. Here dimensions are known by the numbers that netCDF gives them. The files are the
same.
"""

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr
from xarray.conventions import cf_encoder, encode_dataset_coordinates

NUMBER, DIMENSIONS = "_Netcdf4Dimid", "_Netcdf4Coordinates"
"""Attributes: the number of a dimension, and those of the dimensions of a variable."""

FORMAT = (NUMBER, DIMENSIONS, "_NCProperties", "CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST")
"""Attributes by which netCDF says how a file is laid out."""

WRITTEN_BY = (
    f"version=2,h5netcdf={h5netcdf.__version__},hdf5={h5py.version.hdf5_version},"
    f"h5py={h5py.__version__}"
)


def tree_bytes(tree: xr.DataTree) -> bytes:
    """The netCDF file of a tree, made in memory: what ``DataTree.to_netcdf`` writes."""
    with h5py.File.in_memory(track_order=True) as file:
        _write_group(file, tree, {}, count())
        file.attrs["_NCProperties"] = np.bytes_(WRITTEN_BY)
        file.flush()
        return file.id.get_file_image()


def _write_group(
    group: h5py.Group,
    node: xr.DataTree,
    above: Mapping[str, h5py.Dataset],
    numbers: Iterator[int],
) -> None:
    """Write a node and those below; ``above`` are the dimensions that it inherits."""
    data = node.to_dataset(inherit=False)
    variables, attributes = cf_encoder(*encode_dataset_coordinates(data))
    _describe(group, attributes)
    stored = {name: _write_values(group, name, own) for name, own in variables.items()}
    scales = dict(above)
    for dim in (str(dim) for dim in data.sizes if dim not in above):
        scales[dim] = stored.get(dim) or _empty(group, dim, data.sizes[dim])
        scales[dim].make_scale(dim if dim in stored else _unnamed(data.sizes[dim]))
        scales[dim].attrs[NUMBER] = np.int32(next(numbers))
    for name, own in variables.items():
        _place(stored[name], own, [scales[str(dim)] for dim in own.dims])
    for name, child in node.children.items():
        _write_group(group.create_group(name, track_order=True), child, scales, numbers)


def _write_values(group: h5py.Group, name: Any, variable: xr.Variable) -> h5py.Dataset:
    """A variable without its dimensions and its attributes."""
    values, fill = variable.values, variable.attrs.get("_FillValue")
    if values.dtype.kind in "OU":
        text = h5py.string_dtype()
        return group.create_dataset(name, data=values.astype(object), dtype=text, track_order=True)
    return group.create_dataset(name, data=values, fillvalue=fill, track_order=True)


def _place(stored: h5py.Dataset, variable: xr.Variable, scales: list[h5py.Dataset]) -> None:
    """Give a variable its dimensions and its attributes."""
    own = [int(scale.attrs[NUMBER]) for scale in scales]
    if stored not in scales:
        for axis, scale in enumerate(scales):
            stored.dims[axis].attach_scale(scale)
    stored.attrs[DIMENSIONS] = np.array(own, np.int32)
    if own:
        stored.attrs[NUMBER] = np.int32(own[0])
    _describe(stored, variable.attrs)


def _describe(stored: h5py.Group | h5py.Dataset, attributes: Mapping[Any, Any]) -> None:
    """Write attributes; netCDF keeps a number as an array of one."""
    for name, value in attributes.items():
        is_number = np.isscalar(value) and not isinstance(value, str)
        stored.attrs[name] = np.atleast_1d(value) if is_number else value


def _empty(group: h5py.Group, dim: str, size: int) -> h5py.Dataset:
    """What stands for a dimension that no variable is named after."""
    return group.create_dataset(dim, (size,), ">f4", track_order=True)


def _unnamed(size: int) -> str:
    """The name by which netCDF knows that it is no variable."""
    return f"This is a netCDF dimension but not a netCDF variable.{size:10}"


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
