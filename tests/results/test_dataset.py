"""The dataset's file is made in memory and written in one piece, however little room there is."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from pgbench.results import dataset as results
from pgbench.results.files import OutputError

LIMITED = """
import resource, sys
from pathlib import Path
import xarray as xr
from pgbench.results.dataset import write_netcdf

data = xr.open_dataset(sys.argv[1], engine="h5netcdf").load()
directory = Path(sys.argv[2])
for kind, room in (("FSIZE", 10_000), ("FSIZE", 300_000), ("AS", 10_000), ("AS", 1_500_000)):
    limit = getattr(resource, f"RLIMIT_{kind}")
    used = 4096 * int(Path("/proc/self/statm").read_text().split()[0]) if kind == "AS" else 0
    before = resource.getrlimit(limit)
    resource.setrlimit(limit, (used + room, before[1]))
    try:
        write_netcdf(data, directory / "results.nc")
    except ValueError as error:
        print(error)
    resource.setrlimit(limit, before)
    assert list(directory.iterdir()) == []
"""
"""A process that may write so many bytes to a file, then take so much memory beside what it has."""


@pytest.fixture(scope="module")
def data():
    """Numbers and words, some 2 MB of them."""
    words = np.array(["why not"] * 300, dtype=object)
    numbers = {f"v{i}": ("x", np.full(300, i / 7)) for i in range(30)}
    return xr.Dataset({**numbers, "words": ("x", words), "large": ("y", np.ones(200_000))})


def test_a_file_for_which_there_is_no_room_is_one_sentence(tmp_path, data):
    data.to_netcdf(tmp_path / "in.nc", engine="h5netcdf")
    (tmp_path / "o").mkdir()
    paths = [str(tmp_path / "in.nc"), str(tmp_path / "o")]
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, *paths], capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stderr) == (0, "")
    sentences = run.stdout.splitlines()
    assert len(sentences) == 4
    assert all("cannot be written: File too large" in line for line in sentences[:2])
    assert all("cannot be made: it takes 35 MiB of memory" in line for line in sentences[2:])


def test_the_bytes_of_a_file_are_reproducible(tmp_path, data):
    map_of = xr.Dataset({"gradient": ("parameter", np.arange(3.0), {"units": "reward/θ"})})
    tree = xr.DataTree.from_dict({"/": data, "/maps/a b": map_of})
    first, second = (results.write(tree, tmp_path).read_bytes() for _ in range(2))
    assert first == second
    with xr.open_datatree(tmp_path / "results.nc", engine="h5netcdf") as opened:
        xr.testing.assert_identical(opened.load(), tree)


def test_a_full_disk_says_that_nothing_is_lost(tmp_path, data, monkeypatch):
    def full(path, data):
        raise OutputError(f"{path} cannot be written: No space left on device")

    monkeypatch.setattr(results, "write_file", full)
    with pytest.raises(OutputError, match="No space left on device; the journal is complete"):
        results.write(xr.DataTree(data), tmp_path)
